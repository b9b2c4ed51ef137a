"""Make the pseudo labels: with `psa.enabled: false` they are the CRF's, linked."""

from pathlib import Path

from hsc import params as parameters
from hsc.cli import parameter_options, path_option, stage
from hsc.files import atomic_folder, link_files


@stage
@parameter_options
@path_option("--crf", "outputs/crf", "Folder of the CRF's labels.")
@path_option("--out", "outputs/masks", "Folder of the pseudo labels.")
def main(params: Path, recipes: Path, crf: Path, out: Path) -> str:
    """Link the CRF's labels as the pseudo labels."""
    parameters.load(params, recipes)
    with atomic_folder(out) as partial:
        count = link_files(crf, partial)
    return f"{out}: {count} pseudo labels, linked to {crf}"


if __name__ == "__main__":
    main()
