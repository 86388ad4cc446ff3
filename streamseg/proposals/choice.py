"""`Proposals`: where a network that runs by proposals looks, and how its answers become one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Source = Literal["auto", "edges", "windows", "previous"]
"""Edge Boxes; windows of several scales; regions of the picture before; edges where OpenCV has them, else windows."""

How = Literal["max", "sum"]
"""P = max_i G_i or P = sum_i G_i, of the scores G_i of every proposal (Noh, Hong, Han 2015)."""

MAX_COUNT = 2000
"""As many as the paper generates; of these it keeps 50."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Made from users' words; consumed by `Proposer` and engines.

    Attributes:
        source: see `Source`.
        count: proposals that are looked at, the best ones.
        aggregate: see `How`. The released code takes the maximum.
        edge_model: OpenCV's structured edges (`model.yml.gz`) for Edge Boxes to follow; None for gradients.

    Raises:
        ValueError: no such source, count or way.
    """

    source: Source = "auto"
    count: int = 50
    aggregate: How = "max"
    edge_model: Path | None = None

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ValueError(
                f"unknown source of proposals {str(self.source)[:40]!r}; known: {', '.join(get_args(Source))}"
            )
        if not 1 <= self.count <= MAX_COUNT:
            raise ValueError(f"expected 1 to {MAX_COUNT} proposals, got {self.count}")
        if self.aggregate not in get_args(How):
            raise ValueError(
                f"unknown way to aggregate proposals {str(self.aggregate)[:40]!r}; known: {', '.join(get_args(How))}"
            )
        if self.edge_model is not None and self.source not in ("auto", "edges"):
            raise ValueError(
                f"--edge-model is of the proposals edges, got it with {self.source}; drop one of them"
            )

    def __str__(self) -> str:
        return f"{self.source}:{self.count}"

    @classmethod
    def parse(
        cls,
        text: str | None = None,
        *,
        aggregate: str | None = None,
        edge_model: str | Path | None = None,
    ) -> "Proposals":
        """ "edges", "windows:20" and the like; what is None stays as it is by default.

        Raises:
            ValueError: not of this form, or see `Proposals`.
        """
        source, colon, number = (text or "auto").partition(":")
        if colon and not (number.isascii() and number.isdecimal() and len(number) <= 9):
            raise ValueError(f"expected proposals like edges or edges:50, got {str(text)[:80]!r}")
        return cls(
            source=source,  # type: ignore[arg-type]
            count=int(number) if colon else cls().count,
            aggregate=aggregate or "max",  # type: ignore[arg-type]
            edge_model=None if edge_model is None else Path(edge_model),
        )
