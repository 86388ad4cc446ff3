"""`Scales`: at which sizes a network looks at a picture, and how it makes one answer of what it sees."""

from dataclasses import dataclass
from typing import Literal, get_args

from streamseg.errors import ModelError

Combine = Literal["attention", "explicit", "average", "max"]
"""Chained attention (Tao et al. 2020); one softmax over all scales (Chen et al. 2016), which holds for the scales that
it was trained at; or, as baselines, the mean or the maximum of all scales' logits."""

LEAST, GREATEST = 0.125, 4.0
"""Of a scale."""

MAX_SCALES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Made by recipes, cards and users; consumed by `models.attention`.

    Attributes:
        values: factors of the network input's sides, ascending, 1 among them. The paper trains at these, and adds 2 and
            flipping for its submission.
        combine: see `Combine`.
        flip: answer with the mean of a picture and its mirror image; costs twice as much.

    Raises:
        ModelError: no such scales.
    """

    values: tuple[float, ...] = (0.5, 1.0)
    combine: Combine = "attention"
    flip: bool = False

    def __post_init__(self) -> None:
        good = (
            1 <= len(self.values) <= MAX_SCALES
            and 1.0 in self.values
            and list(self.values) == sorted(set(self.values))
            and LEAST <= self.values[0] <= self.values[-1] <= GREATEST
        )
        if not good:
            raise ModelError(
                f"expected up to {MAX_SCALES} different scales from {LEAST:g} to {GREATEST:g} in ascending order, 1 "
                f"among them, got {', '.join(f'{value:g}' for value in self.values[: MAX_SCALES + 1]) or 'none'}"
            )
        if self.combine not in get_args(Combine):
            raise ModelError(
                f"unknown way to combine scales {str(self.combine)[:40]!r}; known: {', '.join(get_args(Combine))}"
            )

    def __str__(self) -> str:
        words = [*(f"{value:g}" for value in self.values), *(["flip"] if self.flip else [])]
        return f"{self.combine}:{','.join(words)}"

    @classmethod
    def parse(cls, text: str, *, combine: Combine = "attention") -> "Scales":
        """ "0.5,1,2", "0.5,1,flip" or "average:0.5,1": scales in any order.

        Args:
            combine: of a text that does not say.

        Raises:
            ModelError: not of this form, or no such scales.
        """
        how, colon, listed = text.rpartition(":")
        words = [word.strip() for word in listed.split(",")]
        try:
            values = tuple(sorted(float(word) for word in words if word != "flip"))
        except ValueError:
            raise ModelError(
                f"expected scales like 0.5,1,2 or average:0.5,1,flip, got {text[:80]!r}"
            ) from None
        chosen = how if colon else combine
        return cls(values=values, combine=chosen, flip="flip" in words)  # type: ignore[arg-type]
