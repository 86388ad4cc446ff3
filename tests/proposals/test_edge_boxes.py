"""Edge Boxes: by a stand-in the shapes of OpenCV's answers; with OpenCV contrib what is really found."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from proposals.contrib import Contrib

from streamseg.errors import BackendError, ModelError
from streamseg.proposals import edge_boxes
from streamseg.proposals.edge_boxes import EdgeBoxes, check_forest, gradient_edges, has_edge_boxes

needs_ximgproc = pytest.mark.skipif(
    not has_edge_boxes(), reason="needs cv2.ximgproc; opencv-contrib-python has it"
)

HIT = 0.7
"""Intersection over union from which the Edge Boxes paper counts an object as found (its beta is tuned for that)."""

FOREST = """%YAML:1.0
options: { numberOfTrees: 1, stride: 2 }
childs: [ [ 0 ] ]
featureIds: [ [ 0 ] ]
thresholds: [ [ 0. ] ]
edgeBoundaries: [ [ 0, 0 ] ]
edgeBins: [ [ 0 ] ]
"""


def square(height: int = 120, width: int = 160) -> NDArray[np.float32]:
    """A bright square of 60 pixels on gray, its corner at (50, 30)."""
    picture = np.full((height, width, 3), 60, np.float32)
    picture[30:90, 50:110] = (200, 180, 90)
    return picture


BOXES = np.array([[3, 4, 30, 20], [0, 0, 10, 10]], np.int32)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((BOXES, np.array([0.5, 0.2], np.float32)), BOXES),  # boxes and scores
        ((BOXES[:1], np.array([[0.5]], np.float32)), BOXES[:1]),
        (BOXES, BOXES),  # older builds: boxes alone
        (BOXES[:1], BOXES[:1]),
        ([(3, 4, 30, 20), (0, 0, 10, 10)], BOXES),
        (((), None), np.empty((0, 4))),  # no box at all
        ((), np.empty((0, 4))),
    ],
)
def test_both_forms_of_an_answer_are_read(
    monkeypatch: pytest.MonkeyPatch, answer: Any, expected: NDArray[Any]
) -> None:
    contrib = Contrib(answer)
    monkeypatch.setattr(cv2, "ximgproc", contrib, raising=False)
    found = EdgeBoxes().candidates(square())
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape
    assert contrib.options == {"maxBoxes": 2000}
    edges, angles = contrib.asked[0]
    for given in (edges, angles):
        assert (given.dtype, given.shape) == (np.float32, (120, 160))
        assert given.flags.c_contiguous


def test_structured_edges_are_given_colors_of_0_to_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contrib = Contrib((BOXES, None))
    monkeypatch.setattr(cv2, "ximgproc", contrib, raising=False)
    model = tmp_path / "model.yml"
    model.write_text(FOREST)
    EdgeBoxes(model).candidates(square())
    edges, angles = contrib.asked[0]
    assert contrib.model == str(model)
    red = square()[..., 0] / 255
    np.testing.assert_allclose(angles, red + 1, rtol=1e-6)
    np.testing.assert_allclose(edges, red + 2 * (red + 1), rtol=1e-6)


def test_without_ximgproc_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "ximgproc", raising=False)
    assert not has_edge_boxes()
    with pytest.raises(BackendError, match=r"opencv-contrib-python in its place, or take --prop"):
        EdgeBoxes()


@pytest.mark.parametrize(
    "text",
    ["", "%YAML:1.0\n", "not yaml: [", FOREST.replace("childs", "children"), FOREST.replace(": 1,", ": 0,")],
)  # fmt: skip
def test_another_file_is_refused_before_opencv_divides_by_it(tmp_path: Path, text: str) -> None:
    model = tmp_path / "model.yml"
    model.write_text(text)
    with pytest.raises(ModelError, match="expected structured edges at"):
        check_forest(model)


def test_a_file_of_structured_edges_is_taken_and_a_missing_one_named(tmp_path: Path) -> None:
    model = tmp_path / "model.yml"
    model.write_text(FOREST)
    check_forest(model)
    with pytest.raises(ModelError, match="there is no file"):
        check_forest(tmp_path / "none.yml.gz")


def test_gradient_edges_are_thin_lines_with_the_direction_across_them() -> None:
    edges, angles = gradient_edges(square())
    assert (edges.dtype, float(edges.max()), float(edges.min())) == (np.float32, 1.0, 0.0)
    row = edges[60]  # through the square's two upright sides
    assert set(np.flatnonzero(row > 0.1)) <= {49, 50, 109, 110}
    assert min(row[49:51].max(), row[109:111].max()) > 0.999
    column = edges[:, 80]
    assert set(np.flatnonzero(column > 0.1)) <= {29, 30, 89, 90}
    across = np.minimum(angles, np.pi - angles)  # of an upright line 0, or nearly pi
    assert across[60, [49, 50, 109, 110]].max() < 1e-3
    np.testing.assert_allclose(angles[[29, 30, 89, 90], 80], np.pi / 2, atol=1e-3)


def test_slanted_edges_turn_from_x_towards_y() -> None:
    """A picture that rises to the lower right; then one that rises to the upper right."""
    y, x = np.indices((40, 40), np.float32)
    for slope, angle in ((1, np.pi / 4), (-1, 3 * np.pi / 4)):
        step = np.where(x + slope * y > (40 if slope > 0 else 0), 200, 50).astype(np.float32)
        edges, angles = gradient_edges(np.repeat(step[..., None], 3, 2))
        np.testing.assert_allclose(angles[10:30, 10:30][edges[10:30, 10:30] > 0.5], angle, atol=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (40, 40)])
def test_a_flat_picture_has_no_edges(size: tuple[int, int]) -> None:
    edges, angles = gradient_edges(np.full((*size, 3), 90, np.float32))
    assert not edges.any()
    assert np.isfinite(angles).all()


def overlap(found: NDArray[np.float64], left: int, top: int, width: int, height: int) -> float:
    """Intersection over union of the best box with a true one."""
    x, y, w, h = found[0]
    across = min(x + w, left + width) - max(x, left)
    down = min(y + h, top + height) - max(y, top)
    shared = max(across, 0) * max(down, 0)
    return float(shared / (w * h + width * height - shared))


@needs_ximgproc
def test_the_best_box_is_the_object() -> None:
    found = EdgeBoxes().candidates(square())
    assert len(found) >= 5
    assert overlap(found, 50, 30, 60, 60) > HIT
    slanted = np.full((200, 300, 3), 60, np.float32)
    cv2.fillPoly(slanted, [np.array([[50, 150], [150, 150], [100, 50]])], (200, 150, 90))
    assert overlap(EdgeBoxes().candidates(slanted), 50, 50, 101, 101) > HIT


@needs_ximgproc
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (40, 1), (50, 50)])
def test_pictures_without_an_object_are_survived(size: tuple[int, int]) -> None:
    finder = EdgeBoxes()
    assert finder.candidates(np.zeros((*size, 3), np.float32)).shape == (0, 4)
    noise = np.random.default_rng(0).random((*size, 3), np.float32) * 255
    assert finder.candidates(noise).shape[1] == 4


@needs_ximgproc
def test_many_pictures_pass_one_finder() -> None:
    finder = EdgeBoxes()
    first = finder.candidates(square())
    finder.candidates(square(200, 130))
    np.testing.assert_array_equal(finder.candidates(square()), first)


def test_gradients_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "ximgproc", Contrib((BOXES, None)), raising=False)
    asked = []
    monkeypatch.setattr(
        edge_boxes, "gradient_edges", lambda picture: asked.append(picture) or (picture, picture)
    )
    EdgeBoxes().candidates(square())
    assert len(asked) == 1
