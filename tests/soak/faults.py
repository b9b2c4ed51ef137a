"""The faults: each spoils something in a copy of the clone, goes on, and tells what came out."""

import functools
import itertools
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.repository import Clone, Ended, fill, small_disk, unmount
from tests.stage_runs import PlainStage, stages

SURVIVED, TOLD, USED, LOST = "survived", "told", "used as it is", "lost"
OUTCOMES = (SURVIVED, TOLD, USED, LOST)

KINDS = {
    "kill": "a stage gets SIGKILL, with all its processes, and is started again",
    "kill of DVC": "`dvc repro` gets SIGKILL, with the stage that it runs, and is given again",
    "small /dev/shm": "loader and pool processes with a /dev/shm of 64 KB or 1 MB",
    "cache elsewhere": "the cache on another disk, linked by symlinks",
    "full disk": "no byte is left while the stage runs; then there is room again",
    "full cache": "no byte is left in DVC's cache; then there is room again",
    "flipped bit": "one bit of a file, read by the stage's script",
    "cut file": "the last part of a file is missing, read by the stage's script",
    "flipped bit, DVC": "one bit of a file, then `dvc repro`",
}

LOADING = (
    "prepare_backbone", "train_cam", "infer_cams", "train_affinity", "refine_masks",
    "train_segmentation", "predict_segmentation", "refine_crf",
)  # fmt: skip
"""The stages that have loader or pool processes."""

DATA = "outputs/data/shapes"
ARTIFACTS = {
    "picture": (f"{DATA}/JPEGImages/train_00003.jpg", "train_cam"),
    "tags": (f"{DATA}/tags.csv", "train_cam"),
    "classes": (f"{DATA}/classes.txt", "make_seeds"),
    "split": (f"{DATA}/ImageSets/Segmentation/train_aug.txt", "infer_cams"),
    "mask": (f"{DATA}/SegmentationClass/train_00003.png", "make_seeds"),
    "saliency": (f"{DATA}/Saliency/train_00003.png", "train_cam"),
    "backbone": ("outputs/backbone.pt", "train_cam"),
    "CAM network": ("outputs/cam.pt", "infer_cams"),
    "CAMs": ("outputs/cams.h5", "make_seeds"),
    "seed": ("outputs/seeds/train_00003.png", "refine_crf"),
    "CRF label": ("outputs/crf/train_00003.png", "evaluate_crf"),
    "affinity label": ("outputs/affinity_labels/train_00003.png", "train_affinity"),
    "affinity network": ("outputs/affinity.pt", "refine_masks"),
    "pseudo label": ("outputs/masks/train_00003.png", "train_segmentation"),
    "segmentation network": ("outputs/segmentation.pt", "predict_segmentation"),
    "prediction": ("outputs/predictions/val_00001.png", "evaluate_val"),
}
"""What lies in a file, and the stage that reads it."""
SETTINGS = {
    "params.yaml": ("params.yaml", "make_seeds"),
    "recipe": ("recipes/shapes.yaml", "make_seeds"),
    "resume state": (".hsc/resume", "train_cam"),
}
"""The same for what DVC keeps no copy of."""


_LOCKS = ("dvc.lock", ".dvc/tmp/rwlock", ".dvc/tmp/lock")
"""What DVC writes in place."""


@dataclass(frozen=True)
class Result:
    """What came out of a fault; text: the last lines of what was printed, where it matters."""

    kind: str
    name: str
    outcome: str
    text: str = ""


@dataclass(frozen=True)
class Fault:
    """A fault that can be tried: `attempt` gets a fresh copy of the clone."""

    kind: str
    name: str
    attempt: Callable[[Clone], tuple[str, str]]


@dataclass(frozen=True)
class Soak:
    """What all faults need. expected: the digests of the undisturbed run."""

    first: Clone
    seconds: dict[str, float]
    expected: dict[str, str]
    random: random.Random
    mounts: bool
    stages: dict[str, PlainStage] = field(
        default_factory=lambda: {stage.name: stage for stage in stages()}
    )

    def faults(self) -> list[Fault]:
        """All faults, one of each kind in turn, so that the first ones are of every kind."""
        groups = [
            self._kills(), self._flips(), self._disks(), self._cuts(), self._dvc_flips(),
            self._shm(), self._dvc_kills(), self._others(),
        ]  # fmt: skip
        shuffled = [self.random.sample(group, len(group)) for group in map(list, groups)]
        turns = itertools.zip_longest(*shuffled)
        return [fault for turn in turns for fault in turn if fault is not None]

    def _kills(self) -> Iterator[Fault]:
        for stage in self.stages.values():
            for number in range(2 if stage.name.startswith("train") else 1):
                after = self.random.uniform(0.2, 1.0) * self.seconds[stage.name]
                attempt = functools.partial(self._kill, stage, after)
                yield Fault("kill", f"{stage.name} {number + 1} after {after:.1f} s", attempt)

    def _kill(self, stage: PlainStage, after: float, clone: Clone) -> tuple[str, str]:
        clone.stage(stage, kill_after=after)
        return self._judge(clone.stage(stage), clone)

    def _dvc_kills(self) -> Iterator[Fault]:
        for name in self.random.sample(sorted(self.stages), 4):
            after = 1.5 + self.random.uniform(0.2, 1.0) * self.seconds[name]
            attempt = functools.partial(self._dvc_kill, name, after)
            yield Fault("kill of DVC", f"{name} after {after:.1f} s", attempt)

    def _dvc_kill(self, name: str, after: float, clone: Clone) -> tuple[str, str]:
        clone.dvc("repro", "--force", "--single-item", dvc_name(name), kill_after=after)
        again = clone.dvc("repro")
        found = clone.digests()
        whole = {name: digest for name, digest in found.items() if ".partial" not in name}
        if again.code == 0 and found != whole == self.expected:
            # All is right but what the killed stage left half written: DVC had the result in its
            # cache and did not run the stage again, whose next run has to tidy up.
            again = clone.dvc("repro", "--force", "--single-item", dvc_name(name))
        spoilt = [name for name in _LOCKS if Path(name).name in again.text]
        if again.code == 0 or not spoilt or "Traceback" in again.text:
            return self._judge(again, clone)
        # DVC writes these in place, and says so of a half: troubleshooting.md
        for name in spoilt:
            (clone.folder / name).unlink(missing_ok=True)
        outcome, text = self._judge(clone.dvc("repro"), clone)
        return (TOLD, "") if outcome == SURVIVED else (outcome, text)

    def _shm(self) -> Iterator[Fault]:
        if self.mounts:
            for name, size in itertools.product(LOADING, ("64k", "1m")):
                attempt = functools.partial(self._small_shm, self.stages[name], size)
                yield Fault("small /dev/shm", f"{name}, {size}", attempt)

    def _small_shm(self, stage: PlainStage, size: str, clone: Clone) -> tuple[str, str]:
        stage.clear(clone.folder)
        script = stage.cmd.replace("python", sys.executable, 1)
        line = f"mount -t tmpfs -o size={size} tmpfs /dev/shm && exec {script}"
        ended = clone.run(
            "unshare", "--mount", "sh", "-c", line, HSC_WORKERS="2", HSC_PROCESSES="2"
        )
        return self._after(ended, clone, functools.partial(clone.stage, stage))

    def _disks(self) -> Iterator[Fault]:
        if self.mounts:
            for stage in self.stages.values():
                yield Fault("full disk", stage.name, functools.partial(self._full_disk, stage))

    def _full_disk(self, stage: PlainStage, clone: Clone) -> tuple[str, str]:
        disk = clone.folder.parent / "disk"
        small_disk(disk, 1 << 27)
        try:
            full = clone.copy(disk / "clone")
            full.variables.update(clone.variables)
            stage.clear(full.folder)
            filler = fill(disk)
            ended = full.stage(stage)
            filler.unlink()
            return self._after(ended, full, functools.partial(full.stage, stage))
        finally:
            unmount(disk)

    def _others(self) -> Iterator[Fault]:
        yield Fault("cache elsewhere", "symlinks", self._cache_elsewhere)
        if self.mounts:
            for name in ("make_seeds", "refine_masks"):
                attempt = functools.partial(self._full_cache, name)
                yield Fault("full cache", name, attempt)

    def _cache_elsewhere(self, clone: Clone) -> tuple[str, str]:
        elsewhere = clone.folder.parent / "cache"
        for words in (["cache", "dir", "--local", str(elsewhere)],
                      ["config", "--local", "cache.type", "symlink"]):  # fmt: skip
            clone.dvc(*words)
        shutil.rmtree(clone.folder / ".dvc" / "cache")
        ended = clone.dvc("repro", "--force")
        if not all(path.is_symlink() for path in (clone.folder / "outputs/seeds").iterdir()):
            return LOST, "no symlinks into the cache"
        return self._judge(ended, clone)

    def _full_cache(self, name: str, clone: Clone) -> tuple[str, str]:
        disk = clone.folder / ".dvc" / "cache"
        small_disk(disk, 1 << 20)
        try:
            filler = fill(disk)
            ended = clone.dvc("repro", "--force", "--single-item", dvc_name(name))
            filler.unlink()
            again = functools.partial(
                clone.dvc, "repro", "--force", "--single-item", dvc_name(name)
            )
            return self._after(ended, clone, again)
        finally:
            unmount(disk)

    def _flips(self) -> Iterator[Fault]:
        for name, (path, reader) in (ARTIFACTS | SETTINGS).items():
            attempt = functools.partial(self._spoil, path, reader, self._flip)
            yield Fault("flipped bit", name, attempt)

    def _cuts(self) -> Iterator[Fault]:
        for name, (path, reader) in (ARTIFACTS | SETTINGS).items():
            yield Fault("cut file", name, functools.partial(self._spoil, path, reader, self._cut))

    def _dvc_flips(self) -> Iterator[Fault]:
        for name, (path, _) in ARTIFACTS.items():
            attempt = functools.partial(self._dvc_flip, path)
            yield Fault("flipped bit, DVC", name, attempt)

    def _spoil(
        self, name: str, reader: str, spoil: Callable[[bytes], bytes], clone: Clone
    ) -> tuple[str, str]:
        stage, path = self.stages[reader], clone.folder / name
        if name == SETTINGS["resume state"][0]:
            states = self._killed_with_a_state(clone, stage, path)
            if not states:
                return LOST, f"{reader} left no state, however often it was killed"
            path = states[0]
        whole = path.read_bytes()
        path.unlink()  # never through a link into the cache
        path.write_bytes(spoil(whole))
        ended = clone.stage(stage)
        if ended.code == 0 and self._is_right(clone, besides=name):
            return SURVIVED, ""
        if ended.code == 0:
            return USED, ""
        path.unlink(missing_ok=True)
        if "resume" not in name:  # the error says to delete it
            path.write_bytes(whole)
        return self._after(ended, clone, functools.partial(clone.stage, stage))

    def _killed_with_a_state(self, clone: Clone, stage: PlainStage, folder: Path) -> list[Path]:
        """The states of a training that was killed as soon as it had one."""
        for _ in range(5):  # one that ends before the signal comes has removed its state
            clone.stage(stage, kill_when=lambda: any(folder.glob("*.pt")))
            if states := sorted(folder.glob("*.pt")):
                return states
        return []

    def _dvc_flip(self, name: str, clone: Clone) -> tuple[str, str]:
        path = clone.folder / name
        flipped = self._flip(path.read_bytes())
        path.unlink()  # not through the link: docs/reliability.md
        path.write_bytes(flipped)
        ended = clone.dvc("repro")
        if ended.code != 0:  # persisted, and changed by hand as it seems: the error says what to do
            shutil.rmtree(clone.folder / made_folder_of(name), ignore_errors=True)
        return self._after(ended, clone, functools.partial(clone.dvc, "repro"))

    def _flip(self, whole: bytes) -> bytes:
        at = self.random.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        return bytes(flipped)

    def _cut(self, whole: bytes) -> bytes:
        return whole[: self.random.randrange(len(whole))]

    def _after(self, ended: Ended, clone: Clone, again: Callable[[], Ended]) -> tuple[str, str]:
        """A command ended under a fault: well, or with a clear error, and then it has to go on."""
        if ended.code == 0:
            return self._judge(ended, clone)
        if not ended.is_told:
            return LOST, f"no clear error: {ended.text}"
        outcome, text = self._judge(again(), clone)
        return (TOLD, "") if outcome == SURVIVED else (LOST, f"{ended.text}\nthen {text}")

    def _judge(self, ended: Ended, clone: Clone) -> tuple[str, str]:
        if ended.code != 0:
            return LOST, ended.text
        if not self._is_right(clone):
            found = clone.digests()
            names = sorted(
                name
                for name in found.keys() | self.expected.keys()
                if found.get(name) != self.expected.get(name)
            )
            return LOST, f"other bytes: {', '.join(names[:5])}"
        return SURVIVED, ""

    def _is_right(self, clone: Clone, besides: str = "") -> bool:
        found = clone.digests()
        return {k: v for k, v in found.items() if k != besides} == {
            k: v for k, v in self.expected.items() if k != besides
        }


def dvc_name(name: str) -> str:
    """A stage's name in DVC: evaluate_val is evaluate@val."""
    return name.replace("evaluate_", "evaluate@")


def made_folder_of(name: str) -> str:
    """The persisted output that a file lies in."""
    return DATA if name.startswith(DATA) else "/".join(name.split("/")[:2])


def try_all(
    soak: Soak, faults: Sequence[Fault], place: Path, is_late: Callable[[], bool]
) -> Iterator[Result]:
    """The results, one after the other; each in a copy of its own, until it is late."""
    for number, fault in enumerate(faults):
        if is_late():
            return
        folder = place / str(number)
        clone = soak.first.copy(folder / "clone")
        outcome, text = fault.attempt(clone)
        shutil.rmtree(folder, ignore_errors=True)
        yield Result(fault.kind, fault.name, outcome, text)
