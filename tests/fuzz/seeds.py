"""The healthy files that the corpus is made from: small, and the same bytes in every run on one machine.

A `Seed` is all that a user would name at once: a video, a picture, a folder of them, weights, a card.
"""

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import caffe_writer
import cv2

# isort: split
import av
import numpy as np
from media import picture, write_clip
from numpy.typing import NDArray

Kind = Literal["video", "image", "folder", "labels", "weights", "card", "caffemodel"]

SMALL, LARGE = (48, 64), (288, 352)
"""Height and width; only two, as a network's entry is compiled for each. Matroska writes a side above 255
in two bytes, so that absurd ones fit the field."""

TINY_WIDTH = 1 / 16
"""Of ICNet: 110,000 weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A healthy input.

    Attributes:
        name: for recipes and tables.
        files: contents by path in the case's folder.
        target: what the user names: one of `files`, or a folder of them.
        fragile: the files that are to be damaged.
        refused: it cannot be run even when healthy (ICNet's published weights are 26 MB; the corpus
            holds a few layers of them).
    """

    kind: Kind
    name: str
    files: dict[str, bytes]
    target: str
    fragile: tuple[str, ...]
    refused: bool = False


def make_seeds() -> list[Seed]:
    """All of them, in a fixed order."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_make_seeds(Path(folder)))


def _make_seeds(folder: Path) -> Iterator[Seed]:
    for name, arguments in CLIPS.items():
        arguments = {"container_options": _SAME_BYTES, "num_frames": 12, **arguments}
        yield _single("video", name, write_clip(folder / name, **arguments).read_bytes())
    images = {name: _image(name, 0) for name in IMAGES}
    for name, data in images.items():
        yield _single("image", name, data)
    numbered = {f"frames/{index:03}{name[5:]}": images[name] for index, name in enumerate(IMAGES)}
    yield Seed(kind="folder", name="frames", files=numbered, target="frames", fragile=(*numbered,))
    yield from _label_files(folder)
    yield from _weights(folder)


def _single(kind: Kind, name: str, data: bytes, **changes: Any) -> Seed:
    return Seed(kind=kind, name=name, files={name: data}, target=name, fragile=(name,), **changes)


# Videos -------------------------------------------------------------------------------------------

_SAME_BYTES = {"fflags": "+bitexact"}
_X264 = {"preset": "ultrafast", "threads": "1", "g": "5", "bf": "2"}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "4", "threads": "1"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}

CLIPS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": _X264},
    "h264_aac.mp4": {"options": _X264, "audio": "aac"},
    "h264_fragments.mp4": {
        "options": _X264,
        "audio": "aac",
        "container_options": {**_SAME_BYTES, **_FRAGMENTS},
    },
    "h264.mkv": {"options": _X264, "size": LARGE},
    "h264_aac.mkv": {"options": _X264, "audio": "aac"},
    "h264.ts": {"options": _X264},
    "h264.h264": {"options": _X264},
    "h264_mp2.ts": {"options": _X264, "audio": "mp2"},
    "hevc.mp4": {"codec": "libx265", "options": _X265},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_mp3.avi": {"codec": "mpeg4", "audio": "libmp3lame"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": _VP9},
    "vp9_opus.webm": {"codec": "libvpx-vp9", "options": _VP9, "audio": "libopus"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1", "size": LARGE, "num_frames": 4},
    "moving.gif": {"codec": "gif", "pix_fmt": "bgr8"},
}
"""Arguments of `media.write_clip` by file name."""


# Images and label maps ----------------------------------------------------------------------------

IMAGES = ("image.png", "image.jpg", "image.bmp", "image.webp", "image.tiff", "image.ppm")

_LOSSY = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 80]}
"""OpenCV's WebP is lossless unless told otherwise."""


def _image(name: str, index: int) -> bytes:
    suffix = Path(name).suffix
    done, data = cv2.imencode(suffix, picture(index, SMALL), _LOSSY.get(suffix, []))
    assert done
    return data.tobytes()


def _label_files(folder: Path) -> Iterator[Seed]:
    """What `--save labels` writes, in its three forms."""
    for name, size in (("labels.mkv", SMALL), ("large_labels.mkv", LARGE)):
        path = write_clip(
            folder / name,
            codec="ffv1",
            pix_fmt="gray",
            size=size,
            container_options=_SAME_BYTES,
        )
        yield _single("labels", name, path.read_bytes())
    maps = [picture(index, SMALL)[:, :, 0] // 24 for index in range(4)]
    yield _single("labels", "labels.npz", _label_archive(maps))
    files = {f"labels/{index:06}.png": _palette_png(values) for index, values in enumerate(maps)}
    rows = [f"{index:06}.png,{index},{index / 25}\n" for index in range(len(maps))]
    files["labels/frames.csv"] = "".join(["file,pts,time_seconds\n", *rows]).encode()
    yield Seed(kind="labels", name="labels", files=files, target="labels", fragile=(*files,))


def _label_archive(maps: list[NDArray[np.uint8]]) -> bytes:
    archive = io.BytesIO()
    arrays: dict[str, Any] = {f"{index:06}": values for index, values in enumerate(maps)}
    arrays["pts"] = np.arange(len(maps))
    arrays["time_seconds"] = np.arange(len(maps)) / 25
    arrays["time_base"] = np.array([1, 25])
    arrays["class_names"] = np.array(["sky", "road"])
    np.savez_compressed(archive, **arrays)
    return archive.getvalue()


def _palette_png(values: NDArray[np.uint8]) -> bytes:
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = values.shape
    encoder.pix_fmt, encoder.time_base = "pal8", Fraction(1, 25)
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
    image = av.VideoFrame.from_ndarray((values, palette), "pal8")
    return b"".join(bytes(packet) for packet in encoder.encode(image))


# Weights ------------------------------------------------------------------------------------------


def _weights(folder: Path) -> Iterator[Seed]:
    yield _with_image("weights", "tiny.safetensors", {"tiny.safetensors": tiny_weights(folder)})
    yield _with_image("card", "net.json", _stranger(folder), target="net.xml")
    caffemodel = {"icnet.caffemodel": _few_caffe_layers()}
    yield _with_image("caffemodel", "icnet.caffemodel", caffemodel, refused=True)


def _with_image(
    kind: Kind, name: str, files: dict[str, bytes], *, target: str = "", refused: bool = False
) -> Seed:
    """A network, and a picture for it to work on."""
    return Seed(
        kind=kind,
        name=name,
        files={**files, "image.png": _image("image.png", 0)},
        target=target or name,
        fragile=(name,),
        refused=refused,
    )


def tiny_weights(folder: Path) -> bytes:
    """An untrained ICNet with its card, as `streamseg train` writes it."""
    import torch

    from streamseg.labels import CAMVID
    from streamseg.models.card import InputSpec, ModelCard
    from streamseg.models.icnet import ICNet
    from streamseg.models.weights import save_weights

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = ICNet(len(CAMVID), width=TINY_WIDTH).state_dict()
    card = ModelCard(
        name="tiny",
        architecture="icnet",
        labels=CAMVID,
        input=InputSpec(size=(65, 97)),
        width=TINY_WIDTH,
        notes={"data": "none", "scores": {"miou": 0.1}},
    )
    save_weights(folder / "tiny.safetensors", state, card)
    return (folder / "tiny.safetensors").read_bytes()


def _stranger(folder: Path) -> dict[str, bytes]:
    """A convolution in OpenVINO's format, and the card beside it."""
    import openvino as ov
    import openvino.opset13 as ops

    image = ops.parameter([1, 3, -1, -1], np.float32)
    kernel = np.random.default_rng(0).normal(0, 0.1, (2, 3, 3, 3)).astype(np.float32)
    weights = ops.constant(kernel)
    scores = ops.convolution(image, weights, [4, 4], [1, 1], [1, 1], [1, 1])
    answer = ops.result(scores)
    # Their own names count up from one network to the next.
    for node, name in (
        (image, "image"),
        (weights, "weights"),
        (scores, "scores"),
        (answer, "answer"),
    ):
        node.set_friendly_name(name)
    ov.save_model(ov.Model([answer], [image], "net"), str(folder / "net.xml"))
    card = {
        "classes": ["road", "other"],
        "palette": [[128, 64, 128], [0, 0, 0]],
        "input": {
            "size": [64, 96],
            "color": "rgb",
            "mean": [123.7, 116.3, 103.5],
            "std": [58.4, 57.1, 57.4],
            "align_corners": False,
            "multiple": 32,
            "offset": 0,
        },
    }
    files = {name: (folder / name).read_bytes() for name in ("net.xml", "net.bin")}
    return {**files, "net.json": json.dumps(card, indent=1).encode()}


def _few_caffe_layers() -> bytes:
    rng = np.random.default_rng(0)
    layers = [
        caffe_writer.layer("data_sub1", "Scale", ["data"], ["data_sub1"], [_blob(rng, (3,))]),
    ]
    forms = ("packed", "split", "unpacked", "double", "legacy")
    bottom = "data_sub1"
    for index, form in enumerate(forms):
        name = f"conv1_{index}_3x3"
        blobs = [_blob(rng, (8, 3, 3, 3), form), _blob(rng, (8,), form)]
        layers.append(caffe_writer.layer(name, "Convolution", [bottom], [name], blobs))
        bottom = name
    layers.append(caffe_writer.layer("old", "Old", [bottom], ["old"], [_blob(rng, (8,))], v1=True))
    return caffe_writer.net(layers)


def _blob(rng: np.random.Generator, shape: tuple[int, ...], form: str = "packed") -> bytes:
    return caffe_writer.blob(rng.normal(0, 1, shape), form)
