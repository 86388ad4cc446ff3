"""Inputs that somebody made to do harm, rather than files that were damaged. Each comes once in a round of the
corpus, as it is.
"""

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import caffe_writer
from fuzz.bombs import (
    MIB,
    black_png,
    compressed_header_mp4,
    empty_gif,
    lying_npz,
    pickled_npz,
    png_with_profile,
    safetensors,
    zeros_npz,
)
from fuzz.seeds import Kind, Seed
from fuzz.sizes import claim_size

Contents = dict[str, bytes]
"""Healthy files by name."""

HUGE = (16384, 16384)
EIGHT_K = (8192, 4608)
"""Of as many pixels as are accepted."""


def make_hostile(seeds: list[Seed]) -> list[Seed]:
    """All of them, in a fixed order, some made of the healthy `seeds`."""
    healthy = {name: data for seed in seeds for name, data in seed.files.items()}
    made = [_file("video", name, make(healthy)) for name, make in VIDEOS.items()]
    made += [_file("image", name, make(healthy)) for name, make in IMAGES.items()]
    made += [_file("labels", name, make(healthy)) for name, make in LABEL_FILES.items()]
    made += _folders(healthy)
    for kind, target, mutated, table in NETWORKS:
        files = next(seed.files for seed in seeds if seed.kind == kind)
        made += [
            _seed(kind, name, {**files, mutated: make(healthy)}, target)
            for name, make in table.items()
        ]
    return made


def _file(kind: Kind, name: str, data: bytes) -> Seed:
    return _seed(kind, name, {name: data}, name)


def _seed(kind: Kind, name: str, files: Contents, target: str) -> Seed:
    return Seed(kind=kind, name=name, files=files, target=target, fragile=())


# Videos -------------------------------------------------------------------------------------------


def _grows(name: str, start: bytes, width: int, height: int) -> Callable[[Contents], bytes]:
    """The second half of the pictures, which begin with `start`, claims another size."""

    def make(healthy: Contents) -> bytes:
        data = healthy[name]
        places = [found.start() for found in re.finditer(re.escape(start), data)]
        half = places[len(places) // 2]
        claimed = claim_size(HEADS[name] + data[half:], width, height)
        return data[:half] + claimed[len(HEADS[name]) :]

    return make


HEADS = {
    "h264.h264": b"",
    "mjpeg.avi": b"",
    "vp9.webm": b"\x1a\x45\xdf\xa3\xe0\xb0\x82\0\0\xba\x82\0\0V_VP9",
}
"""What `claim_size` must see in front of a picture to know the format."""


def _playlist(*lines: str) -> Callable[[Contents], bytes]:
    return lambda healthy: "\n".join(("#EXTM3U", "#EXT-X-TARGETDURATION:3600", *lines, "")).encode()


VIDEOS: dict[str, Callable[[Contents], bytes]] = {
    "packed_header.mp4": lambda healthy: compressed_header_mp4(),
    "packed_header_true.mp4": lambda healthy: compressed_header_mp4(256 * MIB),
    "huge_screen.gif": lambda healthy: empty_gif(65535, 65535),
    "large_screen.gif": lambda healthy: empty_gif(*EIGHT_K),
    "grows_huge.h264": _grows("h264.h264", b"\0\0\0\1\x67", *HUGE),
    "grows_large.h264": _grows("h264.h264", b"\0\0\0\1\x67", *EIGHT_K),
    "grows_huge.webm": _grows("vp9.webm", b"\x82\x49\x83\x42", *HUGE),
    "grows_large.webm": _grows("vp9.webm", b"\x82\x49\x83\x42", *EIGHT_K),
    "grows_huge.avi": _grows("mjpeg.avi", b"\xff\xd8\xff", *HUGE),
    "grows_large.avi": _grows("mjpeg.avi", b"\xff\xd8\xff", *EIGHT_K),
    # Lists of other files and addresses: none may be opened, waited for, or opened within itself.
    "passwords.mp4": _playlist("#EXTINF:1,", "/etc/passwd", "#EXT-X-ENDLIST"),
    "inward.mp4": _playlist("#EXTINF:1,", "http://127.0.0.1:9/x.ts", "#EXT-X-ENDLIST"),
    "never_ends.m3u8": _playlist("#EXTINF:1,", "nothing.ts"),
    "itself.m3u8": _playlist("#EXT-X-STREAM-INF:BANDWIDTH=1", "itself.m3u8"),
    "itself.ffconcat": lambda healthy: b"ffconcat version 1.0\nfile itself.ffconcat\n",
    "passwords.ffconcat": lambda healthy: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "waits.sdp": lambda healthy: (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        b"m=video 50040 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
}


# Images and label maps ----------------------------------------------------------------------------

IMAGES: dict[str, Callable[[Contents], bytes]] = {
    "bomb.png": lambda healthy: black_png(20000, 20000),
    "bomb_rgb.png": lambda healthy: black_png(30000, 30000, color=2),
    "largest.png": lambda healthy: black_png(*EIGHT_K, bits=16, color=6),
    "line.png": lambda healthy: black_png(65535, 1),
    "column.png": lambda healthy: black_png(1, 65535),
    "profile_bomb.png": lambda healthy: png_with_profile(b"iCCP", 4096 * MIB),
    "text_bomb.png": lambda healthy: png_with_profile(b"zTXt", 4096 * MIB),
    "huge.jpg": lambda healthy: claim_size(healthy["image.jpg"], 65500, 65500),
    "large.jpg": lambda healthy: claim_size(healthy["image.jpg"], *EIGHT_K),
    "huge.webp": lambda healthy: claim_size(healthy["image.webp"], 16383, 16383),
    "huge.tiff": lambda healthy: claim_size(healthy["image.tiff"], 65535, 65535),
    "huge.ppm": lambda healthy: claim_size(healthy["image.ppm"], 10**9, 10**9),
}

LABEL_FILES: dict[str, Callable[[Contents], bytes]] = {
    "bomb.npz": lambda healthy: zeros_npz((60000, 60000), "000000.npy"),
    "bomb_of_times.npz": lambda healthy: zeros_npz((1 << 32,), "pts.npy"),
    "many.npz": lambda healthy: _many_members(20_000),
    "lying.npz": lambda healthy: lying_npz((1 << 20, 1 << 20), "000000.npy"),
    "overflow.npz": lambda healthy: lying_npz((1 << 32, 1 << 32), "000000.npy"),
    "negative.npz": lambda healthy: lying_npz((-1, 64), "000000.npy"),
    "pickle.npz": lambda healthy: pickled_npz("000000.npy"),
    "bomb.png": lambda healthy: black_png(20000, 20000),
    "profile_bomb.png": lambda healthy: png_with_profile(b"iCCP", 4096 * MIB),
    "huge.mkv": lambda healthy: claim_size(healthy["large_labels.mkv"], 65535, 65535),
    "large.mkv": lambda healthy: claim_size(healthy["large_labels.mkv"], *EIGHT_K),
    "overlay.mp4": lambda healthy: healthy["h264.mp4"],
}


def _many_members(count: int) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for index in range(count):
            archive.writestr(zipfile.ZipInfo(f"{index:06}.npy", (1980, 1, 1, 0, 0, 0)), b"")
    return whole.getvalue()


def _folders(healthy: Contents) -> Iterator[Seed]:
    frames = {name: data for name, data in healthy.items() if name.startswith("frames/")}
    labels = {name: data for name, data in healthy.items() if name.startswith("labels/")}
    bomb = {"frames/003.png": black_png(20000, 20000)}
    yield _seed("folder", "frames_and_bomb", {**frames, **bomb}, "frames")
    bombs = {f"frames/{index:03}.png": black_png(*EIGHT_K) for index in range(2)}
    yield _seed("folder", "frames_and_8k", {**frames, **bombs}, "frames")
    bomb = {"labels/000001.png": black_png(20000, 20000)}
    yield _seed("labels", "labels_and_bomb", {**labels, **bomb}, "labels")
    elsewhere = b"file,pts,time_seconds\n../../image.png,0,0\n/etc/passwd,1,0.04\n"
    yield _seed("labels", "labels_elsewhere", {**labels, "labels/frames.csv": elsewhere}, "labels")
    endless = b"file,pts,time_seconds\n" + b'"' + b"x" * (16 * MIB)
    yield _seed("labels", "labels_endless", {**labels, "labels/frames.csv": endless}, "labels")


# Weights ------------------------------------------------------------------------------------------


def _header(healthy: Contents) -> dict[str, Any]:
    data = healthy["tiny.safetensors"]
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def _body(healthy: Contents) -> bytes:
    data = healthy["tiny.safetensors"]
    (length,) = struct.unpack_from("<Q", data)
    return data[8 + length :]


def _with_card(**changes: Any) -> Callable[[Contents], bytes]:
    """The weights, whose card says something else."""

    def make(healthy: Contents) -> bytes:
        header = _header(healthy)
        card = json.loads(header["__metadata__"]["streamseg"])
        header["__metadata__"]["streamseg"] = json.dumps(_changed(card, changes))
        return safetensors(header, body=_body(healthy))

    return make


def _with_tensor(**changes: Any) -> Callable[[Contents], bytes]:
    """The weights, one of whose tensors is described otherwise."""

    def make(healthy: Contents) -> bytes:
        header = _header(healthy)
        header["classify.weight"] = {**header["classify.weight"], **changes}
        return safetensors(header, body=_body(healthy))

    return make


def _nested(depth: int) -> Any:
    return json.loads('{"a":' * depth + "1" + "}" * depth)


WEIGHTS: dict[str, Callable[[Contents], bytes]] = {
    "header of 2^40 bytes": lambda healthy: safetensors(_header(healthy), claimed=1 << 40),
    "header of 2^63 bytes": lambda healthy: safetensors(_header(healthy), claimed=1 << 63),
    "header of brackets": lambda healthy: safetensors(b"[" * (15 * MIB)),
    "header of spaces": lambda healthy: safetensors(b"{" + b" " * (15 * MIB) + b"}"),
    "many tensors": lambda healthy: safetensors(
        {**_header(healthy), **{f"t{index}": _EMPTY for index in range(100_000)}},
        body=_body(healthy),
    ),
    "shape of 2^80": _with_tensor(shape=[1 << 20] * 4),
    "shape of 2^64": _with_tensor(shape=[1 << 63, 2]),
    "offsets beyond the end": _with_tensor(data_offsets=[0, 1 << 40]),
    "offsets backwards": _with_tensor(data_offsets=[100, 0]),
    "width 1": _with_card(width=1),
    "width of nothing": _with_card(width=1e-300),
    "network of 8192x8192": _with_card(input={"size": [8192, 8192]}),
    "step of 10^9": _with_card(input={"multiple": 10**9}),
    "255 long names": _with_card(classes=["x" * 10_000] * 255, palette=None),
    "deep notes": _with_card(notes=_nested(300)),
    "lines in the name": _with_card(name="a\nstreamseg: error: b\x1b[2J"),
    "tiny deviation": _with_card(input={"std": [1e-300] * 3}),
}

_EMPTY = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}


def _card(**changes: Any) -> Callable[[Contents], bytes]:
    def make(healthy: Contents) -> bytes:
        return json.dumps(_changed(json.loads(healthy["net.json"]), changes)).encode()

    return make


def _changed(card: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {**card, **changes, "input": {**card["input"], **changes.get("input", {})}}


CARDS: dict[str, Callable[[Contents], bytes]] = {
    "card of 2 MB": lambda healthy: healthy["net.json"] + b" " * (2 * MIB),
    "card of brackets": lambda healthy: b'{"input":' + b"[" * 900_000,
    "card of 8192x8192": _card(input={"size": [8192, 8192]}),
    "card of 10^9 steps": _card(input={"multiple": 10**9}),
    "card of 3 classes": _card(classes=["a", "b", "c"], palette=None),
    "card of deep notes": _card(notes=_nested(300)),
    "card of a long list": _card(input={"mean": list(range(100_000))}),
    "card of unknown keys": _card(**{f"key\n{index}": 1 for index in range(20_000)}),
}


def _chunk_of_fields(healthy: Contents) -> bytes:
    """A layer of four million fields of no meaning."""
    return caffe_writer.chunk(100, b"\x50\x01" * (4 * MIB))


CAFFEMODELS: dict[str, Callable[[Contents], bytes]] = {
    "layer of 2^60 bytes": lambda healthy: b"\xa2\x06" + caffe_writer.varint(1 << 60) + b"\0" * 99,
    "four million fields": _chunk_of_fields,
    "unending number": lambda healthy: b"\xff" * MIB,
    "million layers": lambda healthy: caffe_writer.chunk(100, b"") * MIB,
    "blob of 2^60 values": lambda healthy: caffe_writer.chunk(
        100,
        caffe_writer.chunk(7, caffe_writer.chunk(7, caffe_writer.integer(1, 1 << 60))),
    ),
}

NETWORKS: tuple[tuple[Kind, str, str, dict[str, Callable[[Contents], bytes]]], ...] = (
    ("weights", "tiny.safetensors", "tiny.safetensors", WEIGHTS),
    ("card", "net.xml", "net.json", CARDS),
    ("caffemodel", "icnet.caffemodel", "icnet.caffemodel", CAFFEMODELS),
)
"""Kind, what the user names, what is replaced, and by what."""
