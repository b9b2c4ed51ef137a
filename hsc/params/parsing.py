"""Plain values to frozen objects; what is wrong in them, in words that name file and key."""

from pathlib import Path
from typing import Any, TypeVar

import pydantic

from hsc.base.errors import ExperimentError

_Section = TypeVar("_Section")


def parse(source: Path, values: Any, kind: type[_Section], section: str = "") -> _Section:
    """An object of `kind`, a model or a dataclass with the keys as fields.

    source and section name the place in errors. Raises HscError for an unknown key, a value of the
    wrong type or range, a wrong combination: all of them, a line each.
    """
    if not issubclass(kind, pydantic.BaseModel):
        kind = pydantic.with_config(extra="forbid")(kind)  # the same class, marked
    try:
        return pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        lines = []
        for problem in error.errors():
            # Parts in brackets are no keys but the alternatives of a union.
            parts = [str(part) for part in problem["loc"] if not str(part).startswith("(")]
            key = ".".join([section, *parts] if section else parts) or "(file)"
            lines.append(f"{source}: {key}: {problem['msg']} (got {shorten(problem['input'])})")
        raise ExperimentError("\n".join(lines)) from None


def shorten(value: Any, limit: int = 60) -> str:
    """A value as an error quotes it."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"
