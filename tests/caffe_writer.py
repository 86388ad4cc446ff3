"""Test-only encoder of Caffe's `NetParameter`: just enough protobuf to write a `.caffemodel`."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """A varint field."""
    return varint(number << 3) + varint(value)


def chunk(number: int, payload: bytes) -> bytes:
    """A length-delimited field: text, packed values or a message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(values: NDArray[np.floating], form: str = "packed") -> bytes:
    """A BlobProto. Forms: packed, split (two pieces), unpacked, double, legacy (four axes)."""
    shape = chunk(7, chunk(1, b"".join(varint(axis) for axis in values.shape)))
    raw = values.astype("<f4").tobytes()
    if form == "packed":
        return shape + chunk(5, raw)
    if form == "split":
        return chunk(5, raw[:4]) + shape + chunk(5, raw[4:])
    if form == "unpacked":
        axes = chunk(7, b"".join(integer(1, axis) for axis in values.shape))
        tag = varint(5 << 3 | 5)
        return axes + b"".join(tag + raw[at : at + 4] for at in range(0, len(raw), 4))
    if form == "double":
        return shape + chunk(8, values.astype("<f8").tobytes())
    assert form == "legacy"
    axes = (1,) * (4 - values.ndim) + values.shape
    return b"".join(integer(number, axis) for number, axis in enumerate(axes, 1)) + chunk(5, raw)


def layer(
    name: str,
    kind: str,
    bottoms: Iterable[str] = (),
    tops: Iterable[str] = (),
    blobs: Sequence[bytes] = (),
    *,
    v1: bool = False,
) -> bytes:
    """One field of NetParameter: `layer`, or with `v1` the `layers` of old files (type 4)."""
    numbers = (4, 2, 3, 6) if v1 else (1, 3, 4, 7)
    body = chunk(numbers[0], name.encode())
    body += integer(5, 4) if v1 else chunk(2, kind.encode())
    for number, texts in ((numbers[1], bottoms), (numbers[2], tops)):
        body += b"".join(chunk(number, text.encode()) for text in texts)
    # Fields that a reader must skip: loss_weight (float), phase (varint), convolution_param.
    body += varint(5 << 3 | 5) + b"\0\0\0\0" if not v1 else b""
    body += integer(10, 1) if not v1 else b""
    body += chunk(106 if not v1 else 10, integer(1, 64) + integer(4, 3))
    body += b"".join(chunk(numbers[3], encoded) for encoded in blobs)
    return chunk(2 if v1 else 100, body)


def net(layers: Iterable[bytes], name: str = "icnet") -> bytes:
    """NetParameter: name, input and the layers."""
    return chunk(1, name.encode()) + chunk(3, b"data") + b"".join(layers)
