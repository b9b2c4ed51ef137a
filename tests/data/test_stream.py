"""The order of training data: a pure function of seed and position."""

from hsc.data.stream import StepSampler


def batches(
    seed: int = 3, samples: int = 5, batch_size: int = 4, start: int = 0, steps: int = 10
) -> list[list[tuple[int, int]]]:
    return list(StepSampler(seed, samples, batch_size, start, steps))


def test_every_sample_once_an_epoch() -> None:
    order = [index for batch in batches() for _, index in batch]
    assert len(order) == 40
    epochs = [order[begin : begin + 5] for begin in range(0, 40, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1  # another order each time


def test_positions_count_up() -> None:
    assert [g for batch in batches() for g, _ in batch] == list(range(40))
    assert all(len(batch) == 4 for batch in batches())


def test_a_resumed_run_reads_what_the_undisturbed_run_reads() -> None:
    whole = batches()
    for start in range(11):
        assert batches(start=start) == whole[start:]


def test_the_batch_size_does_not_change_the_order() -> None:
    def flat(batch_size: int, steps: int) -> list[tuple[int, int]]:
        return [place for batch in batches(batch_size=batch_size, steps=steps) for place in batch]

    assert flat(4, 10) == flat(8, 5) == flat(1, 40)


def test_a_batch_larger_than_the_data_set() -> None:
    (batch,) = batches(samples=2, batch_size=5, steps=1)
    assert sorted(index for _, index in batch[:2]) == [0, 1]
    assert sorted(index for _, index in batch[2:4]) == [0, 1]


def test_seeds_differ_and_repeat() -> None:
    assert batches(seed=1, samples=50) == batches(seed=1, samples=50)
    assert batches(seed=1, samples=50) != batches(seed=2, samples=50)


def test_length_and_a_second_pass() -> None:
    sampler = StepSampler(0, 5, 4, 3, 10)
    assert len(sampler) == 7
    assert list(sampler) == list(sampler)
    assert len(StepSampler(0, 5, 4, 10, 10)) == 0
    assert batches(start=10) == []


def test_entries_are_plain_numbers() -> None:
    for g, index in batches()[0]:
        assert type(g) is int
        assert type(index) is int
