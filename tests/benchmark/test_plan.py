from dataclasses import replace
from typing import Any

import pytest

from streamseg.benchmark.plan import QUICK, SECTIONS, Convolutions, Plan


def test_by_default_everything_is_measured() -> None:
    assert Plan().sections == SECTIONS
    assert QUICK.sections == SECTIONS


def test_the_largest_size_is_that_of_most_pixels() -> None:
    assert Plan(sizes=((10, 100), (40, 40), (500, 2))).largest == (40, 40)


def test_operations_of_the_ceiling() -> None:
    # 2 layers of 4 to 4 channels, 3x3, at 3x5 pixels: 2 * 4 * 4 * 9 * 15 products, two operations each.
    assert Convolutions(channels=4, size=(3, 5), layers=2).gflop == pytest.approx(8640e-9)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sections": ("speed",)}, "expected sections from accuracy, network,.* got 'speed'"),
        ({"sections": ()}, "got nothing"),
        ({"sizes": ()}, "at least one size"),
        ({"rounds": 0}, "rounds of at least 1, got 0"),
        ({"frames": 1}, "frames of at least 2, got 1"),
        ({"baseline_frames": 1}, "baseline_frames of at least 2"),
        ({"latest_results": 1}, "latest_results of at least 2"),
    ],
)
def test_nothing_to_measure_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Plan(), **asked)
