import cv2
import numpy as np
import pytest
from camvid_writer import street

from streamseg.labels import CAMVID, IGNORE
from streamseg.study.diff_maps import count_changes, frame_tiles
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study

TRUTH = np.array([[0, 0, 0, 0, 0, IGNORE]], np.uint8)
BEFORE = np.array([[0, 0, 1, 1, 1, 1]], np.uint8)
AFTER = np.array([[0, 1, 0, 2, 1, 2]], np.uint8)


def test_changes_are_counted_where_there_is_truth() -> None:
    found = count_changes("diff1", [(TRUTH, BEFORE, AFTER)] * 2)
    assert (found.before, found.after) == ("sub4", "sub24")
    assert (found.pixels, found.righted, found.wronged, found.otherwise) == (10, 2, 2, 2)
    assert found.changed == 6


def test_a_frame_is_told_in_full() -> None:
    image, truth = street(0)
    truth = np.where(truth == 11, IGNORE, truth)
    wrong = np.where(truth == 3, 4, truth)
    tiles = frame_tiles(image, truth, {"sub4": wrong, "sub24": truth, "sub124": truth}, CAMVID)
    assert [tile.caption for tile in tiles.given] == ["image", "truth"]
    assert tiles.errors[1].caption == "sub24 wrong: 0.0 %"
    share = 100 * (truth == 3).sum() / (truth != IGNORE).sum()
    assert tiles.errors[0].caption == f"sub4 wrong: {share:.1f} %"
    assert [tile.caption for tile in tiles.changes] == [
        "diff1: sub4 to sub24", "diff2: sub24 to sub124",
    ]  # fmt: skip
    assert [len(row) for row in tiles.rows()] == [3, 3, 3, 3]


@pytest.mark.slow
def test_sheets_are_drawn_of_some_frames_and_all_are_counted(session: StudySession) -> None:
    result = run_study("diff-maps", session, "streamseg study diff-maps")
    labelled = sum(int((street(seed)[1] != 11).sum()) for seed in range(3))
    assert [row.pixels for row in result.rows] == [labelled, labelled]
    assert len(result.pictures) == 1 + session.schedule.frames
    assert result.pictures[0] == "diff-maps/all.png"
    for name in result.pictures:
        assert cv2.imread(str(session.out / name)) is not None
    assert f"![{result.pictures[1]}]" in (session.out / "diff-maps.md").read_text()
