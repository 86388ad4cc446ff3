import pytest

from streamseg.reading.gaps import Gaps

STEADY = [k * 0.04 for k in range(30)]


def notes(times: list[float], duration: float = 0.04) -> list[str]:
    gaps = Gaps()
    end = float("-inf")
    for time in times:
        gaps.see(time, end)
        end = time + duration
    return gaps.notes("a.mkv")


def test_pictures_missing_from_a_steady_stream_are_told_once() -> None:
    lost = [*STEADY[:12], *STEADY[15:20], *STEADY[21:]]
    assert notes(lost) == [
        "2 gaps of a.mkv filled, left as they are, no picture was found there (the first from 0.480 to "
        "0.600 s)"
    ]


@pytest.mark.parametrize(
    "times",
    [
        STEADY,
        [round(k / 29.97, 3) for k in range(50)],  # milliseconds
        [0, 0.03, 0.09, 0.1, 0.2, 0.22, 0.3, 0.31, 0.32, 0.4, 0.5, 0.51, 0.6],  # a phone's
        [*STEADY[:5], *STEADY[8:]],  # who knows its rate?
        [0.0],
        [],
    ],
)
def test_what_varies_or_lacks_nothing_has_no_gaps(times: list[float]) -> None:
    assert notes(times) == []


def test_a_picture_that_is_meant_to_last_leaves_no_gap() -> None:
    assert notes([*STEADY[:20], STEADY[19] + 2.0], duration=2.0) == []
