"""Parameter files and lock files as plain values, of whatever code they are: keys with dots.

What a stage runs with is checked by `hsc.params.recipe`; this is for files that are only compared.
"""

from typing import Any

import yaml

# PyYAML's own parser in C, where it was built: a lock file has thousands of lines.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def value_at(settings: Any, path: str) -> Any:
    """The value at a key with dots, None where there is none."""
    for word in path.split("."):
        settings = settings.get(word) if isinstance(settings, dict) else None
    return settings


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined with dots; lists and empty ones stay as they are."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found
