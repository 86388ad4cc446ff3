"""Small files that would be huge if they were believed: bytes made here, none taken from anywhere.

Zeros are packed a thousandfold: one deflate block of a megabyte of them is a kilobyte, and may be repeated.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

MIB = 1 << 20


def deflated_zeros(count: int) -> Iterator[bytes]:
    """A raw deflate stream of `count` zeros, in pieces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    # A full flush forgets what came before: the same bytes again mean the same zeros again.
    for _ in range(count // MIB):
        yield block
    yield packer.compress(bytes(count % MIB)) + packer.flush()


def zlib_zeros(count: int) -> bytes:
    """A zlib stream of `count` zeros."""
    adler32 = (count % 65521) << 16 | 1
    return b"\x78\xda" + b"".join(deflated_zeros(count)) + struct.pack(">I", adler32)


def black_png(width: int, height: int, *, bits: int = 8, color: int = 0) -> bytes:
    """A valid PNG of zeros.

    Args:
        bits: per sample, 8 or 16.
        color: PNG's colour type: 0 gray, 2 RGB, 6 RGB with alpha.
    """
    samples = {0: 1, 2: 3, 6: 4}[color]
    row_bytes = 1 + width * samples * bits // 8
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib_zeros(row_bytes * height))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def png_with_profile(name: bytes, count: int) -> bytes:
    """A PNG of one pixel with `count` zeros packed into a colour profile (iCCP) or text (zTXt)."""
    small = black_png(1, 1)
    packed = _chunk(name, b"bomb\0\0" + zlib_zeros(count))
    return small[:33] + packed + small[33:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def empty_gif(width: int, height: int, num_frames: int = 3) -> bytes:
    """Pictures of one pixel on a screen of width x height."""
    picture = b"\x21\xf9\x04\0\x04\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    picture += b"\x02\x02\x44\x01\0"
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + picture * num_frames + b"\x3b"


def zeros_npz(shape: tuple[int, ...], name: str = "labels.npy") -> bytes:
    """A compressed `.npz` of uint8 zeros."""
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    head, count = header.getvalue(), int(np.prod(shape, dtype=np.int64))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    body += b"".join(deflated_zeros(count))
    # numpy reads before it compares checksums: a wrong one hinders no bomb.
    return _zip(name, body, len(head) + count)


def lying_npz(shape: tuple[int, ...], name: str = "labels.npy") -> bytes:
    """An `.npz` whose array claims `shape` and holds ten bytes."""
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        archive.writestr(info, header.getvalue() + bytes(10))
    return whole.getvalue()


def pickled_npz(name: str = "labels.npy") -> bytes:
    """An `.npz` whose array is a pickle: it must never be loaded."""
    array = np.array([{"a": 1}], dtype=object)
    inner, whole = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(inner, array, allow_pickle=True)
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), inner.getvalue())
    return whole.getvalue()


def _zip(name: str, body: bytes, size: int) -> bytes:
    """One deflated member; sizes above 4 GiB need zip64's extra field."""
    checksum, raw_name = 0, name.encode()
    extra = struct.pack("<HHQQ", 1, 16, size, len(body))
    fields = struct.pack(
        "<HHHHHIIIHH", 45, 0, 8, 0, 33, checksum, 0xFFFFFFFF, 0xFFFFFFFF, len(raw_name), len(extra)
    )
    local = b"PK\x03\x04" + fields + raw_name + extra + body
    central = b"PK\x01\x02" + struct.pack("<H", 45) + fields
    central += struct.pack("<HHHII", 0, 0, 0, 0, 0) + raw_name + extra
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def compressed_header_mp4(claimed: int = (1 << 32) - 1) -> bytes:
    """An mp4 whose `moov` is 256 MiB of packed zeros, or `claimed` bytes, as it says itself."""
    packed = zlib_zeros(256 * MIB)
    inner = _box(b"dcom", b"zlib") + _box(b"cmvd", struct.pack(">I", claimed) + packed)
    return _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"moov", _box(b"cmov", inner))


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def safetensors(header: object, *, claimed: int | None = None, body: bytes = b"") -> bytes:
    """A safetensors file; `claimed` stands in for the true length of its header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body
