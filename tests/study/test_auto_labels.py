"""Frames that a study's teacher labels: which they are, and what is said of their labels."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street, write_camvid
from model_files import write_model

from streamseg.datasets import open_dataset
from streamseg.errors import SinkError
from streamseg.labels import IGNORE
from streamseg.study.auto_labels import label_frames
from streamseg.study.records import Network
from streamseg.study.session import StudySession
from streamseg.study.unlabelled import Unlabelled


@pytest.fixture
def teacher(session: StudySession, tmp_path: Path) -> Network:
    return session.given(write_model(tmp_path / "teacher.safetensors"))


@pytest.mark.slow
def test_by_default_the_scored_images_are_labelled_and_checked(
    session: StudySession, teacher: Network
) -> None:
    session.unlabelled = Unlabelled(threshold=0.9)
    images, found = label_frames(session, teacher)
    assert [image.name for image, _ in images.pairs] == sorted(
        image.name for image, _ in session.validation.pairs
    )
    assert (found.frames, found.scored, found.checked) == (3, 3, 3)
    assert (found.teacher, found.threshold, found.sources) == ("tiny", 0.9, ("camvid val",))
    assert found.coverage is not None and 0 < found.coverage < 1
    right = kept = 0
    for path, truth_path in session.validation.pairs:
        labels = cv2.imread(str(session.out / "auto" / "trainannot" / path.name), -1)
        truth = cv2.imread(str(truth_path), -1)
        assert labels is not None and truth is not None
        known = (labels != IGNORE) & (truth < 11)
        right += int((labels == truth)[known].sum())
        kept += int(known.sum())
    assert found.precision == pytest.approx(right / kept)
    assert sum(one.kept for one in found.classes) >= kept  # some where nobody knows the truth
    absent = [one for one in found.classes if not one.predicted]
    assert all(one.coverage is one.precision is None for one in absent)


@pytest.mark.slow
def test_every_nth_and_no_frame_of_another_choice(session: StudySession, teacher: Network) -> None:
    session.unlabelled = Unlabelled(threshold=0.3, every=2)
    images, _ = label_frames(session, teacher)
    assert [image.name for image, _ in images.pairs] == sorted(
        image.name for image, _ in session.validation.pairs[::2]
    )
    session.unlabelled = Unlabelled(threshold=0.3, every=3)
    with pytest.raises(SinkError, match=r"expected the 1 frames of this study alone .*, got 2"):
        label_frames(session, teacher)
    session.unlabelled = Unlabelled(threshold=0.4, every=2)
    with pytest.raises(SinkError, match=r"was labelled otherwise: expected threshold 0\.3"):
        label_frames(session, teacher)


@pytest.mark.slow
def test_other_frames_are_told_from_those_that_are_scored(
    session: StudySession, teacher: Network, tmp_path: Path
) -> None:
    """Of the drive held out; the very images that are scored; and another picture of the name of one."""
    write_camvid(tmp_path / "more", "train", [street(8), street(9)], drives=("held", "else"))
    folder = tmp_path / "more" / "train"
    scored = session.validation.pairs[0][0]
    (folder / scored.name).write_bytes(scored.read_bytes())
    other = session.validation.pairs[1][0].name
    assert cv2.imwrite(str(folder / other), np.full((48, 64, 3), 90, np.uint8))
    session.held_out = "held"
    session.unlabelled = Unlabelled(
        sources=(folder,), threshold=0.0, truth=(open_dataset(tmp_path / "more", "train"),)
    )
    images, found = label_frames(session, teacher)
    assert found.sources == ("train",)
    assert (len(images), found.frames, found.coverage) == (4, 4, 1.0)
    assert found.scored == 2
    assert found.checked == 3  # the truth of the two written here is given


def test_what_has_no_meaning_is_refused() -> None:
    for wrong, said in (
        ({"every": 0}, "every of at least 1"),
        ({"threshold": 1.0}, "threshold from 0 to below 1"),
        ({"share": 1.0}, "share of each batch between 0 and 1"),
        ({"share": 0.0}, "share of each batch between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(Unlabelled(), **wrong)  # type: ignore[arg-type]
