import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark.conftest import SizedEngine
from camvid_writer import street, write_camvid

from streamseg.benchmark import keyframe_run
from streamseg.benchmark.keyframe_curve import STILL, Way
from streamseg.benchmark.keyframe_plan import QUICK, KeyframePlan, Settings, retimed
from streamseg.segmenter import Segmenter

TINY = replace(
    QUICK,
    camvid=Settings(intervals=(1, 3), qualities=(0.5,), ways=(STILL, Way("flow", "interpolate"))),
    images=None,
    retimed=Settings(intervals=(1, 3), qualities=(), ways=(Way("flow", "interpolate"),)),
    rendered=Settings(intervals=(1, 3), qualities=(), ways=(Way("flow", "interpolate"),)),
    rendered_seconds=0.2,
    rendered_size=(64, 96),
    timed_size=(64, 96),
    frames=3,
)


def test_the_plan_names_settings_as_users_do() -> None:
    assert TINY.camvid.keyframes(Way("flow")) == ("fixed:1", "fixed:3", "adaptive:0.5")
    assert TINY.camvid.keyframes(STILL) == ("fixed:1", "fixed:3")
    full = KeyframePlan()
    assert full.camvid.intervals == tuple(range(1, 11))
    assert set(full.rendered.intervals) | set(full.retimed.intervals) <= set(full.camvid.intervals)


def test_a_drive_is_retimed() -> None:
    assert retimed(12) == [0, 1, 2, 3, 3, 3, 3, 5, 7, 9, 11]
    assert len(retimed(101)) == 92


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are labelled by their brightness."""

    def load_fake(model: str, device: str) -> Segmenter:
        engine = SizedEngine("auto")
        return Segmenter(engine, engine.card.labels)

    monkeypatch.setattr(keyframe_run, "load", load_fake)
    monkeypatch.setattr(
        keyframe_run, "open_engine", lambda model, *, size, **asked: SizedEngine(size)
    )


def test_all_of_it_makes_three_files(
    no_network: None,
    tmp_path: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(keyframe_run, "QUICK", TINY)
    write_camvid(tmp_path, "val", [street(seed) for seed in range(5)])
    json_file, table, chart = (tmp_path / name for name in ("k.json", "k.md", "k.png"))
    files = ["--json", json_file, "--markdown", table, "--chart", chart]
    asked = [clip, "--data", tmp_path, "--quick", *files]
    assert keyframe_run.main([str(word) for word in asked]) == 0
    found = json.loads(json_file.read_text())
    assert found["command"] == "scripts/keyframes street.mp4 --quick"
    camvid, again, rendered = found["clips"]
    assert (again["name"], again["frames"]) == ("camvid val, retimed", 4)
    costs = [(cost["recipe"], cost["motion"]) for cost in found["costs"]]
    assert costs == [(r, m) for r in ("camera", "default") for m in ("codec", "flow", "none")]
    assert all(cost["stage"] > 0 for cost in found["costs"])
    assert (camvid["name"], camvid["recipe"]) == ("camvid val", "recipe camera")
    assert (camvid["frames"], camvid["scored_from"]) == (5, 2)
    assert (rendered["name"], rendered["recipe"]) == ("rendered street seed 0", "as rendered")
    settings = [(point["keyframe"], point["way"]["motion"]) for point in camvid["points"]]
    assert settings[:3] == [("off", "none"), ("fixed:1", "none"), ("fixed:3", "none")]
    assert ("adaptive:0.5", "flow") in settings
    assert len(found["rows"]) == 8
    assert found["times"][0]["frames"] == 3
    assert table.read_text() == capsys.readouterr().out
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_a_missing_data_set_is_one_line(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [f"--{name}={tmp_path / name}" for name in ("json", "markdown", "chart")]
    assert keyframe_run.main([str(clip), "--data", str(tmp_path / "no"), "--quick", *files]) == 1
    assert capsys.readouterr().err.startswith("error: expected a data set folder")
