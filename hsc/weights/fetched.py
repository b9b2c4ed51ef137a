"""Published weights that a recipe names by their sources: fetched once, then a file like others."""

from pathlib import Path

from hsc.base.download import Archive, fetch
from hsc.base.progress import Bars, silent
from hsc.params.base import FetchParams


def fetched(how: FetchParams, downloads: Path, bars: Bars = silent) -> FetchParams:
    """The same parameters with the path of the file as `weights`; without `sources`, themselves.

    downloads: the folder that keeps it. Raises HscError when no source has the right file.
    """
    if how.sources is None:
        return how
    digest = None if how.sha256 is None else f"sha256:{how.sha256}"
    path = fetch(Archive(how.weights, how.sources, digest), downloads, bars)
    return how.model_copy(update={"weights": str(path), "sources": None})
