"""`Proposer`: which source is used, what stands in for it, and what the report says of that."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import noise
from proposal_models import OBJECTS
from proposals.contrib import Contrib

from streamseg.errors import BackendError
from streamseg.labels import CAMVID
from streamseg.proposals.boxes import Box, whole
from streamseg.proposals.choice import Proposals
from streamseg.proposals.propose import Proposer, has_background, resolve
from streamseg.proposals.windows import windows

SIZE = (40, 60)


def picture(seed: int = 0) -> NDArray[np.float32]:
    return noise(*SIZE, seed=seed).astype(np.float32)


@pytest.fixture
def no_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "ximgproc", raising=False)


def edges_that_find(monkeypatch: pytest.MonkeyPatch, rows: list[list[float]]) -> None:
    boxes = np.array(rows, np.float64).reshape(-1, 4)
    answer = (boxes, np.arange(len(boxes), 0, -1)) if len(boxes) else ((), None)
    monkeypatch.setattr(cv2, "ximgproc", Contrib(answer), raising=False)


def test_background_is_what_class_0_is_called() -> None:
    assert has_background(OBJECTS)
    assert not has_background(CAMVID)


def test_auto_is_edges_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    edges_that_find(monkeypatch, [[3, 4, 30, 20]])
    assert resolve(Proposals()) == (Proposals(source="edges"), None)
    proposer = Proposer(Proposals(), OBJECTS)
    assert proposer(picture()) == [Box(left=3, top=4, right=33, bottom=24)]
    assert proposer.notes == ()


@pytest.mark.usefixtures("no_contrib")
def test_auto_is_windows_elsewhere_and_says_so() -> None:
    proposer = Proposer(Proposals(count=5), OBJECTS)
    assert proposer.choice == Proposals(source="windows", count=5)
    assert proposer(picture()) == windows(SIZE, 5)
    (note,) = proposer.notes
    assert note.startswith("proposals auto, windows used, cv2 has no ximgproc")


@pytest.mark.usefixtures("no_contrib")
def test_edges_that_were_asked_for_are_never_replaced(tmp_path) -> None:
    for choice in (Proposals(source="edges"), Proposals(edge_model=tmp_path / "model.yml")):
        with pytest.raises(BackendError, match="edge boxes need"):
            Proposer(choice, OBJECTS)


def test_windows_asked_for_are_no_fallback() -> None:
    proposer = Proposer(Proposals(source="windows", count=7), CAMVID)
    assert proposer(picture()) == windows(SIZE, 7)
    assert proposer.notes == ()


def test_without_background_the_whole_picture_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    edges_that_find(monkeypatch, [[3, 4, 30, 20], [0, 0, 60, 40], [5, 5, 9, 9]])
    found = Proposer(Proposals(source="edges"), CAMVID)(picture())
    assert found == [
        whole(SIZE), Box(left=3, top=4, right=33, bottom=24), Box(left=5, top=5, right=14, bottom=14),
    ]  # fmt: skip
    assert Proposer(Proposals(source="edges", count=1), CAMVID)(picture()) == [whole(SIZE)]


def test_the_best_are_kept_and_bad_ones_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [[np.nan, 0, 5, 5], [70, 0, 5, 5], [1, 1, -4, 4]]
    edges_that_find(monkeypatch, [bad[0], [3, 4, 30, 20], *bad[1:], [0, 0, 9, 9], [1, 1, 9, 9]])
    proposer = Proposer(Proposals(source="edges", count=2), OBJECTS)
    assert [box.left for box in proposer(picture())] == [3, 0]
    proposer(picture())
    assert proposer.notes == (
        "proposals, the others used, left out were 2 not numbers, 2 outside the picture, 2 of negative size",
    )


def test_where_no_box_is_found_the_whole_picture_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edges_that_find(monkeypatch, [])
    proposer = Proposer(Proposals(source="edges"), OBJECTS)
    for _ in range(2):
        assert proposer(picture()) == [whole(SIZE)]
    assert proposer.notes == (
        "proposals edges, the whole picture used, no box was found (pictures: 2)",
    )


def test_pictures_of_one_color_are_one_proposal_and_no_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edges_that_find(monkeypatch, [[3, 4, 30, 20]])
    for source in ("edges", "windows", "previous"):
        proposer = Proposer(Proposals(source=source), OBJECTS)  # type: ignore[arg-type]
        assert proposer(np.full((*SIZE, 3), 128, np.float32)) == [whole(SIZE)]
        assert proposer.notes == ()


def test_previous_regions_follow_windows() -> None:
    proposer = Proposer(Proposals(source="previous", count=6), OBJECTS)
    assert proposer.follows
    assert proposer(picture()) == windows(SIZE, 6)
    labels = np.zeros(SIZE, np.uint8)
    labels[5:15, 10:30] = 2
    proposer.answered(labels)
    assert proposer(picture()) == [whole(SIZE), Box(left=8, top=4, right=32, bottom=16)]
    assert proposer.notes == (
        "proposals previous, windows used, nothing before to go by: a first picture or a cut (pictures: 1)",
    )


def test_a_black_picture_ends_what_was_known() -> None:
    proposer = Proposer(Proposals(source="previous", count=6), OBJECTS)
    labels = np.ones(SIZE, np.uint8)
    for shown in (picture(), np.zeros((*SIZE, 3), np.float32), picture()):
        found = proposer(shown)
        proposer.answered(labels)
    assert found == windows(SIZE, 6)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1)])
@pytest.mark.parametrize("source", ["windows", "previous"])
def test_the_least_pictures_are_seen(source, size) -> None:
    proposer = Proposer(Proposals(source=source), OBJECTS)
    for _ in range(3):
        found = proposer(noise(*size).astype(np.float32))
        assert found == [whole(size)]
        proposer.answered(np.ones(size, np.uint8))
