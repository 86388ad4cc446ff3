from collections.abc import Sequence

import av
import pytest
from fakes import FakeEngine

from streamseg.benchmark.records import Ratio, StageCost
from streamseg.benchmark.session import Session
from streamseg.benchmark.stages import IDEAL, WALL, each_alone, pipeline, stages, through

NAMES = ["decode", "transfer", "infer", "overlay", "encode"]


class Late:
    """Gives out each item with the next one, and doubles them."""

    name = "late"

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[str] = []
        self._fails = fails
        self._held: list[int] = []

    def process(self, item: int) -> Sequence[int]:
        self.calls.append(f"process {item}")
        if self._fails:
            raise ValueError("no")
        self._held.append(2 * item)
        return [self._held.pop(0)] if len(self._held) > 1 else []

    def drain(self) -> Sequence[int]:
        self.calls.append("drain")
        return self._held

    def close(self) -> None:
        self.calls.append("close")


def cost(name: str, core_ms: float) -> StageCost:
    return StageCost(name=name, core_ms=core_ms, wall_ms=core_ms / 2)


def test_the_pipeline_is_compared_with_its_stages_within_rounds() -> None:
    found = pipeline(
        fps=[40.0, 20.0, 50.0],
        costs=[
            (cost("decode", 10), cost("infer", 30)),
            (cost("decode", 20), cost("infer", 30)),
            (cost("decode", 10), cost("infer", 22)),
        ],
        video_size=(64, 96),
        network_size=(33, 65),
        precision="int8",
        cores=2,
        frames=5,
    )
    assert found.stages == (
        StageCost(name="decode", core_ms=10, wall_ms=5),
        StageCost(name="infer", core_ms=30, wall_ms=15),
    )
    # Ideal: 20, 25, 16 ms a frame. Real: 25, 50, 20 ms.
    assert (found.core_ms, found.ideal_ms, found.wall_ms) == (40, 20, 25)
    assert found.wall_to_ideal == Ratio(of=WALL, to=IDEAL, median=1.25, least=1.25, greatest=2.0)


def test_items_go_through_a_stage_to_its_end() -> None:
    stage = Late()
    assert through(stage, [1, 2, 3]) == [2, 4, 6]
    assert stage.calls == ["process 1", "process 2", "process 3", "drain", "close"]


def test_a_stage_that_fails_is_closed() -> None:
    stage = Late(fails=True)
    with pytest.raises(ValueError, match="no"):
        through(stage, [1, 2])
    assert stage.calls == ["process 1", "close"]


def test_each_stage_alone_makes_the_file(session: Session) -> None:
    video, out = session.copy((64, 96), 5), session.folder / "out.mp4"
    engine = FakeEngine()
    costs = each_alone(engine, video, out, 5)
    assert [one.name for one in costs] == NAMES
    assert all(one.wall_ms > 0 for one in costs)
    assert engine.calls == ["submit"] * 5
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 5


def test_stages_and_pipeline_are_measured_together(session: Session) -> None:
    found = stages(session, (64, 96), (33, 65))
    assert found is not None
    assert [one.name for one in found.stages] == NAMES
    assert (found.video_size, found.network_size, found.frames) == ((64, 96), (33, 65), 5)
    assert found.ideal_ms == pytest.approx(found.core_ms / found.cores)
