"""Made-up residuals; real ones are in tests/stream/test_motion.py."""

from streamseg.motion.cut import SceneCuts


def begins(residuals: list[float], contrast: float = 40.0) -> list[int]:
    """Which of these pictures begin a scene."""
    cuts = SceneCuts()
    return [index for index, residual in enumerate(residuals) if cuts.begins(residual, contrast)]


def test_a_picture_with_nothing_in_common_begins_a_scene() -> None:
    assert begins([2, 2, 3, 2, 40, 2, 3]) == [4]


def test_pictures_that_always_differ_much_begin_none() -> None:
    assert begins([14] * 20) == []
    assert begins([14, 16, 12, 16, 13]) == []


def test_a_quick_turn_begins_none() -> None:
    assert begins([1, 1, 1, 4, 6, 5, 6, 4, 1]) == []


def test_two_cuts_in_a_row_are_both_found() -> None:
    assert begins([2, 2, 60, 60, 2]) == [2, 3]


def test_a_flat_picture_takes_less() -> None:
    assert begins([1, 1, 6, 1], contrast=5) == [2]
    assert begins([1, 1, 6, 1], contrast=40) == []


def test_noise_in_the_dark_begins_none() -> None:
    assert begins([0.2, 1.5, 0.3, 2.0, 0.1], contrast=1) == []


def test_the_flatter_of_two_pictures_counts() -> None:
    cuts = SceneCuts()
    assert [cuts.begins(2, 40), cuts.begins(9, 2)] == [False, True]
    assert not cuts.begins(2, 40)
