"""The cell-by-cell arg-max against every class at every pixel."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.picture.bilinear import interpolation_taps
from streamseg.stream.cells import Cells, cells_along, label_cells, label_nodes

Size = tuple[int, int]
Scores = NDArray[np.float32]

SIZES = [
    ((7, 9), (28, 36)),
    ((9, 13), (33, 65)),
    ((31, 59), (256, 512)),
    ((30, 40), (119, 161)),
    ((33, 47), (16, 21)),
    ((33, 47), (90, 21)),
    ((20, 20), (20, 20)),
    ((5, 5), (1, 1)),
    ((2, 2), (64, 1)),
    ((2, 2), (1, 64)),
]


def smooth(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    """Waves, as a network's scores: large areas agree, borders do not."""
    y, x = np.linspace(0, 3, size[0])[:, None, None], np.linspace(0, 5, size[1])[:, None]
    a, b, c = rng.normal(size=(3, classes))
    return np.sin(a * y + b * x + 9 * c).astype(np.float32)


def noisy(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    return rng.normal(size=(*size, classes)).astype(np.float32)


def tied(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    """Few distinct values: equal classes at corners, in cells and everywhere."""
    return rng.integers(0, 3, (*size, classes)).astype(np.float32)


def plateaus(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    """Areas of constant scores, many of them equal."""
    coarse = tied(rng, ((size[0] + 3) // 4, (size[1] + 5) // 6), classes)
    return np.repeat(np.repeat(coarse, 4, axis=0), 6, axis=1)[: size[0], : size[1]].copy()


def one_hot(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    """What a network that answers with class ids gives."""
    return np.eye(classes, dtype=np.float32)[smooth(rng, size, classes).argmax(2)]


def level(rng: np.random.Generator, size: Size, classes: int) -> Scores:
    """All within a few steps of float32 at every node, of very different sizes between nodes: rounding draws
    classes level that no corner had level.
    """
    sizes = 10.0 ** rng.integers(-3, 4, (*size, 1)) * rng.choice([-1, 1], (*size, 1))
    return (sizes * (1 + 2.0**-23 * rng.integers(0, 6, (*size, classes)))).astype(np.float32)


MAKERS = [smooth, noisy, tied, plateaus, one_hot, level]


def cells_of(source: Size, target: Size, align_corners: bool) -> tuple[Cells, Cells]:
    rows, columns = (
        cells_along(*interpolation_taps(nodes, pixels, align_corners))
        for nodes, pixels in zip(source, target, strict=True)
    )
    return rows, columns


def found(scores: Scores, target: Size, align_corners: bool) -> NDArray[np.uint8]:
    labels = np.full(target, 255, np.uint8)
    label_cells(scores, *cells_of(scores.shape[:2], target, align_corners), labels)
    return labels


def expected(scores: Scores, target: Size, align_corners: bool) -> NDArray[np.intp]:
    """Arg-max of all classes at all pixels, in float32: along x, then along y."""
    top, down = interpolation_taps(scores.shape[0], target[0], align_corners)
    left, right = interpolation_taps(scores.shape[1], target[1], align_corners)
    wide = between(scores[:, left], scores[:, left + 1], right[:, None])
    fine = between(wide[top], wide[top + 1], down[:, None, None])
    assert fine.dtype == np.float32
    return fine.argmax(2)


def between(a: Scores, b: Scores, weight: Scores) -> Scores:
    return a * (np.float32(1) - weight) + b * weight


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_labels_are_those_of_every_class_at_every_pixel(
    source: Size,
    target: Size,
    make: Callable[..., Scores],
    align_corners: bool,
    rng: np.random.Generator,
) -> None:
    scores = make(rng, source, 11)
    assert np.array_equal(
        found(scores, target, align_corners), expected(scores, target, align_corners)
    )


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("classes", [1, 2, 3, 150, 256])
def test_any_number_of_classes_may_be_told_apart(
    classes: int, make: Callable[..., Scores], rng: np.random.Generator
) -> None:
    scores = make(rng, (9, 13), classes)
    assert np.array_equal(found(scores, (40, 61), True), expected(scores, (40, 61), True))


def test_rounding_does_draw_classes_level_that_no_corner_had_level(
    rng: np.random.Generator,
) -> None:
    """Else the margin would be untested: here the first class is behind at every corner, and wins pixels."""
    scores = level(rng, (40, 40), 2)
    scores[:, :, 1] = np.nextafter(scores[:, :, 0], np.float32(np.inf))
    assert (scores[:, :, 1] > scores[:, :, 0]).all()
    labels = found(scores, (320, 320), True)
    assert np.array_equal(labels, expected(scores, (320, 320), True))
    assert 0.01 < (labels == 0).mean() < 0.99


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [(2, 2), (20, 33)])
def test_a_node_per_pixel_needs_no_cells(
    rng: np.random.Generator, make: Callable[..., Scores], size: Size
) -> None:
    scores = make(rng, size, 7)
    labels = np.empty(size, np.uint8)
    label_nodes(scores, labels)
    np.testing.assert_array_equal(labels, found(scores, size, True))
    np.testing.assert_array_equal(labels, found(scores, size, False))


def test_equal_classes_go_to_the_first() -> None:
    assert not found(np.zeros((3, 3, 5), np.float32), (12, 12), True).any()


def test_cells_without_pixels_are_left_out() -> None:
    nodes, starts, _ = cells_along(*interpolation_taps(9, 4, True))
    assert nodes.tolist() == [0, 2, 5, 7]
    assert starts.tolist() == [0, 1, 2, 3, 4]


def test_pixels_are_grouped_by_their_cell() -> None:
    nodes, starts, weight = cells_along(*interpolation_taps(3, 9, True))
    assert nodes.tolist() == [0, 1]
    assert starts.tolist() == [0, 4, 9]
    assert weight[[0, 4, 8]].tolist() == [0, 0, 1]
