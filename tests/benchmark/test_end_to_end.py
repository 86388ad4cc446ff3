import pytest

from streamseg.benchmark import end_to_end as module
from streamseg.benchmark.end_to_end import end_to_end
from streamseg.benchmark.session import Session


def test_every_program_of_ours_meets_every_baseline_at_both_sizes(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    speeds = iter([*first, 1.0, 2.0, 4.0, 8.0, 64.0, 32.0, 64.0, 128.0])
    for name in ("loop_people_write", "supervision_video", "streamseg_run"):
        monkeypatch.setattr(module, name, lambda *asked: next(speeds))
    found = end_to_end(session, (64, 96))
    assert found.video_size == (64, 96)
    assert [(one.kind, one.name, one.network_size, one.frames) for one in found.programs] == [
        ("loop", "loop, network 64x96", (64, 96), 3),
        ("loop", "loop, network 33x65", (33, 65), 3),
        ("supervision", "supervision, network 64x96", (64, 96), 3),
        ("supervision", "supervision, network 33x65", (33, 65), 3),
        ("streamseg", "streamseg run --size native", (64, 96), 5),
        ("streamseg", "streamseg run --size 33x65", (33, 65), 5),
        ("streamseg", "streamseg run --size native --keyframe adaptive", (64, 96), 5),
        ("streamseg", "streamseg run --size 33x65 --keyframe adaptive", (33, 65), 5),
    ]
    assert [one.keyframe for one in found.programs] == ["off"] * 6 + ["adaptive"] * 2
    assert [one.frames_per_second for one in found.programs] == [1, 2, 4, 8, 40, 32, 64, 128]
    assert found.programs[0].network == "torch fp32, as published"
    assert found.programs[4].network == "openvino fp32"
    ratios = {(one.of, one.to): (one.median, one.least, one.greatest) for one in found.ratios}
    assert len(ratios) == 4 * 4
    assert ratios["streamseg run --size native", "loop, network 64x96"] == (40, 16, 64)
    assert ratios["streamseg run --size native", "supervision, network 33x65"] == (5, 2, 8)
    assert ratios["streamseg run --size 33x65", "loop, network 33x65"] == (16, 16, 16)


def test_programs_run_from_file_to_file(session: Session) -> None:
    found = end_to_end(session, (64, 96))
    assert all(one.frames_per_second > 0 for one in found.programs)
    for name in ("loop.mp4", "supervision.mp4", "ours.mp4"):
        assert (session.folder / name).stat().st_size > 0


def test_without_supervision_the_rest_is_measured(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = end_to_end(session, (48, 64))
    assert {one.kind for one in found.programs} == {"loop", "streamseg"}
    (note,) = [one for one in session.skipped if "supervision" in one.what]
    assert "pip install" in note.reason
