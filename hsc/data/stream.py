"""Which sample stands where: the order of training data as a pure function of seed and position.

Sample g of a training (g = step * batch_size + place) is entry g mod n of permutation g // n. So a
resumed run reads what the undisturbed run would have read, and so does any number of workers.
"""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

Position = tuple[int, int]  # (g, index into the data set)


class StepSampler(Sampler[list[Position]]):
    """Yields the batches of steps `start`..`steps - 1` as lists of positions."""

    def __init__(self, seed: int, samples: int, batch_size: int, start: int, steps: int) -> None:
        self._seed, self._samples, self._batch_size = seed, samples, batch_size
        self._start, self._steps = start, steps

    def __len__(self) -> int:
        return self._steps - self._start

    def __iter__(self) -> Iterator[list[Position]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self._start, self._steps):
            batch = []
            for g in range(step * self._batch_size, (step + 1) * self._batch_size):
                if g // self._samples != epoch:
                    epoch = g // self._samples
                    order = np.random.default_rng((self._seed, epoch)).permutation(self._samples)
                batch.append((g, int(order[g % self._samples])))
            yield batch
