import cv2
import pytest

from streamseg.study.region_size import GROUPS, RegionRow
from streamseg.study.session import StudySession
from streamseg.study.studies import run_study


def test_bins_are_put_together_by_their_regions() -> None:
    row = RegionRow(branch="sub4", bin_pixels=30, regions=(2, 0, 2), sums=(1.0, 0.0, 2.0), miou=0.5)
    assert row.accuracy(1, 1) == 0.5
    assert row.accuracy(2, 2) is None
    assert row.accuracy(1, 3) == 0.75


def test_groups_leave_no_bin_out() -> None:
    assert [number for first, last in GROUPS for number in range(first, last + 1)] == [
        *range(1, 101)
    ]


@pytest.mark.slow
def test_regions_of_all_branches_are_the_same_ones(session: StudySession) -> None:
    result = run_study("region-size", session, "streamseg study region-size")
    assert [row.branch for row in result.rows] == ["sub4", "sub24", "sub124"]
    assert len({row.regions for row in result.rows}) == 1
    assert sum(result.rows[0].regions) > 0
    assert result.pictures == ("region-size.png",)
    assert cv2.imread(str(session.out / "region-size.png")).shape[1] == 1200
    table = result.tables[0]
    first, *bins = table.rows
    assert sum(int(row[1]) for row in bins) == sum(result.rows[0].regions)
    assert first[2] == f"{100 * result.rows[0].miou:.1f}"
    # Two studies, one network.
    assert run_study("diff-maps", session, "x").networks == result.networks
