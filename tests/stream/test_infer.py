"""`Infer`: how many pictures run side by side, what keeps them alive, and every way that they end."""

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine, FakeSource, FakeStage, collect, gray_frame, streamseg_threads

from streamseg.frames import WHOLE, Frame, Logits, Prepared
from streamseg.stream.infer import Infer
from streamseg.stream.link import End
from streamseg.stream.pipeline import Pipeline
from streamseg.stream.transfer import Transfer


class Broken(Exception):
    pass


class Buffer:
    """A network input of frame `index`, to be watched by weak references."""

    def __init__(self, index: int) -> None:
        self.index = index


class RecordingEngine(FakeEngine):
    """Keeps no input alive, and writes down what happens to which.

    Args:
        hold: called with the index before each answer.
    """

    def __init__(self, hold: Callable[[int], object] = lambda _: None) -> None:
        super().__init__()
        self.log: list[str] = []
        self._hold_index = hold

    def submit(self, network_input: Any) -> Callable[[], Logits]:
        index, alive = network_input.index, weakref.ref(network_input)
        self.log.append(f"submit {index}")
        self.running += 1

        def wait() -> Logits:
            assert alive() is not None, f"the buffers of picture {index} died while it ran"
            self.log.append(f"wait {index}")
            self.running -= 1
            self._hold_index(index)
            return logits_of(index)

        return wait

    def infer(self, network_input: Any) -> Logits:
        self.log.append(f"infer {network_input.index}")
        return logits_of(network_input.index)

    def prepare(self, pixels: Any) -> Any:
        raise AssertionError("nothing of `Infer`'s")


def logits_of(index: int) -> Logits:
    return Logits(scores=np.full((2, 2, 3), index, np.float32), align_corners=True)


def prepared(index: int) -> Prepared:
    return Prepared(frame=gray_frame(index), network_input=Buffer(index))


def indices(results: Any) -> list[int]:
    """Of the frames, which must be those that the logits are of."""
    for inferred in results:
        assert inferred.logits.scores[0, 0, 0] == inferred.frame.index
        assert inferred.reuse == WHOLE
    return [inferred.frame.index for inferred in results]


class Prepare(FakeStage):
    """`Transfer` with buffers that can be watched."""

    def process(self, frame: Any) -> list[Any]:
        super().process(frame)
        return [Prepared(frame=frame, network_input=Buffer(frame.index))]


def test_one_at_a_time_is_inferred_at_once() -> None:
    engine = RecordingEngine()
    infer = Infer(engine, side_by_side=False)
    assert [indices(infer.process(prepared(index))) for index in range(3)] == [[0], [1], [2]]
    assert infer.drain() == []
    infer.close()
    assert engine.log == ["infer 0", "infer 1", "infer 2"]


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_as_many_run_as_the_engine_computes_and_one_more_waits_its_turn(parallel: int) -> None:
    engine = RecordingEngine()
    engine.parallel = parallel
    infer = Infer(engine, side_by_side=True)
    came = []
    running = []
    for index in range(8):
        came.append(indices(infer.process(prepared(index))))
        running.append(engine.running)
    assert came == [[]] * parallel + [[index] for index in range(8 - parallel)]
    assert running == [*range(1, parallel), *[parallel] * (9 - parallel)]
    # The next is submitted before the oldest is waited for.
    assert engine.log.index(f"submit {parallel}") < engine.log.index("wait 0")
    assert indices(infer.drain()) == list(range(8 - parallel, 8))
    assert infer.drain() == []
    infer.close()
    assert Counter(engine.log).most_common(1)[0][1] == 1


def test_a_picture_is_kept_alive_until_its_answer_and_no_longer() -> None:
    infer = Infer(RecordingEngine(), side_by_side=True)
    pictures = [prepared(index) for index in range(3)]
    buffers = [weakref.ref(picture.network_input) for picture in pictures]
    results = []
    while pictures:
        results += infer.process(pictures.pop(0))
    assert [buffer() is None for buffer in buffers] == [True, False, False]
    results += infer.drain()
    assert [buffer() is None for buffer in buffers] == [True, True, True]
    assert indices(results) == [0, 1, 2]


def test_close_waits_for_what_runs_and_raises_the_first_failure() -> None:
    def fails(index: int) -> None:
        if index > 0:
            raise Broken(f"picture {index}")

    engine = RecordingEngine(fails)
    engine.parallel = 3
    infer = Infer(engine, side_by_side=True)
    for index in range(3):
        assert infer.process(prepared(index)) == []
    with pytest.raises(Broken, match="picture 1"):
        infer.close()
    assert engine.running == 0
    infer.close()  # nothing is left to be waited for


def test_a_failure_leaves_the_others_to_close() -> None:
    def fails(index: int) -> None:
        if index == 0:
            raise Broken("picture 0")

    engine = RecordingEngine(fails)
    infer = Infer(engine, side_by_side=True)
    infer.process(prepared(0))
    infer.process(prepared(1))
    with pytest.raises(Broken, match="picture 0"):
        infer.process(prepared(2))
    assert engine.running == 2
    infer.close()
    assert engine.log[-2:] == ["wait 1", "wait 2"]


@pytest.mark.parametrize(
    ("side_by_side", "calls"), [(True, ["submit", "submit"]), (False, ["infer"])]
)
def test_warm_up_takes_the_path_that_frames_will_take(side_by_side: bool, calls: list[str]) -> None:
    engine = FakeEngine()
    infer = Infer(engine, side_by_side=side_by_side)
    logits = infer.warm_up(gray_frame(0, luma=48).pixels)
    assert logits.scores[0, 0].argmax() == 2
    assert engine.calls == calls
    assert engine.running == 0
    assert engine.most_running == (2 if side_by_side else 0)


# ---- in a pipeline


def test_all_frames_come_out_in_order() -> None:
    engine = RecordingEngine()
    last = FakeStage("last")
    pipeline = Pipeline(
        FakeSource(9), [Prepare("transfer"), Infer(engine, side_by_side=True), last]
    )
    pipeline.start()
    came: list[int] = []
    collect(pipeline, came)
    assert came == last.seen == list(range(9))
    assert [entry.items for entry in pipeline.times()] == [9, 9, 9, 9]


@pytest.mark.parametrize("fail_at", [0, 4])
def test_a_failure_in_submitted_work_is_the_first_error_and_leaves_nothing_running(
    fail_at: int,
) -> None:
    def fails(index: int) -> None:
        if index >= fail_at:
            raise Broken(f"picture {index}")

    engine = RecordingEngine(fails)
    source = FakeSource(1000, hang=True)
    pipeline = Pipeline(
        source, [Prepare("transfer"), Infer(engine, side_by_side=True), FakeStage()]
    )
    pipeline.start()
    came: list[int] = []
    with pytest.raises(Broken, match=f"picture {fail_at}$"):
        collect(pipeline, came)
    assert came == list(range(len(came)))
    assert len(came) <= fail_at
    assert engine.running == 0
    assert streamseg_threads() == []
    assert source.num_closed == 1


def test_a_failure_elsewhere_wins_over_those_of_the_pictures_that_still_run() -> None:
    entered = threading.Event()

    def fails(index: int) -> None:
        entered.set()
        assert source.interrupted.wait(10)  # the other stage has failed
        raise Broken(f"picture {index}")

    engine = RecordingEngine(fails)

    def after_the_network_began(frame: Frame) -> None:
        if frame.index == 3:
            assert entered.wait(10)
            raise Broken("first")

    source = FakeSource(9, hang=True)
    stages = [
        Prepare("transfer", during=after_the_network_began),
        Infer(engine, side_by_side=True),
        FakeStage(),
    ]
    pipeline = Pipeline(source, stages)
    pipeline.start()
    with pytest.raises(Broken, match="first"):
        pipeline.get()
    assert engine.running == 0
    assert streamseg_threads() == []


def test_a_caller_that_leaves_early_waits_for_the_pictures_that_run() -> None:
    """Their buffers die with the stream, so none may run any more."""
    entered = threading.Event()

    def hold(index: int) -> None:
        if index == 1:
            entered.set()
            assert source.interrupted.wait(10)  # `stop` has begun

    engine = RecordingEngine(hold)
    source = FakeSource(1000)
    pipeline = Pipeline(
        source, [Prepare("transfer"), Infer(engine, side_by_side=True), FakeStage()]
    )
    pipeline.start()
    assert pipeline.get().frame.index == 0
    assert entered.wait(10)
    pipeline.stop()
    assert engine.running == 0
    assert engine.log[-1].startswith("wait")
    assert streamseg_threads() == []
    assert pipeline.error is None


def test_a_source_that_stalls_keeps_no_answer_back() -> None:
    engine = FakeEngine()
    source = FakeSource(1, hang=True)
    stages = [Transfer(engine), Infer(engine, side_by_side=True), FakeStage()]
    pipeline = Pipeline(source, stages)
    pipeline.start()
    assert pipeline.get(10).frame.index == 0
    pipeline.finish_early()
    assert pipeline.get() is End.END
