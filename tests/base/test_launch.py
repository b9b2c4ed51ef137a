"""What torchrun's environment says."""

import pytest

from hsc.base.errors import HscError
from hsc.base.launch import Place, read_place

TWO_MACHINES = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


@pytest.mark.parametrize("environment", [{}, {"RANK": "3"}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_a_process_by_itself(environment: dict[str, str]) -> None:
    assert read_place(environment) == Place(0, 1, 0, 1)


def test_one_of_several() -> None:
    place = read_place(TWO_MACHINES)
    assert (place.rank, place.processes, place.local_rank, place.local_processes) == (5, 8, 1, 4)


@pytest.mark.parametrize("name", TWO_MACHINES)
@pytest.mark.parametrize("value", ["", "two", "-1"])
def test_values_that_are_no_numbers(name: str, value: str) -> None:
    with pytest.raises(HscError, match=f"{name}: '{value}' is no number; start several"):
        read_place({**TWO_MACHINES, name: value})


def test_a_world_without_ranks() -> None:
    with pytest.raises(HscError, match="RANK: '' is no number"):
        read_place({"WORLD_SIZE": "2"})
