"""`Result`: what a user gets for one picture."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from streamseg.frames import WHOLE, Frame, Reuse
from streamseg.labels import LabelSet
from streamseg.picture.convert import EXACT, Converter
from streamseg.picture.format import transfer_of
from streamseg.picture.pixels import Packed
from streamseg.picture.planes import SWS_COLORSPACE, is_full_range, matrix_of


class Result:
    """One picture's label map. Cheap to make: drawings and conversions happen when asked for.

    Attributes:
        labels: height x width uint8 class ids, at the source's size, upright.
        index: position in the stream, from 0.
        pts, time_base: the frame's timestamp and its unit in seconds (0 and 1 for a single image).
        time_seconds: both multiplied.
        is_keyframe: whether the whole network ran on this frame (a segmentation keyframe).
        feature_age: frames between the one whose deep features were used and this one; 0 for its own.
        change: how wrong features carried over to here are thought to be, 0 to 1 (another scene).
        corrupt: whether the decoder reported damage.
    """

    def __init__(
        self,
        labels: NDArray[np.uint8],
        picture: "Packed | Frame",
        label_set: LabelSet,
        *,
        captured_seconds: float,
        clock: Callable[[], float],
        reuse: Reuse = WHOLE,
    ) -> None:
        self.labels = labels
        self.is_keyframe = reuse.is_keyframe
        self.feature_age = reuse.age
        self.change = reuse.change
        self._picture = picture
        self._label_set = label_set
        self._captured_seconds = captured_seconds
        self._clock = clock
        frame = picture if isinstance(picture, Frame) else None
        self.index = frame.index if frame else 0
        self.pts = frame.pts if frame else 0
        self.time_base = frame.time_base if frame else Fraction(1)
        self.time_seconds = frame.time_seconds if frame else 0.0
        self.corrupt = frame.corrupt if frame else False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self._label_set.class_names

    @property
    def age_ms(self) -> float:
        """Milliseconds since the frame was captured (camera) or decoded (file)."""
        return 1000 * (self._clock() - self._captured_seconds)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The picture: H x W x 3 uint8, in the format it came in. Of a stream: BGR, upright, HDR mapped
        to standard dynamic range.
        """
        if isinstance(self._picture, Packed):
            return self._picture.pixels
        return to_bgr(self._picture.image)

    def overlay(self, alpha: float = 0.5) -> NDArray[np.uint8]:
        """The picture blended with its classes' colours.

        Args:
            alpha: share of colour, 0..1.

        Returns:
            H x W x 3 uint8, in the format the picture came in (BGR for streams).
        """
        from streamseg.stream.paint import blend_packed

        palette = self._label_set.palette_rgb()
        if not isinstance(self._picture, Packed) or self._picture.order == "bgr24":
            palette = palette[:, ::-1]
        return blend_packed(self.image, self.labels, palette, alpha)

    def shares(self) -> dict[str, float]:
        """Share of the picture that each class covers, 0..1."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.class_names))
        return {
            name: float(counts[index]) / self.labels.size
            for index, name in enumerate(self.class_names)
        }

    def __repr__(self) -> str:
        height, width = self.labels.shape
        return f"Result({height}x{width}, index={self.index}, time_seconds={self.time_seconds:.3f})"


def to_bgr(image: av.VideoFrame) -> NDArray[np.uint8]:
    """A frame as H x W x 3 uint8 BGR, by its own matrix and range; HDR mapped to standard dynamic range,
    not turned.
    """
    if transfer_of(image.color_trc) != "sdr":
        image = Converter().flat(image)
    converted = image.reformat(
        format="bgr24",
        src_colorspace=SWS_COLORSPACE[matrix_of(image)],
        src_color_range="JPEG" if is_full_range(image) else None,
        dst_color_range="JPEG",
        interpolation=EXACT,
    )
    array = converted.to_ndarray()
    assert array.dtype == np.uint8
    return array.astype(np.uint8, copy=False)
