"""`LabelledVideo`: a video file and the truth of each of its frames. Made of a split's images, which are encoded as
a camera would; of a video of them that is there already; or rendered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import cv2

# isort: split
import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from streamseg.datasets import LabelledImages
from streamseg.errors import DataError, SinkError
from streamseg.evaluation.consistency import flow_targets
from streamseg.labels import CAMVID, IGNORE, LabelSet
from streamseg.picture.convert import EXACT
from streamseg.reading.open_source import open_source
from streamseg.reading.source import Cut
from streamseg.sample import write_sample

Recipe = Literal["camera", "default"]

RECIPES: dict[Recipe, dict[str, str]] = {
    "camera": {"x264-params": "bframes=0:ref=1:keyint=250:scenecut=0"},
    "default": {},
}
"""How a split becomes a video, by x264 at CRF 18, preset medium. "camera": as the encoders of cameras do, that cannot
wait: every picture is predicted from the one before it, with a codec keyframe once in 250 pictures. "default": as
x264 does by itself: B-frames, several references, codec keyframes at cuts. One thread each, so that a file comes out
the same whatever the machine's cores.
"""

CAMVID_RATE = Fraction(15)
"""Frames a second of CamVid's validation clip: every second one of a video of 30."""


@dataclass(slots=True, kw_only=True, eq=False)
class LabelledVideo:
    """A video whose every frame has its truth.

    Attributes:
        path: of the video.
        dataset, split: where the truth is from.
        labels: the classes.
        truth: of each frame H x W uint8 class ids with `IGNORE`, H and W the video's (upright).
        recipe: how it was encoded; None if not by `encode_images`.
    """

    path: Path
    dataset: str
    split: str
    labels: LabelSet
    truth: list[NDArray[np.uint8]] = field(repr=False)
    recipe: Recipe | None = None
    _targets: list[NDArray[np.int32]] = field(default_factory=list, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.truth)

    def flow_targets(self, frames: int) -> list[NDArray[np.int32]]:
        """`consistency.flow_targets` of the first so many frames; kept, for they do not depend on any network.

        Raises:
            SourceError: the video cannot be read.
        """
        if len(self._targets) < frames - 1:
            source = open_source(self.path, cut=Cut(limit=frames))
            try:
                self._targets = flow_targets([frame.pixels.y.copy() for frame in source])
            finally:
                source.close()
        return self._targets[: max(frames - 1, 0)]


def encode_split(
    dataset: LabelledImages,
    path: Path,
    *,
    recipe: Recipe = "camera",
    rate: int | Fraction = CAMVID_RATE,
    limit: int | None = None,
) -> LabelledVideo:
    """Make one video of a split's images, in the order of its list.

    Args:
        path, recipe, rate: see `encode_images`.
        limit: only the first so many images.

    Raises:
        DataError: an image cannot be read, or they differ in size.
        SinkError: the video cannot be written.
        ValueError: a limit below 1.
    """
    truth: list[NDArray[np.uint8]] = []
    total = len(dataset) if limit is None else min(limit, len(dataset))

    def images() -> Iterator[NDArray[np.uint8]]:
        for index in range(total):
            image, labels = dataset.load(index)
            if truth and truth[0].shape != even(labels, IGNORE).shape:
                raise DataError(
                    f"expected images of one size to make a video of {dataset.name} {dataset.split}; "
                    f"{dataset.pairs[index][0].name} differs from the first"
                )
            truth.append(even(labels, IGNORE))
            yield image

    encode_images(images(), path, recipe=recipe, rate=rate)
    return LabelledVideo(
        path=path,
        dataset=dataset.name,
        split=dataset.split,
        labels=dataset.labels,
        truth=truth,
        recipe=recipe,
    )


def video_of_split(dataset: LabelledImages, path: Path) -> LabelledVideo:
    """A video that shows a split's images, in the order of its list: their truth is taken for its frames'.

    Raises:
        DataError: a label map cannot be read.
    """
    truth = [even(dataset.load(index)[1], IGNORE) for index in range(len(dataset))]
    return LabelledVideo(
        path=path, dataset=dataset.name, split=dataset.split, labels=dataset.labels, truth=truth
    )


def render_labelled(
    folder: Path, *, seconds: float, size: tuple[int, int], fps: float | Fraction, seed: int = 0
) -> LabelledVideo:
    """A rendered street with exact truth, its files in `folder`. Arguments as of `write_sample`.

    Raises:
        SinkError: a file cannot be written.
    """
    path, maps = folder / "street.mp4", folder / "labels"
    total = write_sample(path, seconds=seconds, size=size, fps=fps, seed=seed, labels_dir=maps)
    truth = []
    for index in range(total):
        labels = cv2.imread(str(maps / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert labels is not None  # just written
        truth.append(labels.astype(np.uint8, copy=False))
    return LabelledVideo(
        path=path, dataset="rendered street", split=f"seed {seed}", labels=CAMVID, truth=truth
    )


def encode_images(
    images: Iterable[NDArray[np.uint8]],
    path: Path,
    *,
    recipe: Recipe = "camera",
    rate: int | Fraction = CAMVID_RATE,
) -> int:
    """Write images as H.264 (yuv420p, BT.601, limited range), image i shown at exactly i / rate.

    H.264 has even sides alone: images with odd ones get their last row or column twice (see `even`).

    Args:
        images: H x W x 3 uint8 BGR, at least one, all of one size.
        path: replaced if it exists; MP4, whose time base holds every rate exactly.
        recipe: one of `RECIPES`.
        rate: images a second.

    Returns:
        How many there were.

    Raises:
        SinkError: the file cannot be written.
        ValueError: an unknown recipe, or no image.
    """
    if recipe not in get_args(Recipe):
        raise ValueError(f"expected a recipe of {', '.join(get_args(Recipe))}, got {recipe!r}")
    count = 0
    try:
        with av.open(str(path), "w", format="mp4") as container:
            stream: av.VideoStream | None = None
            for count, image in enumerate(map(even, images), 1):
                stream = stream or _h264_stream(container, image.shape[:2], recipe, Fraction(rate))
                container.mux(stream.encode(_bt601(image, count - 1, Fraction(rate))))
            if stream is not None:
                container.mux(stream.encode(None))
    except (OSError, av.FFmpegError) as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
    if not count:
        raise ValueError("expected at least one image to encode, got none")
    return count


def even(picture: NDArray[np.uint8], fill: int | None = None) -> NDArray[np.uint8]:
    """`picture` (H x W, or with channels) with even sides: a row or column more of `fill`, or of the last one."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    larger = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, border, value=(fill or 0,))
    return larger.astype(np.uint8, copy=False)


def _h264_stream(
    container: av.container.OutputContainer, size: tuple[int, ...], recipe: Recipe, rate: Fraction
) -> av.VideoStream:
    options = {"crf": "18", "preset": "medium", "threads": "1", **RECIPES[recipe]}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / rate
    context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M
    return stream


def _bt601(image: NDArray[np.uint8], index: int, rate: Fraction) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        dst_color_primaries=ColorPrimaries.SMPTE170M,
        dst_color_trc=ColorTrc.SMPTE170M,
        interpolation=EXACT,
    )
    frame.pts, frame.time_base = index, 1 / rate
    return frame
