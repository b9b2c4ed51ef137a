"""What is wrong with the machine, not with the code: too little disk or memory, files out of reach.

Without torch and numpy, whose exceptions are known by their words.
"""

import errno
import re
import textwrap

_NO_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory|Cannot allocate memory"
    "|STATUS_ALLOC_FAILED|DataLoader worker .* killed|out of shared memory|Bus error",
    re.IGNORECASE,
)
"""Of CUDA, torch's CPU allocator, the system, cuBLAS and cuDNN, torch's loader."""
_LEFT_ALONE = re.compile(
    "Connection (closed|reset) by peer|Broken pipe|pair closure", re.IGNORECASE
)
"""Of Gloo, when another process that shares the work is gone."""
_DISK = (errno.ENOSPC, errno.EDQUOT)
_ACCESS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EIO,
)  # fmt: skip
"""What a path can be that a program cannot mend: of others, a folder for a file, a broken disk."""
_TRAINING = "{}.batch_size or {}.augmentation.crop_size in the recipe"
_SCALES = "the largest of {}.scales in the recipe"
_NETWORK = "HSC_PRECISION=bf16 or HSC_WORKERS=0"
_POOL = "HSC_PROCESSES=1"
_ADVICE = {
    "prepare_data": ("", _POOL),
    "prepare_backbone": (_TRAINING.format(*["prepare_backbone"] * 2), _NETWORK),
    "train_cam": (
        "batch_size, augmentation.crop_size or crf_size of train_cam.BASELINE in the recipe",
        _NETWORK,
    ),
    "infer_cams": (_SCALES.format("infer_cams.BASELINE"), _NETWORK),
    "refine_crf": ("", _POOL),
    "label_affinity": ("", _POOL),
    "train_affinity": (_TRAINING.format(*["train_affinity"] * 2), _NETWORK),
    "refine_masks": ("", f"{_POOL}, {_NETWORK}"),
    "train_segmentation": (
        _TRAINING.format(*["train_segmentation.NETWORK"] * 2),
        f"{_NETWORK}, {_POOL}",
    ),
    "predict_segmentation": (
        _SCALES.format("predict_segmentation.NETWORK"),
        f"{_NETWORK}, {_POOL}",
    ),
    "draw_panels": (_SCALES.format("predict_segmentation.NETWORK"), _NETWORK),
    "predict": ("--max-side, --batch or --scales", f"{_NETWORK}, {_POOL}"),
    "submit_voc": (_SCALES.format("predict_segmentation.NETWORK"), f"{_NETWORK}, {_POOL}"),
}
"""By stage: what to lower, what to set."""


def describe_problem(error: Exception, stage: str) -> str | None:
    """What is wrong with the machine and what to do, in one line; None for any other error."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return (
            f"{error.filename or 'the disk'}: no space left; free some and run the same command "
            "again, training goes on from its last checkpoint"
        )
    if isinstance(error, OSError) and error.errno in _ACCESS and error.filename:
        return f"{error.filename}: {error.strerror}; mend that, or take another place"
    if is_out_of_memory(error):
        said = textwrap.shorten(str(error) or type(error).__name__, 120, placeholder=" …")
        return f"{stage}: out of memory ({said}); {_advice(stage)}"
    if is_left_alone(error):
        return f"{stage}: another process that shared the work is gone; run the same command again"
    return None


def is_left_alone(error: Exception) -> bool:
    """Whether another process that shared the work is gone; who started them tells why."""
    return isinstance(error, RuntimeError) and _LEFT_ALONE.search(str(error)) is not None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception tells of too little memory.

    numpy's is a MemoryError; torch raises RuntimeError on a CPU, on a GPU a kind of its own.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _advice(stage: str) -> str:
    lower, variables = _ADVICE.get(stage, ("", ""))
    parts = [f"lower {lower}"] * bool(lower) + [f"set {variables}"] * bool(variables)
    return ", or ".join(parts) or "end other programs, or take a machine with more"
