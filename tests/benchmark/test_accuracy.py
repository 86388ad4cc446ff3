from pathlib import Path

import pytest
from camvid_writer import street, write_camvid
from fakes import label_of_luma

from streamseg.benchmark.accuracy import accuracy
from streamseg.benchmark.session import Session


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Three validation images; class 0, sky, is all that the published stand-in sees."""
    root = tmp_path / "camvid"
    write_camvid(root, "val", [street(seed) for seed in range(3)])
    return root


def test_engines_and_published_networks_are_scored_at_the_labels_size(
    session: Session, camvid: Path
) -> None:
    session.data = camvid
    found = accuracy(session)
    assert [(one.name, one.form) for one in found][:2] == [
        ("openvino fp32", "streamseg"),
        ("torch fp32, as published", "published"),
    ]
    assert {(one.dataset, one.split, one.images, one.of_images) for one in found} == {
        ("camvid", "val", 3, 3)
    }
    # Sky is right where sky is: its share of all labelled pixels.
    truth = [street(seed)[1] for seed in range(3)]
    labelled = sum((labels != 11).sum() for labels in truth)
    right = sum((labels == 0).sum() for labels in truth)
    assert found[1].pixel_accuracy == pytest.approx(right / labelled)
    assert 0 < found[0].miou < 1
    assert label_of_luma(0) == 0  # what the other stand-in goes by
    assert {"openvino bf16", "openvino int8"} == {one.what for one in session.skipped}


def test_without_a_data_set_the_section_is_skipped(session: Session, tmp_path: Path) -> None:
    assert accuracy(session) == ()
    session.data = tmp_path
    assert accuracy(session) == ()
    assert [one.what for one in session.skipped] == ["accuracy", "accuracy"]
    assert "STREAMSEG_DATA" in session.skipped[0].reason
    assert "found none" in session.skipped[1].reason
