"""Label maps back from the files that `--save labels` wrote: lossless video, a folder of PNG, or an npz.
What is damaged, or claims an absurd size, is refused rather than guessed at or allocated.
"""

import csv
import io
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SourceError, reason
from streamseg.picture.planes import plane_view
from streamseg.reading.limits import MAX_PIXELS
from streamseg.reading.matroska import intact_elements

LABEL_FORMATS = ("gray", "pal8")

TIMES_AND_NAMES = ("pts", "time_seconds", "time_base", "class_names")
"""Arrays of an npz that are no label maps."""

HEADER_BYTES = 10_000
"""The most that numpy takes for the header of an array."""

_ALIGNED_PIXELS = 1 << 22
"""FFmpeg's own limit counts rows as long as they lie in memory, up to 63 pixels longer."""


def read_labels(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Iterator[NDArray[np.uint8]]:
    """The label maps of a file or folder, in order, exactly as they were written, one at a time.

    What a killed run left (drive_labels.part.mkv, drive_labels.part.npz, drive_labels.part) is read
    as far as it goes.

    Args:
        path: what `--save labels` wrote: a lossless gray video, a folder of PNG (in the order of its
            frames.csv, else by number), an npz; or one image of class ids. Palettes are read as indices.
        max_pixels: of one map; larger ones are refused.

    Yields:
        H x W uint8 class ids.

    Raises:
        SourceError: it is missing, empty, damaged, too large, or holds no 8-bit label maps.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            for file in _pictures(path):
                yield _read_png(file, max_pixels)
        elif suffix == ".png":
            yield _read_png(path, max_pixels)
        elif suffix == ".npz":
            yield from _read_archive(path, max_pixels)
        else:
            yield from _read_video(path, max_pixels)
    except OSError as error:
        raise SourceError(f"expected label maps in {path}: {reason(error)}") from error


def _check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    if min(height, width) < 1 or height * width > max_pixels:
        raise SourceError(
            f"expected label maps of 1 to {max_pixels} pixels in {path}, got {height}x{width}; "
            f"read_labels(..., max_pixels=) allows more"
        )


def _indices(frame: av.VideoFrame, path: Path) -> NDArray[np.uint8]:
    if frame.format.name not in LABEL_FORMATS:
        raise SourceError(
            f"expected 8-bit gray label maps in {path}, got {frame.format.name}; is it an overlay?"
        )
    return plane_view(frame.planes[0]).copy()


# ---- PNG


def _pictures(folder: Path) -> list[Path]:
    """The PNGs of a folder in order: that of frames.csv, else 2 before 10."""
    index = folder / "frames.csv"
    if index.exists():
        try:
            with open(index, encoding="utf-8", newline="") as lines:
                names = [row["file"] for row in csv.DictReader(lines)]
        except (KeyError, ValueError, csv.Error) as error:
            raise SourceError(f"expected a column `file` of names in {index}: {error}") from error
        strange = [name for name in names if name != Path(name or ".").name]
        if strange:
            raise SourceError(f"expected names without folders in {index}, got {strange[0]!r:.60}")
        files = [folder / name for name in names]
    else:
        files = sorted(folder.glob("*.png"), key=lambda file: _natural(file.name))
    if not files:
        raise SourceError(f"expected label maps (.png) in {folder}; found none")
    return files


def _natural(name: str) -> list[tuple[int, str]]:
    # Digits are every second part.
    parts = re.split(r"([0-9]+)", name)
    return [(int(part or 0) if k % 2 else 0, part) for k, part in enumerate(parts)]


def _read_png(file: Path, max_pixels: int) -> NDArray[np.uint8]:
    decoder = av.CodecContext.create("png", "r")
    decoder.thread_count = 1  # frame by frame: else the picture would come with the next one
    decoder.options = {"err_detect": "crccheck+explode"}  # FFmpeg otherwise decodes around damage
    try:
        with open(file, "rb") as stream:
            head = stream.read(24)
            if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
                raise SourceError(f"expected label maps in {file}; it is no PNG")
            width, height = struct.unpack(">II", head[16:])
            _check_size(file, height, width, max_pixels)
            # 8 bytes a pixel are the most that a PNG has; the rest is room for palette and text.
            data = head + stream.read(8 * width * height + (1 << 20))
        (frame,) = decoder.decode(av.Packet(data))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"expected label maps in {file}: {reason(error)}") from error
    return _indices(frame, file)


# ---- npz


def _read_archive(path: Path, max_pixels: int) -> Iterator[NDArray[np.uint8]]:
    found = False
    try:
        for name, size, member in _members(path, max_pixels + HEADER_BYTES):
            if _is_label_map(name, path):
                yield _read_npy(path, name, size, member, max_pixels)
                found = True
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        # A damaged name may be long.
        raise SourceError(
            f"expected label maps in {path}; it is damaged: {error!s:.200}"
        ) from error
    if not found:
        raise SourceError(f"expected label maps 000000, 000001 ... in {path}; found none")


def _is_label_map(name: str, path: Path) -> bool:
    key = name.removesuffix(".npy")
    if key in TIMES_AND_NAMES:
        return False
    if not re.fullmatch(r"[0-9]{1,18}", key):
        raise SourceError(f"expected label maps 000000, 000001 ... in {path}, got {key!r:.60}")
    return True


def _members(path: Path, max_bytes: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size in bytes, what to read it from) of label maps in order, perhaps of others too."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        if not path.name.endswith(".part.npz"):
            raise
        yield from _members_without_directory(path, max_bytes)
        return
    with archive:
        infos = [info for info in archive.infolist() if _is_label_map(info.filename, path)]
        for info in sorted(infos, key=lambda info: int(info.filename.removesuffix(".npy"))):
            # The others may ask for gigabytes to decompress a byte.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"{info.filename!r} is not compressed by deflate")
            with archive.open(info) as member:
                yield info.filename, info.file_size, member


def _members_without_directory(path: Path, max_bytes: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """As `_members`, of a zip that was never finished: by the headers in front of the members, up to
    the last complete one. None may be larger than `max_bytes`.
    """
    with open(path, "rb") as stream:
        while len(head := stream.read(30)) == 30 and head.startswith(b"PK\x03\x04"):
            fields = struct.unpack("<6xHH4xIIIHH", head)
            flags, method, crc, packed, size, name_bytes, extra_bytes = fields
            name = stream.read(name_bytes).decode("cp437")
            stream.seek(extra_bytes, io.SEEK_CUR)
            if not packed:
                return  # zipfile fills its size in when the member is complete
            if flags or method != zipfile.ZIP_DEFLATED or max(packed, size) > 2 * max_bytes:
                raise zipfile.BadZipFile(f"{name!r} is too large, or not compressed by deflate")
            data = stream.read(packed)
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
            if len(inflated) != size or zlib.crc32(inflated) != crc:
                raise zipfile.BadZipFile(f"Bad CRC-32 for file {name!r}")
            yield name, size, io.BytesIO(inflated)


def _read_npy(
    path: Path, name: str, size: int, member: IO[bytes], max_pixels: int
) -> NDArray[np.uint8]:
    """One label map in numpy's format; nothing is allocated before its header and `size` agree."""
    try:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"format version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError, RecursionError) as error:
        raise SourceError(f"expected a numpy array as {name!r} of {path}: {error}") from error
    if dtype != np.uint8 or len(shape) != 2 or (fortran and 1 not in shape):
        raise SourceError(
            f"expected label maps of H x W uint8 in {path}, got {dtype} {shape} as {name!r}"
        )
    height, width = shape
    _check_size(path, height, width, max_pixels)
    if member.tell() + height * width != size:
        raise SourceError(
            f"expected {height}x{width} bytes as {name!r} of {path}; its size is another: damaged?"
        )
    pixels = member.read(height * width)
    if len(pixels) < height * width or member.read(1):
        raise EOFError(f"{name!r} ends early")
    return np.frombuffer(pixels, np.uint8).reshape(height, width).copy()  # theirs to change


# ---- video


def _read_video(path: Path, max_pixels: int) -> Iterator[NDArray[np.uint8]]:
    limits = {"max_pixels": str(max_pixels + _ALIGNED_PIXELS)}
    options = {**limits, "protocol_whitelist": "file"}
    intact = intact_elements(path)
    intact_until = next(intact, None)
    found = False
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise SourceError(f"expected a video of label maps in {path}; it holds none")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise SourceError(f"expected a video of label maps in {path}; its codec is unknown")
            stream.codec_context.options = limits
            if stream.height and stream.width:  # an image's is known when it is decoded
                _check_size(path, stream.height, stream.width, max_pixels)
            for packet in container.demux(stream):
                while intact_until is not None and (packet.pos or 0) >= intact_until:
                    intact_until = next(intact, None)
                for frame in packet.decode():
                    _check_size(path, frame.height, frame.width, max_pixels)
                    if frame.is_corrupt:
                        raise SourceError(f"expected label maps in {path}; a picture is damaged")
                    yield _indices(frame, path)
                    found = True
            for _ in intact:
                pass  # a last cluster may be damaged so that no packet came from it
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise SourceError(f"expected label maps in {path}: {reason(error)}") from error
    if not found:
        raise SourceError(f"expected a video of label maps in {path}; it holds none")
