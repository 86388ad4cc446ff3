"""When pictures are shown, by one clock that never goes back. Comes in: decoded pictures, with PTS or
without. Goes out: the same, each with a PTS and its time in seconds. Runs on the producer's thread.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from streamseg.reading.gaps import Gaps

Damaged = tuple[av.VideoFrame, bool]
"""A picture, and whether it is damaged."""

Decoded = tuple[av.VideoFrame, float, bool]
"""A picture with PTS, its time in seconds, and whether it is damaged."""

RESTART_SECONDS = 0.2
"""Timestamps that go back by more have begun anew; by less, pictures or clocks are out of order."""

WITHOUT_PTS = 16
"""So many pictures are held back for one that has a PTS, then the source is taken to have none at all."""


class Timeline:
    """The times of one video.

    Args:
        name: the source's, for notes.
        origin_seconds: time of the first picture by the header.
        time_base: unit for pictures without PTS, seconds.
        length: seconds that a picture lasts which does not say.

    Attributes:
        end_seconds: when the last picture so far ends.
    """

    def __init__(
        self, name: str, *, origin_seconds: float, time_base: Fraction, length: Fraction
    ) -> None:
        self.end_seconds = -math.inf
        self._name = name
        self._origin = Fraction(origin_seconds)
        self._time_base = time_base
        self._length = length
        self._last_seconds = -math.inf
        self._shift_seconds = 0.0
        self._restarts: list[str] = []
        self._gaps = Gaps()

    @property
    def notes(self) -> list[str]:
        """For the report's fallbacks."""
        return [*self._restarts, *self._gaps.notes(self._name)]

    def timed(self, images: Iterator[Damaged]) -> Iterator[Decoded]:
        """With times in seconds. Where they begin anew (a camera that restarted into the same file), they
        go on behind what was there.
        """
        for image, damaged in self._with_pts(images):
            unit = Fraction(image.time_base or self._time_base)
            time_seconds = seconds_of(image) + self._shift_seconds
            if time_seconds < self._last_seconds - RESTART_SECONDS:
                self._shift_seconds += self.end_seconds - time_seconds
                self._restarts.append(
                    f"timestamps of {self._name} that begin anew at {self.end_seconds:.3f} s kept, "
                    f"carried on from there, a video has one clock"
                )
                time_seconds = self.end_seconds
            if self._shift_seconds:
                image.pts = round(time_seconds / unit)
            self._gaps.see(time_seconds, self.end_seconds)
            self._last_seconds = max(self._last_seconds, time_seconds)
            lasts = float(image.duration * unit or self._length)
            self.end_seconds = max(self.end_seconds, time_seconds + lasts)
            yield image, time_seconds, damaged

    def carry_on(self, packet: "av.Packet[Any]") -> float:
        """A copied packet's time in seconds; where the pictures' times began anew, it is moved with them."""
        unit = Fraction(packet.time_base)
        seconds = float((packet.pts or 0) * unit)
        shifted = seconds + self._shift_seconds
        if abs(shifted - self.end_seconds) >= abs(seconds - self.end_seconds):
            return seconds
        ticks = round(self._shift_seconds / unit)
        packet.pts = (packet.pts or 0) + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return shifted

    def _with_pts(self, images: Iterator[Damaged]) -> Iterator[Damaged]:
        """Pictures without PTS follow the one before them at once; the first ones precede the first that
        has one.
        """
        waiting: list[Damaged] = []
        due: Fraction | None = None
        for image, damaged in images:
            if image.pts is not None and image.time_base:
                stamp = image.pts * Fraction(image.time_base)
                yield from self._spaced(waiting, stamp - len(waiting) * self._length)
                waiting = []
                due = stamp + (image.duration * Fraction(image.time_base) or self._length)
                yield image, damaged
                continue
            waiting.append((image, damaged))
            if due is not None or len(waiting) == WITHOUT_PTS:
                due = self._origin if due is None else due
                yield from self._spaced(waiting, due)
                due += len(waiting) * self._length
                waiting = []
        yield from self._spaced(waiting, self._origin)

    def _spaced(self, images: list[Damaged], first: Fraction) -> list[Damaged]:
        """The same, with PTS from `first` seconds on."""
        for number, (image, _) in enumerate(images):
            image.time_base = self._time_base
            image.pts = round((first + number * self._length) / self._time_base)
        return images


def seconds_of(image: av.VideoFrame) -> float:
    """PTS of a picture that has one, in seconds."""
    return float((image.pts or 0) * Fraction(image.time_base or 0))
