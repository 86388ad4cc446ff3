"""What a PNG holds beside its picture, looked at before FFmpeg unpacks all of it: texts and colour profiles
are compressed, and a thousand bytes of them may stand for a million. Runs on the producer's thread.
"""

import struct
import zlib
from pathlib import Path

MAX_UNPACKED_BYTES = 16 << 20
"""Large colour profiles have 4 MB."""

_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def unpacks_too_far(path: Path) -> bool:
    """Whether FFmpeg would need absurd memory for what stands beside the picture; False if it is no PNG."""
    budget = MAX_UNPACKED_BYTES
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind not in _COMPRESSED:
                file.seek(length + 4, 1)
                continue
            if length > MAX_UNPACKED_BYTES:
                return True
            data = file.read(length)
            file.seek(4, 1)
            budget -= _unpacked(data, budget)
            if budget <= 0:
                return True
    return False


def _unpacked(data: bytes, limit: int) -> int:
    """Bytes that the compressed part of a chunk stands for, `limit` at most."""
    # It begins behind a name, a zero and one or two bytes more, and texts in two languages.
    for start in [at for at, byte in enumerate(data[:512]) if byte == 0x78]:
        try:
            return len(zlib.decompressobj().decompress(data[start:], limit))
        except zlib.error:
            continue
    return 0
