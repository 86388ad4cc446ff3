import json
from dataclasses import replace

import pytest
from study.conftest import WIDTH, make_session

from streamseg.study import cascade
from streamseg.study import session as session_module
from streamseg.study.cascade import PAPER, CascadeRow
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study


@pytest.fixture(autouse=True)
def small_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "BASELINE_WIDTH", WIDTH)


@pytest.mark.slow
def test_all_rows_are_measured_at_every_size_and_nothing_twice(
    session: StudySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.schedule = replace(session.schedule, speed_sizes=((33, 65),))
    result = run_study("cascade", session, "streamseg study cascade")
    rows: list[CascadeRow] = list(result.rows)
    assert [(row.name, row.speed.size) for row in rows] == [
        (name, size) for size in ((65, 97), (33, 65)) for name in PAPER
    ]
    assert [row.memory_saving for row in rows[:4]] == [1.0, 4.0, 2.0, 1.0]
    baseline = rows[0].speed.milliseconds
    assert [row.speedup for row in rows[:4]] == [
        baseline / row.speed.milliseconds for row in rows[:4]
    ]
    gflop = [row.speed.gflop for row in rows[:4]]
    assert gflop[0] > gflop[3] > gflop[1]
    assert {row.score.images for row in rows} == {3}
    assert [network.name for network in result.networks] == ["pspnet50-half", "icnet"]
    written = json.loads((session.out / "cascade.json").read_text())
    assert written["rows"][3]["score"]["miou"] == rows[3].score.miou
    assert written["quick"] is True
    assert "tables" not in written

    def refuse(*asked: object, **how: object) -> None:
        raise AssertionError("expected nothing to be done again")

    for name in ("train", "score", "speeds", "measure_memory"):
        monkeypatch.setattr(session_module, name, refuse)
    again = make_session(session.dataset.pairs[0][0].parents[1], session.out)
    again.schedule = session.schedule
    assert run_study("cascade", again, "streamseg study cascade").rows == result.rows


def test_the_paper_row_by_row() -> None:
    assert {name: row.miou_percent for name, row in PAPER.items()} == {
        "baseline": 67.9, "sub4": 59.6, "sub24": 66.5, "sub124": 67.7,
    }  # fmt: skip
    for row in PAPER.values():
        assert row.frames_per_second == pytest.approx(1000 / row.milliseconds, rel=0.01)
        assert row.speedup == pytest.approx(170 / row.milliseconds, abs=0.1)
