import pytest

from streamseg.study.downsampling import PAPER, scaled, scaled_size
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study
from streamseg.training.recipes import pspnet50_camvid


def test_a_scaled_recipe_sees_the_same_views_in_fewer_pixels() -> None:
    whole = pspnet50_camvid()
    half = scaled(whole, 0.5)
    assert half.input.size == (289, 385)
    assert [stage.view.crop for stage in half.stages] == [(193, 257), (289, 385), (289, 385)]
    for before, after in zip(whole.stages, half.stages, strict=True):
        assert after.view.scale == tuple(factor / 2 for factor in before.view.scale)
    assert scaled(whole, 1.0) is whole


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.25, (257, 513)), (0.5, (513, 1025)), (1.0, (1025, 2049))]
)
def test_scaled_sizes_divide_evenly_by_eight(scale: float, expected: tuple[int, int]) -> None:
    assert scaled_size((1025, 2049), scale) == expected


@pytest.mark.slow
def test_each_scale_and_stride_is_trained_and_timed(session: StudySession) -> None:
    result = run_study("downsampling", session, "streamseg study downsampling")
    assert {network.name for network in result.networks} == {
        "pspnet50-width0.0625", "pspnet50-width0.0625-input0.5", "pspnet50-width0.0625-input0.25",
        "pspnet50-s16-width0.0625", "pspnet50-s32-width0.0625",
    }  # fmt: skip
    rows = {
        (row.scale, row.feature_stride): row for row in result.rows if row.image_size == (65, 97)
    }
    assert set(rows) == set(PAPER)
    assert rows[0.5, 8].speed.size == rows[0.5, 8].score.network_size == (33, 49)
    assert rows[1.0, 8].speed.gflop > rows[1.0, 16].speed.gflop > rows[1.0, 32].speed.gflop
    by_scale, by_stride = result.tables[:2]
    assert [row[0] for row in by_scale.rows] == ["0.25", "0.5", "1"]
    assert [row[0] for row in by_stride.rows] == ["8", "16", "32"]
    assert by_stride.rows[0][-2:] == ("71.7", "446")
