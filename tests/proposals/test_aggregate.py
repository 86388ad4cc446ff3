"""Aggregation against sums and maxima by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from streamseg.proposals.aggregate import Aggregate
from streamseg.proposals.boxes import Box

LEFT = Box(left=0, top=0, right=2, bottom=2)
RIGHT = Box(left=1, top=0, right=3, bottom=2)


def flat(*values: float, side: int = 2) -> torch.Tensor:
    return torch.tensor(values)[:, None, None].expand(-1, side, side)


@pytest.mark.parametrize(
    ("how", "background", "expected"),
    [
        # columns: left alone, both, right alone, none; scores of class 0, 1
        ("max", True, [(1, 0), (1, 3), (0, 3), (0, 0)]),
        ("sum", True, [(1, -2), (0.5, 1), (-0.5, 3), (0, 0)]),
        ("max", False, [(1, -2), (1, 3), (-0.5, 3), (0, 0)]),
        ("sum", False, [(1, -2), (0.5, 1), (-0.5, 3), (0, 0)]),
    ],
)
def test_two_that_overlap_by_hand(how, background, expected):
    aggregate = Aggregate(2, (2, 4), how, background=background)
    aggregate.add(flat(1.0, -2.0), LEFT)
    aggregate.add(flat(-0.5, 3.0), RIGHT)
    scores = aggregate.scores()
    assert (scores.dtype, scores.shape) == (np.float32, (2, 4, 2))
    np.testing.assert_array_equal(scores, np.array([expected, expected], np.float32))


@pytest.mark.parametrize("how", ["max", "sum"])
def test_where_nobody_looked_all_classes_are_as_probable_and_the_first_wins(how):
    aggregate = Aggregate(3, (2, 4), how, background=True)
    aggregate.add(flat(0.1, 5.0, -1.0), LEFT)
    scores = torch.from_numpy(aggregate.scores())
    probabilities = scores.softmax(2)
    torch.testing.assert_close(probabilities[:, 2:], torch.full((2, 2, 3), 1 / 3))
    assert scores.argmax(2).tolist() == [[1, 1, 0, 0]] * 2


def test_a_negative_score_does_not_survive_the_maximum_where_zeros_take_part():
    """The released code's: an object that is thought unlikely everywhere leaves background."""
    aggregate = Aggregate(2, (2, 2), "max", background=True)
    aggregate.add(flat(-3.0, -1.0), LEFT)
    assert aggregate.scores().argmax(2).tolist() == [[0, 0], [0, 0]]
    without = Aggregate(2, (2, 2), "max", background=False)
    without.add(flat(-3.0, -1.0), LEFT)
    assert without.scores().argmax(2).tolist() == [[1, 1], [1, 1]]


def test_scores_are_resized_bilinearly_and_cut_off_at_the_border():
    scores = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    square = Box(left=-3, top=2, right=4, bottom=9)
    aggregate = Aggregate(2, (6, 5), "sum", background=True)
    aggregate.add(scores, square)
    whole = functional.interpolate(scores[None], (7, 7), mode="bilinear")[0]
    expected = torch.zeros(2, 6, 5)
    expected[:, 2:6, 0:4] = whole[:, 0:4, 3:7]
    np.testing.assert_array_equal(aggregate.scores(), expected.permute(1, 2, 0))


@pytest.mark.parametrize("how", ["max", "sum"])
def test_order_does_not_matter_and_what_was_read_stays(how):
    generator = torch.Generator().manual_seed(1)
    given = [
        (torch.randint(-9, 9, (2, 2, 2), generator=generator).float(), square)
        for square in (LEFT, RIGHT, Box(left=0, top=-1, right=4, bottom=3))
    ]
    forwards, backwards = (Aggregate(2, (2, 4), how, background=True) for _ in range(2))
    forwards.add(*given[0])
    first = forwards.scores()
    kept = first.copy()
    for one in given[1:]:
        forwards.add(*one)
    for one in reversed(given):
        backwards.add(*one)
    np.testing.assert_array_equal(forwards.scores(), backwards.scores())
    np.testing.assert_array_equal(first, kept)


def test_a_square_outside_adds_nothing():
    aggregate = Aggregate(2, (2, 4), "sum", background=True)
    aggregate.add(flat(1.0, 1.0), Box(left=4, top=0, right=6, bottom=2))
    assert not aggregate.scores().any()
