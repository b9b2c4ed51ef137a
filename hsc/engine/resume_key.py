"""What a resume state belongs to: a digest of everything that a training depends on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic_core
import torch

from hsc.base.files import digest_files, digest_json
from hsc.base.progress import Progress, unseen
from hsc.data.voc import VocFolder


def resume_key(
    folder: VocFolder,
    inputs: Sequence[Path],
    settings: Sequence[Any],
    with_saliency: bool,
    seed: int = 0,
    progress: Progress = unseen,
) -> str:
    """SHA-256 (hex) over parameters, input files, classes, tags and training pictures.

    A resume state of another key is never used. Raises HscError for a file that cannot be read.
    """
    ids = folder.ids("train_aug")
    files = [folder.root / "tags.csv", *inputs, *map(folder.image_path, ids)]
    if with_saliency:
        files += map(folder.saliency_path, ids)
    values = pydantic_core.to_jsonable_python(list(settings))
    names = list(folder.class_names)
    return digest_json(
        [seed, values, names, list(ids), digest_files(files, progress), torch.__version__]
    )
