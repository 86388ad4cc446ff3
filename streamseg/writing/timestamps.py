"""When frames are shown, in a file's own unit. Comes in: frames with the source's PTS. Goes out: PTS
and duration that the container can hold. Runs on the sink's thread.
"""

from fractions import Fraction

import av

from streamseg.reading.source import IMAGE_RATE, SourceInfo

MOVED = Fraction(1, 20)
"""Timestamps that differ by more, in the file's unit, are reported; less is the source's rounding."""

_FROM_ZERO = (".avi", ".gif")
"""Containers whose first picture is shown at once."""

_MPEG4_UNIT = 65535
"""The finest unit of MPEG-4 part 2 is one second by this."""

_GIF_STEP = 2
"""Browsers slow pictures that are closer, in hundredths of a second, down to ten a second."""


class Timestamps:
    """PTS of one file, ever increasing.

    Args:
        name: the file's, for notes.
        suffix: its container.
        codec: FFmpeg's name of the encoder.
        info: rate and time base of the source.

    Attributes:
        unit: seconds, of all PTS and durations.
        origin: seconds that were taken from every PTS; known with the first frame.
    """

    def __init__(self, name: str, suffix: str, codec: str, info: SourceInfo) -> None:
        self._name = name
        self._suffix = suffix
        self._rate = info.rate or IMAGE_RATE
        self.unit = _unit(suffix, codec, self._rate, info.time_base)
        self.origin = Fraction(0)
        self._step = _GIF_STEP if suffix == ".gif" else 1
        self._moved = 0
        self._left_out = 0
        self._last: int | None = None

    @property
    def notes(self) -> list[str]:
        """What was not kept: "what was asked, what was used, why"."""
        notes = []
        if self.origin:
            notes.append(
                f"first frame of {self._name} at {float(self.origin):.3f} s kept, shown at 0 s, "
                f"{self._suffix} {'begins there' if self.origin > 0 else 'has no time before'}"
            )
        if self._moved:
            notes.append(
                f"{self._moved} timestamps of {self._name} asked for, moved to the next free "
                f"ones, {self._suffix} needs increasing multiples of {self.unit} s"
            )
        if self._left_out:
            notes.append(
                f"{self._left_out} frames of {self._name} kept, left out, {self._suffix} shows at "
                f"most {1 / (self._step * self.unit)} a second"
            )
        return notes

    def place(self, image: av.VideoFrame) -> tuple[int, int] | None:
        """(PTS, duration) in `unit`; None for a frame that there is no time to show."""
        scale = Fraction(image.time_base or self.unit) / self.unit
        wanted = (image.pts or 0) * scale
        if self._last is None and (wanted < 0 or self._suffix in _FROM_ZERO):
            self.origin = wanted * self.unit
        wanted -= self.origin / self.unit
        pts = round(wanted)
        if self._last is not None:
            pts = max(pts, self._last + self._step)
        if self._step > 1 and pts - wanted > 1:
            self._left_out += 1
            return None
        self._moved += abs(pts - wanted) > MOVED
        self._last = pts
        return pts, round(image.duration * scale) or max(round(1 / self._rate / self.unit), 1)


def _unit(suffix: str, codec: str, rate: Fraction, time_base: Fraction) -> Fraction:
    if suffix == ".gif":
        return Fraction(1, 100)
    if suffix == ".avi":  # it has no timestamps, only one picture after the other
        unit = Fraction(1 / rate)
        coarse = unit.limit_denominator(_MPEG4_UNIT) or Fraction(1, _MPEG4_UNIT)
        return coarse if codec == "mpeg4" else unit
    if codec == "mpeg4" and time_base.denominator > _MPEG4_UNIT:
        # Of the finest units, one that holds every frame of a constant rate.
        return Fraction(1, _MPEG4_UNIT // rate.numerator * rate.numerator or _MPEG4_UNIT)
    return Fraction(time_base)
