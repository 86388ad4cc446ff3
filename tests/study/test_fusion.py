import json
from dataclasses import replace

import pytest

from streamseg.models.find import find_model
from streamseg.study.fusion import FUSIONS, FusionRow
from streamseg.study.records import StudyResult
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study


@pytest.mark.slow
def test_all_ways_are_trained_alike_and_measured(session: StudySession) -> None:
    size = (257, 385)
    session.schedule = replace(session.schedule, speed_sizes=(size,))
    result = run_study("fusion", session, "streamseg study fusion")
    asked = [(row.speed.size, row.fusion) for row in result.rows]
    assert asked == [(one, name) for one in ((65, 97), size) for name in FUSIONS]
    rows: dict[str, FusionRow] = {row.fusion: row for row in result.rows if row.speed.size == size}
    assert [rows[name].guided for name in FUSIONS] == [True, True, True, True, False]

    recipes = {network.name: network.recipe for network in result.networks}
    cff = recipes["icnet"]
    assert "architecture='icnet'" in cff and "branch_weights=(1.0, 0.4, 0.4)" in cff
    for name, changed in {
        "icnet-deconv3": cff.replace("architecture='icnet'", "architecture='icnet-deconv3'"),
        "icnet-deconv7": cff.replace("architecture='icnet'", "architecture='icnet-deconv7'"),
        "icnet-unguided": cff.replace("(1.0, 0.4, 0.4)", "(1.0, 0.0, 0.0)"),
    }.items():
        assert recipes[name] == changed.replace("name='icnet'", f"name='{name}'")
    for network in result.networks:
        path = session.out / "networks" / network.name / f"{network.name}.safetensors"
        assert find_model(path).card.architecture == network.architecture

    parameters = [row.parameters for row in rows.values()]
    assert parameters[0] < parameters[1] < parameters[2]
    assert parameters[3] == parameters[4] == parameters[0]  # 3x3 taps, too
    gflop = [row.speed.gflop for row in rows.values()]
    assert gflop[0] < gflop[1] < gflop[2] and gflop[0] < gflop[3] == gflop[4]
    executed = [row.executed_gflop for row in rows.values()]
    assert executed[3] == executed[0] < executed[1] < executed[2]
    assert {row.score.images for row in rows.values()} == {3}

    check_what_is_said_of_the_paper(session, result)


def check_what_is_said_of_the_paper(session: StudySession, result: StudyResult) -> None:
    """Its numbers are called unverified wherever they are shown."""
    table, _ = result.tables
    of_paper = [column for column in table.head if "paper" in column]
    assert len(of_paper) == 2
    assert all("recollected, not verified" in column for column in of_paper)
    assert "recollected and not verified" in table.text
    assert table.rows[3][-2:] == ("67.7", "33")
    text = (session.out / "fusion.md").read_text()
    assert "recollected and not verified" in text and "![fusion.png](fusion.png)" in text
    assert (session.out / "fusion.png").stat().st_size > 1000
    written = json.loads((session.out / "fusion.json").read_text())
    assert "recollected" not in json.dumps(written)  # measured numbers alone
