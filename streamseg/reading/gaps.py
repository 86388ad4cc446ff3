"""Pictures that a steady stream has lost without a word: FFmpeg's Matroska reader, for one, skips what it
does not understand. Comes in: times of pictures. Goes out: a note. Runs on the producer's thread.
"""

STEADY_PICTURES = 10
"""After so many equal steps a longer one is a gap; before, rates vary."""

CLOCK_SECONDS = 0.0015
"""Steps that differ by less are equal: Matroska counts milliseconds."""


class Gaps:
    """Finds gaps in the times of pictures."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._step = 0.0
        self._equal_steps = 0
        self._count = 0
        self._first = (0.0, 0.0)

    def see(self, time_seconds: float, end_seconds: float) -> None:
        """Take note of a picture.

        Args:
            time_seconds: when it is shown.
            end_seconds: when the one before it ends by its own duration.
        """
        step = 0.0 if self._last is None else time_seconds - self._last
        if abs(step - self._step) < CLOCK_SECONDS:
            self._equal_steps += 1
        else:
            steady = self._equal_steps >= STEADY_PICTURES
            if steady and min(step, time_seconds - end_seconds + self._step) > 1.75 * self._step:
                self._first = self._first if self._count else (end_seconds, time_seconds)
                self._count += 1
            else:
                self._step, self._equal_steps = step, 0
        self._last = time_seconds

    def notes(self, name: str) -> list[str]:
        """For the report's fallbacks."""
        if not self._count:
            return []
        start, end = self._first
        return [
            f"{self._count} gaps of {name} filled, left as they are, no picture was found there (the "
            f"first from {start:.3f} to {end:.3f} s)"
        ]
