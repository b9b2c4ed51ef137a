"""Kinds of values that several parameters share, and what all sections of parameters are."""

from typing import Annotated, Literal

import pydantic
from pydantic import ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Baseline = Literal["cam", "seam", "eps"]


class Frozen(pydantic.BaseModel):
    """A section: it cannot be changed, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )
