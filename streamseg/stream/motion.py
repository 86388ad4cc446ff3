"""The `motion` stage. Comes in: a frame on the device. Goes out: the same, and how it moved since the last one that was
processed. Looks at every frame, whoever uses it: each step leans on the one before.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamseg.frames import CodecMotion, Frame, Prepared, Step
from streamseg.motion.cells import contrast, residual, squares
from streamseg.motion.chain import compose
from streamseg.motion.codec import CodecSteps
from streamseg.motion.cut import SceneCuts
from streamseg.motion.flow import Flow, small
from streamseg.motion.vectors import VECTOR
from streamseg.reading.codec_motion import DECODERS_WITH_VECTORS


def pick(motion: str, codec: str) -> tuple[str, str | None]:
    """What moves carried features.

    Args:
        motion: "auto", "codec", "flow" or "none".
        codec: FFmpeg's name of the source's decoder.

    Returns:
        "codec", "flow" or "none"; and, for the report's fallbacks, why it is not what was asked for.
    """
    if motion in ("auto", "codec") and codec in DECODERS_WITH_VECTORS:
        return "codec", None
    if motion == "codec":
        return "flow", f"motion codec, flow used, FFmpeg's {codec} decoder exports no vectors"
    return ("flow" if motion == "auto" else motion), None


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What is remembered of a picture until the next one comes."""

    index: int
    luma: NDArray[np.uint8]
    contrast: float
    gray: NDArray[np.uint8] | None
    motion: CodecMotion | None


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A step, before it is known whether it leads into another scene; `field` may be a guess."""

    field: NDArray[np.float32]
    known: bool
    unknown: float
    residual: float


class Motion:
    """Finds how each frame moved.

    Args:
        motion: "codec", "flow" or "none", as `pick` gives it.
    """

    name = "motion"

    def __init__(self, motion: str) -> None:
        self._motion = motion
        self._find = {"codec": self._by_codec, "flow": self._by_flow, "none": self._unmoved}[motion]
        self._flow = Flow() if motion == "flow" else None
        self._codec = CodecSteps()
        self._cuts = SceneCuts()
        self._before: _Picture | None = None

    def warm_up(self, frame: Frame) -> None:
        """Compile all loops on two copies of a frame, before the first one is due. None of it is remembered."""
        luma = squares(frame.pixels.y)
        vectors = np.frombuffer(
            bytes(VECTOR.itemsize), VECTOR
        )  # read-only, as those of real pictures
        first = CodecMotion(vectors=vectors, kind="P", luma=luma)
        second = CodecMotion(vectors=vectors, kind="B", luma=luma, previous=first)
        with closing(Motion(self._motion)) as other:
            for motion in (first, second):
                moving = replace(frame, motion=motion if self._motion == "codec" else None)
                other.process(Prepared(frame=moving, network_input=None))

    def process(self, prepared: Prepared) -> Sequence[Prepared]:
        """Add the step to one frame."""
        return [replace(prepared, step=self._step(prepared.frame))]

    def drain(self) -> Sequence[Prepared]:
        """Nothing is held back."""
        return ()

    def close(self) -> None:
        """Let go of the last picture."""
        self._before = None

    def _step(self, frame: Frame) -> Step:
        before, now = self._before, self._picture(frame)
        self._before = now
        if before is None or before.luma.shape != now.luma.shape:
            self._codec, self._cuts = CodecSteps(), SceneCuts()
            cut = before is not None
            return Step(
                field=None,
                unknown=1.0,
                residual=0.0,
                contrast=now.contrast,
                cut=cut,
                since=now.index if before is None else before.index,
            )
        found = self._find(frame, before, now)
        cut = self._cuts.begins(found.residual, now.contrast)
        return Step(
            field=found.field if found.known and not cut else None,
            unknown=found.unknown,
            residual=found.residual,
            contrast=now.contrast,
            cut=cut,
            since=before.index,
        )

    def _picture(self, frame: Frame) -> _Picture:
        luma = squares(frame.pixels.y) if frame.motion is None else frame.motion.luma
        gray = None if self._flow is None else small(frame.pixels.y)
        return _Picture(frame.index, luma, contrast(luma), gray, frame.motion)

    def _by_codec(self, frame: Frame, before: _Picture, now: _Picture) -> _Found:
        field = _still(now)
        if now.motion is None or before.motion is None:
            return _Found(field, False, 1.0, residual(now.luma, before.luma, field))
        pictures = _since(before.motion, now.motion)
        now.motion.previous = None
        if pictures is None:
            self._codec = CodecSteps()
            return _Found(field, False, 1.0, residual(now.luma, before.luma, field))
        unknown, earlier = 0.0, before.motion
        for picture in pictures:
            step, without, misfit = self._codec.step(
                picture, earlier.luma, frame.pixels.size, frame.orientation
            )
            field = step if earlier is before.motion else compose(field, step)
            unknown, earlier = max(unknown, without), picture
        if len(pictures) > 1:
            misfit = residual(now.luma, before.luma, field)
        return _Found(field, True, unknown, misfit)

    def _by_flow(self, frame: Frame, before: _Picture, now: _Picture) -> _Found:
        assert self._flow is not None and now.gray is not None and before.gray is not None
        field = self._flow.field(now.gray, before.gray, frame.pixels.size)
        return _Found(field, True, 0.0, residual(now.luma, before.luma, field))

    def _unmoved(self, frame: Frame, before: _Picture, now: _Picture) -> _Found:
        field = _still(now)
        return _Found(field, True, 0.0, residual(now.luma, before.luma, field))


def _still(picture: _Picture) -> NDArray[np.float32]:
    rows, columns = picture.luma.shape
    return np.zeros((rows // 2, columns // 2, 2), np.float32)


def _since(before: CodecMotion, now: CodecMotion) -> list[CodecMotion] | None:
    """All pictures shown after `before` up to `now`, those that were dropped among them; None if some are lost."""
    pictures = [now]
    while pictures[0].previous is not before:
        previous = pictures[0].previous
        if previous is None or previous.luma.shape != now.luma.shape:
            return None
        pictures.insert(0, previous)
    return pictures
