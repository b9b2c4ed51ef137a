"""The file of class activation maps: one HDF5 file for a data set.

Layout: one group for each image id with a data set `cam`, float16 (K, H, W) in [0, 1], and its
attribute `classes`, int64 (K,). Root attributes: `format` (version), `class_names`, `digest` (of
the weights and the parameters). Ids ascend, nothing carries a time: the same input gives the same
bytes.

Values are rounded to multiples of 1/1024, which float16 holds exactly; a threshold sweep has steps
of 0.01. The finer digits that float16 has below 0.5 are noise to it, and it is they that do not
compress. Shuffled and deflated, a file has a quarter to an eighth of the maps' bytes in float32.

Letters: K tagged classes of an image, H W pixels.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsc.base.errors import HscError
from hsc.base.files import atomic_file

FORMAT = 1
_STEPS = 1024  # between 0 and 1
_FILTERS = {"shuffle": True, "compression": "gzip", "compression_opts": 4}
_REMEDY = "run `dvc repro infer_cams` again"


class CamWriter:
    """Write the file, one image after the other; a context manager.

    The file appears under its name when the block ends well, whole; otherwise not at all.
    """

    def __init__(self, path: Path, class_names: Sequence[str], digest: str) -> None:
        """class_names: the C foreground classes; index i + 1 is the name at i."""
        self._path = path
        self._names = list(class_names)
        self._digest = digest
        self._last = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            partial = stack.enter_context(atomic_file(self._path))
            self._sink = stack.enter_context(_Sink(partial))
            self._file = stack.enter_context(_create(self._sink))
            self._file.attrs["format"] = FORMAT
            self._file.attrs["class_names"] = self._names
            self._file.attrs["digest"] = self._digest
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, image_id: str, cam: NDArray, classes: ArrayLike) -> None:
        """Append one image.

        image_id: greater than the one before, without "/". cam: float (K, H, W) in [0, 1], kept to
        the nearest 1/1024. classes: K distinct indices 1..C. K may be 0.
        Raises ValueError for anything else, NaN included; OSError when the disk is full.
        """
        indices = np.asarray(classes, dtype=np.int64)
        if cam.ndim != 3 or indices.shape != (len(cam),):
            raise ValueError(f"{image_id}: cam {cam.shape} does not fit classes {indices.shape}")
        listed = indices.tolist()
        if len(set(listed)) != len(listed) or not set(listed) <= {*range(1, len(self._names) + 1)}:
            raise ValueError(
                f"{image_id}: classes must be distinct and in 1..{len(self._names)}, got {listed}"
            )
        if cam.size and not (cam.min() >= 0 and cam.max() <= 1):
            raise ValueError(f"{image_id}: cam must lie in [0, 1], got {cam.min()} to {cam.max()}")
        rounded = (np.rint(cam * _STEPS) / _STEPS).astype(np.float16)
        self._create(image_id, cam.shape, indices)[...] = rounded
        self._sink.check()

    def extend(self, reader: "CamReader") -> None:
        """Append all images of another file as they lie there: no map is unpacked for it.

        Raises ValueError for other classes, and as `add` for the ids; OSError as `add`.
        """
        if reader.class_names != self._names:
            raise ValueError(f"{reader.path}: classes {reader.class_names}, not {self._names}")
        for image_id in reader.ids:
            shape, classes, packed = reader.packed(image_id)
            data = self._create(image_id, shape, classes)
            if packed:
                data.id.write_direct_chunk((0, 0, 0), packed)
            self._sink.check()

    def _create(
        self, image_id: str, shape: tuple[int, ...], classes: NDArray[np.int64]
    ) -> h5py.Dataset:
        """The data set of one more image, yet without values."""
        if not image_id > self._last or "/" in image_id or image_id == ".":
            raise ValueError(
                f"image id {image_id!r} after {self._last!r}: ids must ascend and be plain names"
            )
        # one chunk: an image is read as a whole (HDF5 has none for no data)
        options = {"chunks": shape, **_FILTERS} if 0 not in shape else {}
        group = _create_group(self._file, image_id)
        data = group.create_dataset("cam", shape, np.float16, track_times=False, **options)
        data.attrs["classes"] = classes
        self._last = image_id
        return data


def _create(sink: "_Sink") -> h5py.File:
    """A new HDF5 file in the format of HDF5 1.10.

    The older one, h5py's default, spends 4 kB more on each image. The newer one stores times unless
    it is told not to, and h5py before 3.15 has no option for that, so this is its low-level part.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, sink)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return h5py.File(h5py.h5f.create(b"cams", h5py.h5f.ACC_TRUNC, creation, access))


def _create_group(file: h5py.File, name: str) -> h5py.Group:
    """A group without times."""
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=creation))


class _Sink(io.RawIOBase):
    """The file as HDF5 writes it, which notes the first error and swallows what follows.

    HDF5 cannot close a file whose last writes fail: on a full disk it ends the process with a
    segmentation fault. So it sees every write succeed, and `check` and `close` raise the error.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file and raise the first error; a second call does nothing."""
        if not self.closed:
            self._raw.close()
            super().close()
            self.check()

    def write(self, data: memoryview) -> int:
        rest = memoryview(data)
        try:
            while len(rest) and self._error is None:
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size

    def readinto(self, buffer: memoryview) -> int:
        return self._raw.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)


class CamReader:
    """Read the file; a context manager. Open it in the process that reads, never across a fork.

    ids: the image ids, ascending. class_names: the C foreground classes. digest: as written.
    Raises HscError for a file that is missing, truncated or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except FileNotFoundError:
            raise HscError(f"{path}: no such file; {_REMEDY}") from None
        except OSError as error:
            raise HscError(f"{path}: truncated or no HDF5 file ({error}); {_REMEDY}") from None
        try:
            version = self._file.attrs.get("format")
            if version != FORMAT:
                raise HscError(f"{path}: format {version}, this version reads {FORMAT}; {_REMEDY}")
            self.class_names: list[str] = list(self._read_attribute("class_names"))
            self.digest = str(self._read_attribute("digest"))
            self.ids: list[str] = sorted(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(
        self, image_id: str, size: tuple[int, ...] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The CAM, float32 (K, H, W) in [0, 1], and its K class indices.

        Raises HscError for an id that is not there, data that cannot be read or, with `size`, a CAM
        of another (H, W).
        """
        self.check([image_id])
        try:
            data = self._file[image_id]["cam"]
            cam, classes = data[()].astype(np.float32), data.attrs["classes"]
        except (OSError, KeyError, RuntimeError) as error:
            raise HscError(f"{self.path}: {image_id}: unreadable ({error}); {_REMEDY}") from None
        if size is not None and cam.shape[1:] != size:
            raise HscError(
                f"{self.path}: {image_id}: (height, width) is {cam.shape[1:]}, the picture's is "
                f"{size}; {_REMEDY}"
            )
        return cam, np.asarray(classes, dtype=np.int64)

    def packed(self, image_id: str) -> tuple[tuple[int, ...], NDArray[np.int64], bytes]:
        """The CAM's shape, its class indices and its bytes as they lie in the file; b"" of none."""
        data = self._file[image_id]["cam"]
        chunk = data.id.read_direct_chunk((0, 0, 0))[1] if data.size else b""
        return data.shape, data.attrs["classes"], chunk

    def check(self, ids: Iterable[str]) -> None:
        """Raise HscError unless every id is there."""
        missing = [image_id for image_id in ids if image_id not in self._file]
        if missing:
            raise HscError(
                f"{self.path}: no map of {missing[0]} ({len(missing)} missing); the file belongs "
                f"to another data set or split: {_REMEDY}"
            )

    def check_classes(self, class_names: Sequence[str], owner: object) -> None:
        """Raise HscError unless the maps are of these classes, those of `owner`."""
        if list(class_names) != list(self.class_names):
            raise HscError(
                f"{self.path}: its classes are {', '.join(self.class_names)}, those of {owner} "
                f"are {', '.join(class_names)}; run `dvc repro infer_cams` on this data set"
            )

    def _read_attribute(self, name: str) -> Any:
        if name not in self._file.attrs:
            raise HscError(f"{self.path}: attribute {name} is missing; {_REMEDY}")
        return self._file.attrs[name]
