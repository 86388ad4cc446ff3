import cv2
import numpy as np
import pytest
from model_files import write_model

from streamseg.errors import ModelError
from streamseg.study import attention
from streamseg.study.attention import SETS, AttentionRow, share_tiles
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study
from streamseg.study.training_cost import TrainingCost


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What was to be timed; nothing is, for the processes take seconds to start."""
    asked: list[dict[str, object]] = []

    def cost(recipes: dict[str, object], *rest: object, **how: object) -> tuple[TrainingCost, ...]:
        asked.append(recipes)
        return tuple(
            TrainingCost(
                name=name, batch=2, crop=(49, 65), device="cpu", seconds=seconds, memory_mb=memory
            )
            for name, seconds, memory in zip(recipes, (2.0, 2.6), (100.0, None), strict=True)
        )

    monkeypatch.setattr(attention, "training_cost", cost)
    return asked


@pytest.mark.slow
def test_attention_is_compared_with_the_mean_of_a_network_of_its_own(
    session: StudySession, costs: list[dict[str, object]]
) -> None:
    session.recipe_name = "icnet-ms-camvid"
    result = run_study("attention", session, "streamseg study attention")
    assert [network.name for network in result.networks] == [
        "icnet-ms-camvid", "icnet-ms-camvid-average",
    ]  # fmt: skip
    rows = {row.scales: row for row in result.rows if isinstance(row, AttentionRow)}
    assert list(rows) == [
        "average:1", *(f"average:{one}" for one in SETS), *(f"attention:{one}" for one in SETS),
    ]  # fmt: skip
    assert rows["average:0.5,1"].network == "icnet-ms-camvid-average"
    assert rows["attention:0.5,1"].network == "icnet-ms-camvid"
    # Twice the sides are four times the work, and no scale is free.
    work = [rows[f"average:{one}"].gflop for one in ("1", *SETS)]
    assert work == sorted(work)
    assert work[2] > 4 * work[0]
    text = (session.out / "attention.md").read_text()
    assert "| attention | 0.5, 1, 2 |" in text
    assert "| 52.2 |" in text
    assert "| two scales | 2.60 | 1.30 |  |  | 1.25 |" in text
    assert len(result.pictures) == session.schedule.frames
    for name in result.pictures:
        assert cv2.imread(str(session.out / name)) is not None
    (asked,) = costs
    assert [getattr(recipe, "architecture", None) for recipe in asked.values()] == [
        "icnet", "icnet-ms",
    ]  # fmt: skip


def test_a_network_of_one_scale_is_refused(session: StudySession) -> None:
    session.recipe_name = "icnet-camvid"
    with pytest.raises(ModelError, match="of several scales, icnet-camvid is of icnet"):
        run_study("attention", session, "")
    session.model = write_model(session.out.parent / "one.safetensors")
    with pytest.raises(ModelError, match=r"such as hrnet-ocr-ms, one\.safetensors is"):
        run_study("attention", session, "")


def test_shares_are_drawn_with_their_means() -> None:
    shares = np.stack([np.full((8, 12), 0.25, np.float32), np.full((8, 12), 0.75, np.float32)])
    low, high = share_tiles(shares, (0.5, 1.0), (16, 24))
    assert (low.caption, high.caption) == ("scale 0.5: 25 %", "scale 1: 75 %")
    assert low.picture.shape == (16, 24, 3)
    assert len(np.unique(low.picture.reshape(-1, 3), axis=0)) == 1
    # Yellow is nearer than dark blue.
    assert high.picture.astype(int).sum() > low.picture.astype(int).sum()
