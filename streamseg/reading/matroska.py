"""Damage in Matroska files. FFmpeg reads around it: its demuxer skips what it does not understand, and FFV1
fills damaged parts from the picture before. That is good for watching, and bad for measuring.

FFmpeg's muxer begins every element at the top level (clusters of frames among them) with a CRC-32 of
the rest of it, and writes the length of the whole when it is closed (RFC 8794, 11.3.1; RFC 9559).
"""

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from streamseg.errors import SourceError

_EBML, _SEGMENT, _CRC32 = 0x1A45DFA3, 0x18538067, b"\xbf\x84"

_TOP_LEVEL = {
    0x114D9B74: "SeekHead",
    0x1549A966: "Info",
    0x1654AE6B: "Tracks",
    0x1F43B675: "Cluster",
    0x1C53BB6B: "Cues",
    0x1043A770: "Chapters",
    0x1941A469: "Attachments",
    0x1254C367: "Tags",
    0xEC: "Void",
}


def intact_elements(path: Path) -> Iterator[int]:
    """Check a Matroska file element by element; of other files, nothing.

    A file whose writer was killed does not know its length: there the check ends at the last
    whole element. Elements without a CRC pass.

    Yields:
        Up to which byte the file is intact.

    Raises:
        SourceError: it is damaged from there on, or its end is missing.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        if _number(file, keep_marker=True) != _EBML:
            return
        file.seek(_number(file) or 0, io.SEEK_CUR)
        if _number(file, keep_marker=True) != _SEGMENT:
            raise SourceError(f"the beginning of {path} is damaged")  # FFmpeg looks further on
        segment_bytes = _number(file)
        end = length if segment_bytes is None else file.tell() + segment_bytes
        if end > length:
            raise SourceError(f"expected {end} bytes in {path}, got {length}; its end is missing")
        while file.tell() < end:
            begin = file.tell()
            identifier, num_bytes = _number(file, keep_marker=True), _number(file)
            body = file.tell()
            stop = body + (num_bytes or 0)
            known = identifier in _TOP_LEVEL
            torn = num_bytes is None or stop > end
            if torn and segment_bytes is None and (known or body == end):
                return
            if not known or torn or not _crc_fits(file, stop):
                name = _TOP_LEVEL.get(identifier or 0, "element")
                raise SourceError(f"the {name} at byte {begin} of {path} is damaged")
            file.seek(stop)
            yield stop


def _number(file: IO[bytes], keep_marker: bool = False) -> int | None:
    """EBML's number: the leading zeros of its first byte, up to a marker bit, say how many bytes
    follow. None at the end of the file, and for all ones, which mean "unknown".
    """
    first = file.read(1)
    if first in (b"", b"\0"):
        return None
    num_bits = 7 * (9 - first[0].bit_length())
    value = int.from_bytes(first + file.read(8 - first[0].bit_length()))
    if keep_marker:
        return value
    value &= (1 << num_bits) - 1
    return None if value == (1 << num_bits) - 1 else value


def _crc_fits(file: IO[bytes], stop: int) -> bool:
    head = file.read(6)
    if head[:2] != _CRC32:
        return True
    crc = 0
    while (left := stop - file.tell()) > 0:
        crc = zlib.crc32(file.read(min(left, 1 << 20)), crc)
    return crc == int.from_bytes(head[2:], "little")
