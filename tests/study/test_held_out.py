from dataclasses import replace
from pathlib import Path

import pytest
from camvid_writer import street, write_camvid
from model_files import write_model

from streamseg.datasets import open_dataset
from streamseg.study.held_out import acquaintance, hold_out, warning
from streamseg.study.session import StudySession

SEEN = "has learnt from the drive B"
PERHAPS = "may have seen the drive B"
BESIDE = "may have seen the drive B, in the weights it began with or the frames mixed in"


@pytest.mark.parametrize(
    ("trained_on", "said"),
    [
        ("camvid train without B, 9 images, from random weights", ""),
        ("camvid train without A without B, 9 images, from random weights", ""),
        (
            "camvid train without B, 9 images, from random weights; 400 rendered frames mixed in",
            "",
        ),
        ("camvid train, 9 images, from random weights", SEEN),
        ("camvid train without A, 9 images, from random weights", SEEN),
        ("camvid train B, 9 images, from random weights", SEEN),
        ("camvid train without B, 9 images, from icnet-camvid", BESIDE),
        (
            "camvid train without B, 9 images, from random weights; 3 auto-labelled frames by x at "
            "threshold 0.9 mixed in",
            BESIDE,
        ),
        ("camvid train BB, 9 images, from random weights", PERHAPS),
        ("its card does not say", PERHAPS),
    ],
)
def test_a_card_tells_whether_a_drive_was_seen(trained_on: str, said: str) -> None:
    assert acquaintance(trained_on, "camvid", "B") == said


def test_what_is_said_names_the_network_and_its_images() -> None:
    assert warning("tiny", "camvid train, 9 images", "camvid", "B") == (
        "**tiny has learnt from the drive B, which is scored here** (trained on: camvid train, 9 images)."
    )
    assert not warning(
        "tiny", "camvid train without B, 1 images, from random weights", "camvid", "B"
    )


def test_no_image_is_on_both_sides(tmp_path: Path) -> None:
    write_camvid(tmp_path, "train", [street(i) for i in range(5)], drives=("A", "B"))
    dataset, validation = hold_out(open_dataset(tmp_path, "train"), "B")
    assert (len(dataset), len(validation)) == (3, 2)
    assert not {*dataset.pairs} & {*validation.pairs}


def test_a_session_warns_of_given_networks_and_of_the_weights_begun_with(
    session: StudySession, tmp_path: Path
) -> None:
    given = session.given(write_model(tmp_path / "tiny.safetensors")).trained
    assert session.warnings([given]) == ()  # no drive is held out
    session.held_out = "B"
    (said,) = session.warnings([given, replace(given, name="own", given=False)])
    assert said.startswith("**tiny may have seen the drive B")
    session.start = write_model(tmp_path / "start.safetensors")
    assert len(session.warnings([])) == 1
    assert "with which trainings began, may have seen" in session.warnings([])[0]
