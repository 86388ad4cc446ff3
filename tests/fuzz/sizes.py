"""Files that claim another picture size than they hold: the field is found as the format says, and written over.

Checksums are mended, so that a reader gets as far as the claim.
"""

import random
import re
import struct
import zlib
from collections.abc import Callable

ABSURD = (
    (0, 0),
    (1, 1),
    (65535, 65535),
    (65535, 1),
    (1, 65535),
    (30000, 20000),
    (16384, 16384),
    (8192, 4608),
    (0xFFFFFFFF, 0xFFFFFFFF),
    (0x7FFFFFFF, 2),
    (0x80000000, 0x80000000),
)
"""(width, height). 8192 x 4608 is the one that a reader may accept: 8K."""


class UnknownFormatError(Exception):
    """There is no size in such a file, or none that this module can find."""


def absurd_size(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """`data` with one of `ABSURD` as its size; a `mutations.Mutator`.

    Raises:
        UnknownFormatError: see there.
    """
    return claim_size(data, *rng.choice(ABSURD))


def claim_size(data: bytes, width: int, height: int) -> bytes:
    """`data` with width x height as its size, as far as its fields can hold it.

    Raises:
        UnknownFormatError: see there.
    """
    for starts, write in _FORMATS:
        if re.match(starts, data, re.DOTALL):
            claimed = bytearray(data)
            write(claimed, width, height)
            return bytes(claimed)
    raise UnknownFormatError(f"no size in a file that begins with {data[:12]!r}")


def _put(data: bytearray, at: int, form: str, *values: int) -> None:
    """Pack `values`, cut to the bits that the fields have."""
    bits = 8 * struct.calcsize(form) // len(values)
    signed = form[-1].islower()
    fitted = [_fit(value, bits, signed) for value in values]
    struct.pack_into(form, data, at, *fitted)


def _fit(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _find(data: bytearray, pattern: bytes) -> int:
    """Where the last group of `pattern` begins."""
    found = re.search(pattern, data, re.DOTALL)
    if not found:
        raise UnknownFormatError(f"{pattern!r} is not in the file")
    return found.end()


def _png(data: bytearray, width: int, height: int) -> None:
    _put(data, 16, ">II", width, height)
    _put(data, 29, ">I", zlib.crc32(data[12:29]))


def _jpeg(data: bytearray, width: int, height: int) -> None:
    """SOF0 or SOF2 of every picture."""
    for found in re.finditer(rb"\xff[\xc0\xc2]..\x08....[\x01\x03]", bytes(data), re.DOTALL):
        _put(data, found.start() + 5, ">HH", height, width)


def _gif(data: bytearray, width: int, height: int) -> None:
    """Logical screen, and the first picture on it."""
    _put(data, 6, "<HH", width, height)
    colors = 3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0
    at = data.find(b"\x2c\0\0\0\0", 13 + colors)
    if at > 0:
        _put(data, at + 5, "<HH", width, height)


def _bmp(data: bytearray, width: int, height: int) -> None:
    _put(data, 18, "<ii", width, height)


def _webp(data: bytearray, width: int, height: int) -> None:
    """A lossy picture: 14 bits each behind its start code."""
    at = _find(data, rb"\x9d\x01\x2a")
    _put(data, at, "<HH", width & 0x3FFF, height & 0x3FFF)


def _tiff(data: bytearray, width: int, height: int) -> None:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (256, 257):
            form = "H" if kind == 3 else "I"
            _put(data, entry + 8, order + form, width if tag == 256 else height)


def _ppm(data: bytearray, width: int, height: int) -> None:
    data[:] = re.sub(rb"(?<=P6\n)\d+ \d+", b"%d %d" % (width, height), bytes(data), count=1)


def _mp4(data: bytearray, width: int, height: int) -> None:
    """The track's size (16.16 fixed point) and that of its pictures."""
    at = _find(data, rb"tkhd")
    (length,) = struct.unpack_from(">I", data, at - 8)
    _put(data, at - 8 + length - 8, ">II", width << 16, height << 16)
    at = _find(data, rb"stsd.{12}(?:avc1|hvc1|hev1|mp4v)")
    _put(data, at + 24, ">HH", width, height)


def _matroska(data: bytearray, width: int, height: int) -> None:
    """PixelWidth and PixelHeight (two bytes each of the sizes that seeds have), and a VP9 header."""
    at = _find(data, rb"\xe0.{0,40}?\xb0(?=[\x81\x82])")
    for value in (width, height):
        length = data[at] & 0x7F
        _put(data, at + 1, ">H" if length == 2 else ">B", value)
        at += 2 + length  # behind it: the next element's name, then its length
    if b"V_VP9" in data:
        _vp9(data, width, height)


def _vp9(data: bytearray, width: int, height: int) -> None:
    """Key frames: width and height less one of 16 bits each, four bits behind the sync code."""
    at = _find(data, rb"\x49\x83\x42")
    bits = int.from_bytes(data[at : at + 5], "big")
    size = ((width - 1) & 0xFFFF) << 16 | (height - 1) & 0xFFFF
    bits = bits & ~(0xFFFFFFFF << 4) | size << 4
    data[at : at + 5] = bits.to_bytes(5, "big")


def _avi(data: bytearray, width: int, height: int) -> None:
    """The file's header, the stream's, and the pictures' own if they are JPEG."""
    _put(data, _find(data, rb"avih") + 36, "<II", width, height)
    _put(data, _find(data, rb"strf.{4}\x28\0\0\0"), "<II", width, height)
    if b"MJPG" in data:
        _jpeg(data, width, height)


def _annex_b(data: bytearray, width: int, height: int) -> None:
    """Every sequence parameter set of a bare H.264 stream, of a profile without chroma format."""
    units = re.split(rb"(\0\0\0?\x01)", bytes(data))
    for index, unit in enumerate(units):
        if unit[:1] == b"\x67":
            units[index] = _parameter_set(unit, width, height)
    data[:] = b"".join(units)


def _parameter_set(unit: bytes, width: int, height: int) -> bytes:
    """An H.264 sequence parameter set with another size, counted in macroblocks of 16 pixels less one."""
    body = unit[4:].replace(b"\0\0\x03", b"\0\0")  # behind type, profile, constraints, level
    bits = "".join(f"{byte:08b}" for byte in body)

    def skip(at: int) -> int:
        return at + 2 * (bits.index("1", at) - at) + 1

    at = skip(skip(0))  # number of the set, length of frame numbers
    sends_order = bits[at] == "1"  # order type 0, the length of whose numbers follows
    at = skip(skip(at)) if sends_order else skip(at)
    start = skip(at) + 1  # number of reference frames, whether gaps are allowed
    stop = skip(skip(start))
    claimed = "".join(_exponential_golomb(max(side // 16 - 1, 0)) for side in (width, height))
    bits = bits[:start] + claimed + bits[stop:].rstrip("0")
    bits += "0" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return unit[:4] + re.sub(rb"\0\0(?=[\0-\x03])", b"\0\0\x03", body)


def _exponential_golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _safetensors(data: bytearray, width: int, height: int) -> None:
    """The first two-dimensional or larger shape of the header; its length stays right."""
    (length,) = struct.unpack_from("<Q", data)
    header = bytes(data[8 : 8 + length])
    header = re.sub(rb'("shape":\s*\[)\d+,\d+', rb"\g<1>%d,%d" % (width, height), header, count=1)
    data[: 8 + length] = struct.pack("<Q", len(header)) + header


def _card(data: bytearray, width: int, height: int) -> None:
    data[:] = re.sub(
        rb'("size":\s*\[)\s*\d+,\s*\d+', rb"\g<1>%d, %d" % (height, width), bytes(data), count=1
    )


_FORMATS: tuple[tuple[bytes, Callable[[bytearray, int, int], None]], ...] = (
    (rb"\x89PNG", _png),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"GIF8", _gif),
    (rb"BM", _bmp),
    (rb"RIFF....WEBP", _webp),
    (rb"RIFF....AVI ", _avi),
    (rb"II\*\0|MM\0\*", _tiff),
    (rb"P6\n", _ppm),
    (rb"....ftyp", _mp4),
    (rb"\x1a\x45\xdf\xa3", _matroska),
    (rb"\0\0\0?\x01", _annex_b),
    (rb'.{8}\{"', _safetensors),
    (rb"\{\s", _card),
)
"""What a file begins with -> who writes its size."""
