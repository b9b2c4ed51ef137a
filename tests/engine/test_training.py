"""The training loop on objectives small enough to follow by hand."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.base.progress import Bars, silent
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.optimisers import build_optimiser, parameter_groups
from hsc.engine.training import train
from tests.watched import Watched

STEPS = 11


class InterruptedTestError(Exception):
    pass


class Toy(nn.Module):
    """A linear layer with dropout and a memory that `commit` changes, as prototypes are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("memory", torch.zeros(3))
        self.calls: list[str] = []
        self.stop_at: tuple[str, int] | None = None
        self.poison: dict[int, dict[str, float]] = {}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self._note("losses")
        output = self.layer(self.dropout(batch["x"]))
        self.pending = output.detach().mean(dim=0)
        terms = {"fit": output.square().mean(), "near": (output - self.memory).abs().mean()}
        step = self.calls.count("losses") - 1
        for name, value in self.poison.get(step, {}).items():
            terms[name] = terms[name] * value
        return {"loss": terms["fit"] + terms["near"], **terms}

    def commit(self) -> None:
        self._note("commit")
        self.memory.mul_(0.5).add_(self.pending, alpha=0.5)

    def _note(self, call: str) -> None:
        if self.stop_at == (call, self.calls.count(call)):
            raise InterruptedTestError
        self.calls.append(call)


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    for step in range(start, STEPS):
        generator = torch.Generator().manual_seed(step)
        yield {"x": torch.randn(5, 4, generator=generator)}


def make(optimiser: str = "adamw") -> tuple[Toy, torch.optim.Optimizer]:
    torch.manual_seed(0)
    toy = Toy()
    groups = parameter_groups(
        toy.named_parameters(), lambda name: "new", {"new": 2.0}, bias_factor=3.0, weight_decay=0.1
    )
    return toy, build_optimiser(optimiser, groups, 0.1, 0.9)


def run(
    toy: Toy,
    optimiser: torch.optim.Optimizer,
    resume: ResumeFile,
    runtime: Any,
    source: Callable[[int], Iterable[dict[str, Tensor]]] = batches,
    every: int = 3,
    clip_norm: float | None = None,
    bars: Bars = silent,
) -> list[dict[str, float]]:
    def rate(step: int) -> float:
        return 0.1 / (step + 1)

    return train(
        toy, optimiser, source, STEPS, rate, runtime, resume, every, "toy", clip_norm, bars
    )


@pytest.fixture
def resume(tmp_path: Path) -> ResumeFile:
    return ResumeFile(tmp_path, "toy", "key")


def test_history_has_every_step_with_rate_and_terms(resume: ResumeFile, cpu: Any) -> None:
    toy, optimiser = make()
    history = run(toy, optimiser, resume, cpu)
    assert [row["step"] for row in history] == list(range(STEPS))
    assert [row["lr"] for row in history] == [0.1 / (step + 1) for step in range(STEPS)]
    assert all(list(row) == ["step", "lr", "loss", "fit", "near"] for row in history)
    assert all(math.isclose(row["loss"], row["fit"] + row["near"], rel_tol=1e-6) for row in history)
    assert toy.training
    weight, bias = optimiser.param_groups
    assert weight["lr"] == pytest.approx(2 * 0.1 / STEPS)
    assert bias["lr"] == pytest.approx(6 * 0.1 / STEPS)


def test_progress_has_every_step_with_loss_rate_and_terms(resume: ResumeFile, cpu: Any) -> None:
    watched = Watched()
    history = run(*make(), resume, cpu, bars=watched.bars)
    ((title, unit, calls),) = watched.shown
    assert (title, unit) == ("toy", "step")
    assert [call[:2] for call in calls] == [(done, STEPS) for done in range(STEPS + 1)]
    assert calls[0][2] == {}
    for (_, _, figures), row in zip(calls[1:], history, strict=True):
        assert list(figures) == ["loss", "lr", "fit", "near"], "what matters most first"
        assert figures == {name: value for name, value in row.items() if name != "step"}


def test_progress_goes_on_from_the_resumed_step(resume: ResumeFile, cpu: Any) -> None:
    first, second = Watched(), Watched()
    toy, optimiser = make()
    toy.stop_at = ("losses", 8)
    with pytest.raises(InterruptedTestError):
        run(toy, optimiser, resume, cpu, bars=first.bars)
    run(*make(), resume, cpu, bars=second.bars)
    assert [done for done, _, _ in first.calls("toy")] == list(range(9))
    assert [done for done, _, _ in second.calls("toy")] == list(range(6, STEPS + 1))


def test_commit_follows_every_optimiser_step(resume: ResumeFile, cpu: Any) -> None:
    toy, optimiser = make()
    optimiser.register_step_post_hook(lambda *_: toy.calls.append("step"))
    run(toy, optimiser, resume, cpu)
    assert toy.calls == ["losses", "step", "commit"] * STEPS


def test_only_a_longer_gradient_is_cut(resume: ResumeFile, cpu: Any) -> None:
    def first_gradient(clip_norm: float | None) -> Tensor:
        toy, optimiser = make()
        found: list[Tensor] = []

        def note(*_: Any) -> None:
            found.append(torch.cat([parameter.grad.flatten() for parameter in toy.parameters()]))

        optimiser.register_step_pre_hook(note)
        resume.clear()
        run(toy, optimiser, resume, cpu, clip_norm=clip_norm)
        return found[0].clone()

    whole = first_gradient(None)
    length = float(whole.norm())
    torch.testing.assert_close(first_gradient(length / 4), whole / 4, rtol=1e-4, atol=1e-6)
    assert torch.equal(first_gradient(2 * length), whole)


def test_checkpoints_stand_where_they_should(resume: ResumeFile, cpu: Any) -> None:
    """After steps 3, 6, 9; none after the last step, where the weights are written anyway."""
    kept = []
    save = resume.save
    resume.save = lambda value: (kept.append(value["step"]), save(value))  # type: ignore[method-assign]
    run(*make(), resume, cpu)
    assert kept == [3, 6, 9]
    kept.clear()
    resume.clear()
    run(*make(), resume, cpu, every=STEPS)
    assert kept == []
    assert not resume.path.exists()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "stop_at", [("losses", 0), ("losses", 2), ("losses", 3), ("commit", 5), ("losses", 10)], ids=str
)
def test_interrupted_run_ends_as_an_undisturbed_one(
    tmp_path: Path, cpu: Any, optimiser: str, stop_at: tuple[str, int]
) -> None:
    undisturbed, its_optimiser = make(optimiser)
    expected = run(undisturbed, its_optimiser, ResumeFile(tmp_path, "toy", "first"), cpu)

    resume = ResumeFile(tmp_path, "toy", "second")
    toy, its_optimiser = make(optimiser)
    toy.stop_at = stop_at
    with pytest.raises(InterruptedTestError):
        run(toy, its_optimiser, resume, cpu)
    asked = []

    def source(start: int) -> Iterator[dict[str, Tensor]]:
        asked.append(start)
        return batches(start)

    toy, its_optimiser = make(optimiser)
    history = run(toy, its_optimiser, resume, cpu, source)
    assert asked == [stop_at[1] // 3 * 3], "goes on from the last checkpoint"
    assert history == expected
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, toy.state_dict()[name]), name


def test_run_interrupted_again_and_again(tmp_path: Path, cpu: Any) -> None:
    undisturbed, optimiser = make()
    run(undisturbed, optimiser, ResumeFile(tmp_path, "toy", "first"), cpu)
    resume = ResumeFile(tmp_path, "toy", "second")
    for _ in range(20):
        toy, optimiser = make()
        toy.stop_at = ("losses", 4)  # of the calls of this attempt: one checkpoint further each
        try:
            run(toy, optimiser, resume, cpu)
        except InterruptedTestError:
            continue
        break
    assert toy.calls.count("losses") < STEPS
    assert torch.equal(undisturbed.layer.weight, toy.layer.weight)


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        ({"fit": math.nan}, "loss, fit"),
        ({"near": math.inf}, "loss, near"),
        ({"fit": math.nan, "near": math.nan}, "loss, fit, near"),
    ],
)
def test_loss_that_is_not_finite_names_step_and_terms(
    resume: ResumeFile, cpu: Any, poison: dict[str, float], named: str
) -> None:
    toy, optimiser = make()
    toy.poison = {7: poison}
    with pytest.raises(HscError, match=f"toy, step 7: not finite: {named}; "):
        run(toy, optimiser, resume, cpu)
    assert toy.calls.count("commit") == 7, "nothing is learnt from that batch"
    state = resume.load()
    assert state["step"] == 6, "the checkpoint from before stays"
    assert all(torch.isfinite(value).all() for value in state["objective"].values())


def test_term_outside_the_sum_is_guarded_too(resume: ResumeFile, cpu: Any) -> None:
    """A term with weight 0, as with gamma 0, would go unnoticed in the loss."""
    toy, optimiser = make()
    plain = toy.losses

    def losses(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**plain(batch), "aside": torch.tensor(math.nan)}

    toy.losses = losses  # type: ignore[method-assign]
    with pytest.raises(HscError, match="step 0: not finite: aside"):
        run(toy, optimiser, resume, cpu)
    assert resume.load() is None


def test_whole_state_is_in_the_checkpoint(resume: ResumeFile, cpu: Any) -> None:
    run(*make(), resume, cpu)
    state = resume.load()
    assert set(state) == {"step", "objective", "optimiser", "random", "history"}
    assert state["step"] == 9
    assert set(state["objective"]) == {"layer.weight", "layer.bias", "memory"}
    assert state["optimiser"]["state"], "moments"
    assert state["random"]["cpu"].dtype == torch.uint8
    assert len(state["history"]) == 9
