"""Label maps as pictures or arrays. Comes in: `Painted`. Goes out: a folder of PNG, or an npz. Runs on
the sink's thread. (As lossless video they are `video_writer`'s.)

Both grow under an unfinished name, `drive_labels.part` or `drive_labels.part.npz`, and get their own
when they are whole, so that an earlier result stays until then. Maps keep their sizes, which may change.
"""

import contextlib
import os
import re
import zipfile
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SinkError, reason
from streamseg.frames import Painted
from streamseg.labels import LabelSet
from streamseg.writing.partial import part_path

PNG_OPTIONS = {"compression_level": "1", "pred": "up"}
"""Rows of a label map mostly repeat the one above."""

INDEX_FILE = "frames.csv"

_PICTURE = re.compile(r"[0-9]{6,}\.png")


def part_folder(path: Path) -> Path:
    """Where the folder `path` grows: drive_labels -> drive_labels.part."""
    return path.with_name(f"{path.name}.part")


def is_label_folder(path: Path) -> bool:
    """Whether `path` is a folder that holds what `LabelFolder` writes, and nothing else: it can be
    replaced without loss of anybody's files.
    """
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if _is_ours(entry)]
    return len(names) == len(os.listdir(path)) and (not names or INDEX_FILE in names)


class LabelFolder:
    """A folder of PNGs: 000000.png and so on, whose palette is the label set's colours, so that a
    viewer shows colours and a reader gets class ids; and frames.csv with file, pts, time_seconds.

    A killed run leaves the unfinished folder with every picture that frames.csv names.

    Args:
        path: of the folder. One that `is_label_folder` is replaced.
        labels: the colours.

    Raises:
        SinkError: the folder cannot be made.
    """

    encoder, pix_fmt = "png", "pal8"

    def __init__(self, path: Path, labels: LabelSet) -> None:
        self.path = path
        self._part = part_folder(path)
        self._palette = np.full((256, 4), 255, np.uint8)  # ARGB, opaque
        self._palette[:, 1:] = labels.palette_rgb()
        self._encoder: av.VideoCodecContext | None = None
        self._frames = 0
        self._broken = False
        try:
            if self._part.is_dir() and is_label_folder(self._part):
                _remove(self._part)  # what a killed run left
            self._part.mkdir()
            # A line is written when it is complete, not when a buffer is full.
            index = self._part / INDEX_FILE
            self._index = index.open("w", buffering=1, encoding="ascii", newline="\n")
            self._index.write("file,pts,time_seconds\n")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {reason(error)}") from error

    def write(self, painted: Painted) -> None:
        """Write one map.

        Raises:
            SinkError: the disk is full.
        """
        name, frame = f"{self._frames:06d}.png", painted.frame
        try:
            (self._part / name).write_bytes(self._png(painted.labels))
            self._index.write(f"{name},{frame.pts},{frame.time_seconds!r}\n")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._broken = True
            raise _failure(self.path, self._part, self._frames, error) from error
        self._frames += 1

    def close(self) -> None:
        """Give the folder its name. Without a single map, leave nothing behind. Idempotent.

        Raises:
            SinkError: there is another folder by now, or the disk is full.
        """
        if self._index.closed:
            return
        try:
            self._index.close()
            if not self._frames:
                _remove(self._part)
            elif not self._broken:
                if self.path.is_dir() and is_label_folder(self.path):
                    _remove(self.path)
                os.replace(self._part, self.path)
        except OSError as error:
            if not self._broken:
                raise _failure(self.path, self._part, self._frames, error) from error

    def _png(self, labels: NDArray[np.uint8]) -> bytes:
        height, width = labels.shape
        encoder = self._encoder
        if encoder is None or (encoder.height, encoder.width) != labels.shape:
            encoder = self._encoder = av.CodecContext.create("png", "w")
            encoder.height, encoder.width, encoder.pix_fmt = height, width, "pal8"
            encoder.time_base = Fraction(1, 25)  # it asks for one, and has no use for it
            encoder.options = dict(PNG_OPTIONS)
        indexed: Any = (labels, self._palette)  # a pair, which PyAV's type does not say
        image = av.VideoFrame.from_ndarray(indexed, "pal8")
        return b"".join(bytes(packet) for packet in encoder.encode(image))


class LabelArchive:
    """An npz: the maps as "000000", "000001" and so on, each compressed and written as it comes; at
    the end "pts" (int64), "time_seconds" (float64), "time_base" (numerator and denominator of the
    unit of PTS in seconds) and "class_names".

    A killed run leaves an archive without its directory, which numpy cannot read; `read_labels` can.

    Args:
        path: of the file. One that exists is replaced.
        labels: the names.

    Raises:
        SinkError: the file cannot be made.
    """

    encoder, pix_fmt = "npz", "gray"

    def __init__(self, path: Path, labels: LabelSet) -> None:
        self.path = path
        self._part = part_path(path)
        self._class_names = labels.class_names
        self._pts = array("q")
        self._times = array("d")
        self._time_base = Fraction(1)
        self._closed = False
        self._broken = False
        try:
            self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        except OSError as error:
            raise SinkError(f"cannot write {path}: {reason(error)}") from error

    def write(self, painted: Painted) -> None:
        """Write one map.

        Raises:
            SinkError: the disk is full.
        """
        try:
            self._add(f"{len(self._pts):06d}", np.ascontiguousarray(painted.labels))
        except OSError as error:
            self._broken = True
            raise _failure(self.path, self._part, len(self._pts), error) from error
        self._pts.append(painted.frame.pts)
        self._times.append(painted.frame.time_seconds)
        self._time_base = painted.frame.time_base

    def close(self) -> None:
        """Write times, names and directory, and give the file its name. Without a single map, leave
        nothing behind. Idempotent.

        Raises:
            SinkError: the disk is full.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._pts and not self._broken:
                self._add("pts", np.array(self._pts, np.int64))
                self._add("time_seconds", np.array(self._times, np.float64))
                unit = self._time_base
                self._add("time_base", np.array([unit.numerator, unit.denominator], np.int64))
                self._add("class_names", np.array(self._class_names))
            self._zip.close()
            if self._pts and not self._broken:
                os.replace(self._part, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._zip.close()
            if self._pts and not self._broken:
                raise _failure(self.path, self._part, len(self._pts), error) from error
        finally:
            if not self._pts:
                self._part.unlink(missing_ok=True)

    def _add(self, name: str, values: NDArray[Any]) -> None:
        # zipfile mends a member's header when it is closed, and thereby flushes: what is complete
        # is on disk.
        with self._zip.open(f"{name}.npy", "w") as member:
            np.lib.format.write_array(member, values, allow_pickle=False)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    named = entry.name == INDEX_FILE or _PICTURE.fullmatch(entry.name) is not None
    return named and entry.is_file(follow_symlinks=False)


def _remove(folder: Path) -> None:
    """Delete a folder with what is ours in it.

    Raises:
        OSError: it holds something else too.
    """
    with os.scandir(folder) as entries:
        ours = [entry.path for entry in entries if _is_ours(entry)]
    for path in ours:
        os.unlink(path)
    folder.rmdir()


def _failure(path: Path, part: Path, frames: int, error: Exception) -> SinkError:
    rest = f"; the unfinished result is {part}" if frames else ""
    return SinkError(f"writing {path} failed after {frames} frames: {reason(error)}{rest}")
