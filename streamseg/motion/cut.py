"""Where another scene begins. Comes in: how badly motion explains each picture. Goes out: yes or no."""

THRESHOLD = 1.0
"""Of the score below. Pictures of CamVid's clip, a motorway and a rendered street that begin no scene stay well below
it, also with two of three left out; cuts between these are far above. Jumps within a scene, and with nothing moved
those between scenes of one make, may be below."""

FAINT = 2.0
"""Levels: noise and coding alone differ by as much."""

FLAT = 4.0
"""Levels of contrast that even a black picture is taken to have."""

WEIGHT = 0.25
"""Of the newest residual, in what is usual."""


class SceneCuts:
    """Follows one stream. A picture scores by how little motion makes of it from the one before:

        residual / contrast  x  residual / usual residual

    for a cut leaves nothing in common, and comes suddenly. A quick turn is not as bad; a shaking camera not as sudden.
    """

    def __init__(self) -> None:
        self._usual: float | None = None
        self._contrast: float | None = None

    def begins(self, residual: float, contrast: float) -> bool:
        """Whether the next picture begins a scene; a flash may be taken for one.

        Args:
            residual, contrast: see `Step`.
        """
        before, self._contrast = self._contrast, contrast
        usual = residual if self._usual is None else self._usual
        flattest = max(FLAT, contrast if before is None else min(before, contrast))
        cut = residual / flattest * residual / max(usual, FAINT) > THRESHOLD
        self._usual = None if cut else usual + WEIGHT * (residual - usual)
        return cut
