"""Pictures as an encoder and its container take them. Comes in: painted frames. Goes out: frames of one
size, upright where no tag could say otherwise, in colours that a player will guess. Runs on the sink's
thread.
"""

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from streamseg.picture.convert import EXACT, TAG_OF_MATRIX, upright, with_times_and_tags
from streamseg.picture.orientation import UPRIGHT, Orientation
from streamseg.picture.planes import (
    SWS_COLORSPACE,
    is_full_range,
    matrix_of,
    planar_view,
    plane_view,
)

_SIDES = {
    "libx264": (2, 2, "H.264 needs even sides"),
    "libx265": (2, 16, "HEVC needs even sides of at least 16"),
    "libsvtav1": (1, 4, "AV1 needs sides of at least 4"),
}
"""What encoders that cannot take every size need: multiples of, at least, and these words."""

_WITHOUT_TAGS = {("mpeg4", ".avi"), ("ffv1", ".avi")}
"""Encoder and container that say nothing of colours together: players take limited range and the matrix
that goes with the height."""

_LIKE_SRGB = (0, 1, 2, 4, 5, 6, 7)
"""Colour primaries of BT.709 and, near enough to it, of BT.601; and untagged ones."""

_WITHOUT_RANGE = {*_WITHOUT_TAGS, ("mpeg4", ".mov")}


class Fit:
    """Makes frames what the encoder was told they would be. Not thread-safe.

    Args:
        name: the file's, for notes.
        suffix: its container.
        codec: FFmpeg's name of the encoder.
        size: (height, width) that frames should have when they come; others are rescaled.
        orientation: turn them so; `UPRIGHT` leaves them as they are.
        nearest: rescale by nearest neighbour (label maps, 8-bit gray).

    Attributes:
        size: (height, width) of the frames that go out.
    """

    def __init__(
        self,
        name: str,
        suffix: str,
        codec: str,
        size: tuple[int, int],
        *,
        orientation: Orientation = UPRIGHT,
        nearest: bool = False,
    ) -> None:
        self._name = name
        self._suffix = suffix
        self._size = size
        self._orientation = orientation
        self._nearest = nearest
        self._codec = codec
        self._shown = height, width = orientation.size(size)
        unit, least, self._why = _SIDES.get(codec, (1, 1, ""))
        self.size = max(height + height % unit, least), max(width + width % unit, least)
        self._resized = 0
        self._recolored: str | None = None
        self._reformatter = VideoReformatter()

    @property
    def notes(self) -> list[str]:
        """What was not kept: "what was asked, what was used, why"."""
        notes = []
        if self.size != self._shown:
            (height, width), (tall, wide) = self._shown, self.size
            notes.append(
                f"{self._name} at {height}x{width} asked for, {tall}x{wide} written, {self._why} "
                f"(.webm keeps others)"
            )
        if self._resized:
            height, width = self._size
            notes.append(
                f"{self._resized} frames of {self._name} at their own size asked for, rescaled "
                f"to {height}x{width}, a video has one size"
            )
        if self._recolored:
            notes.append(self._recolored)
        return notes

    def __call__(self, image: av.VideoFrame) -> av.VideoFrame:
        """The frame itself where it fits, else a copy."""
        if (image.height, image.width) != self._size:
            self._resized += 1
            image = self._rescale(image)
        if not self._orientation.upright_already:
            image = upright(image, self._orientation)
        image = self._as_guessed(image)
        return image if self.size == self._shown else _padded(image, self.size)

    def _rescale(self, image: av.VideoFrame) -> av.VideoFrame:
        height, width = self._size
        if self._nearest:
            labels = nearest_neighbor(plane_view(image.planes[0]), self._size)
            scaled = av.VideoFrame.from_ndarray(labels, "gray")
        else:
            scaled = self._reformatter.reformat(image, height=height, width=width)
        return with_times_and_tags(scaled, image)

    def _as_guessed(self, image: av.VideoFrame) -> av.VideoFrame:
        """In the colours that a player takes for granted, where the file cannot tag others."""
        kind = (self._codec, self._suffix)
        if self._codec == "gif" and image.color_primaries not in _LIKE_SRGB:
            self._recolored = (
                f"wide colours (primaries {image.color_primaries}) of {self._name} kept, shown as "
                f"sRGB's, .gif cannot tag others"
            )
        if self._nearest or kind not in _WITHOUT_RANGE:
            return image
        matrix, full = matrix_of(image), is_full_range(image)
        guessed = matrix
        if kind in _WITHOUT_TAGS:
            guessed = "bt709" if image.height >= 720 else "bt601"
        if guessed == matrix and not full:
            return image
        self._recolored = (
            f"{'full' if full else 'limited'} range {matrix} colours of {self._name} kept, converted "
            f"to limited range {guessed}, {self._codec} in {self._suffix} cannot tag them"
        )
        converted = self._reformatter.reformat(
            image,
            format=image.format.name.replace("yuvj", "yuv"),
            src_colorspace=SWS_COLORSPACE[matrix],
            dst_colorspace=SWS_COLORSPACE[guessed],
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
        )
        converted = with_times_and_tags(converted, image)
        converted.colorspace, converted.color_range = TAG_OF_MATRIX[guessed], int(ColorRange.MPEG)
        return converted


def nearest_neighbor(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map at another (height, width): every pixel takes the one that its centre lies in."""
    height, width = size
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return np.ascontiguousarray(labels[np.ix_(rows, columns)])


def _padded(image: av.VideoFrame, size: tuple[int, int]) -> av.VideoFrame:
    """The last row and column doubled until the planar frame has `size`."""
    padded = av.VideoFrame(size[1], size[0], image.format.name)
    source, target = planar_view(image), planar_view(padded)
    for pixels, room in ((source.y, target.y), (source.u, target.u), (source.v, target.v)):
        rows, columns = pixels.shape
        room[:rows, :columns] = pixels
        room[:rows, columns:] = pixels[:, -1:]
        room[rows:] = room[rows - 1]
    return with_times_and_tags(padded, image)
