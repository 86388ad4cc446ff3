"""`CRF`: how far and how strongly pixels draw each other. Comes in: a user's words. Goes out: checked numbers."""

from dataclasses import dataclass, replace
from typing import Any

DISTANCES = (0.1, 500.0)
"""Pixels; of standard deviations over the picture."""

COLORS = (0.5, 500.0)
"""Steps of 8 bits; of standard deviations over colour."""

WEIGHTS = (0.0, 100.0)
ITERATIONS = (1, 100)

EXAMPLE = "deconvnet, pydensecrf, or changes like iterations=5,bilateral=80:13:10,gaussian=3:3"


@dataclass(frozen=True, slots=True, kw_only=True)
class CRF:
    """Parameters of a fully connected CRF with Potts compatibility. Made by users; consumed by `mean_field.refined`.

    Two pixels of different classes cost, in nats,
        gaussian_weight k(p / gaussian_sxy) + bilateral_weight k(p / bilateral_sxy, c / bilateral_srgb),
    with k a Gaussian of unit height, p their distance and c their difference in colour; normalised, see `reference`.
    The defaults are those of DeconvNet's released code (Noh et al. 2015).

    Attributes:
        gaussian_sxy, bilateral_sxy: standard deviations, pixels.
        bilateral_srgb: of each of red, green and blue, in steps of 8 bits.
        gaussian_weight, bilateral_weight: 0 leaves a term out.
        iterations: of mean field.

    Raises:
        ValueError: out of range.
    """

    gaussian_sxy: float = 3.0
    gaussian_weight: float = 3.0
    bilateral_sxy: float = 20.0
    bilateral_srgb: float = 3.0
    bilateral_weight: float = 5.0
    iterations: int = 10

    def __post_init__(self) -> None:
        for name, value, (least, greatest) in (
            ("gaussian sxy", self.gaussian_sxy, DISTANCES),
            ("gaussian weight", self.gaussian_weight, WEIGHTS),
            ("bilateral sxy", self.bilateral_sxy, DISTANCES),
            ("bilateral srgb", self.bilateral_srgb, COLORS),
            ("bilateral weight", self.bilateral_weight, WEIGHTS),
            ("number of iterations", self.iterations, ITERATIONS),
        ):
            if not least <= value <= greatest:
                raise ValueError(
                    f"expected a CRF's {name} from {least:g} to {greatest:g}, got {value:g}"
                )

    def __str__(self) -> str:
        for name, known in PRESETS.items():
            if self == known:
                return name
        return (
            f"gaussian={self.gaussian_sxy:g}:{self.gaussian_weight:g},"
            f"bilateral={self.bilateral_sxy:g}:{self.bilateral_srgb:g}:{self.bilateral_weight:g},"
            f"iterations={self.iterations}"
        )

    @classmethod
    def parse(cls, text: str) -> "CRF":
        """ "deconvnet" (the defaults), "pydensecrf" (its README's), or changes to one of them.

        Args:
            text: words joined by commas: a name, first or not at all; gaussian=SXY:WEIGHT;
                bilateral=SXY:SRGB:WEIGHT; iterations=N.

        Raises:
            ValueError: not of this form, or out of range.
        """
        found, words = cls(), text.split(",")
        if words[0] in PRESETS:
            found = PRESETS[words.pop(0)]
        for word in words:
            key, _, numbers = word.partition("=")
            found = replace(found, **_fields(key.strip(), numbers, text))
        return found


PRESETS = {
    "deconvnet": CRF(),
    "pydensecrf": CRF(bilateral_sxy=80.0, bilateral_srgb=13.0, bilateral_weight=10.0, iterations=5),
}
"""By the names that `CRF.parse` knows."""

_FIELDS = {
    "gaussian": ("gaussian_sxy", "gaussian_weight"),
    "bilateral": ("bilateral_sxy", "bilateral_srgb", "bilateral_weight"),
    "iterations": ("iterations",),
}


def _fields(key: str, numbers: str, text: str) -> dict[str, Any]:
    """What one word of `text` changes."""
    try:
        parse = int if key == "iterations" else float
        values = [parse(number) for number in numbers.split(":")]
        return dict(zip(_FIELDS[key], values, strict=True))
    except (KeyError, ValueError):
        raise ValueError(f"expected --crf {EXAMPLE}, got {text[:80]!r}") from None
