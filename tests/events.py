"""What TensorBoard reads of a folder of events."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read_events(folder: Path) -> EventAccumulator:
    """All scalars and pictures of one run."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def scalars(folder: Path, term: str) -> list[tuple[int, float]]:
    """(step, value) in order."""
    return [(event.step, event.value) for event in read_events(folder).Scalars(term)]


def picture_steps(folder: Path, name: str) -> list[int]:
    """The steps at which the picture was drawn."""
    return [event.step for event in read_events(folder).Images(name)]
