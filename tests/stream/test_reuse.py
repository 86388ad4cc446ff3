"""`InferReusing`: whose features each frame takes and from where, what runs beside what, and every way that it ends."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from fakes import Begun, FakeEngine, gray_frame

from streamseg.frames import Inferred, Logits, Moved, Prepared, Step
from streamseg.stream.keyframes import Adaptive, Fixed
from streamseg.stream.reuse import InferReusing

CELLS = (4, 6, 2)
"""Of a 32 x 48 picture."""


class Broken(Exception):
    pass


class Buffer:
    """A network input of frame `index`, to be watched by weak references."""

    def __init__(self, index: int) -> None:
        self.index = index


class SplitEngine(FakeEngine):
    """Features are the index of their frame; scores hold the refined frame's, and of all features it takes this index,
    how far they moved in x, and their share.

    Attributes:
        log: what is begun and waited for, in order.
        contexts: those begun in the background, by frame.
    """

    splits = True

    def __init__(self, fail: Callable[[str], object] = lambda entry: None) -> None:
        super().__init__()
        self.log: list[str] = []
        self.contexts: dict[int, Begun[int]] = {}
        self._fail = fail

    def _note(self, entry: str) -> None:
        self.log.append(entry)
        self._fail(entry)

    def context(self, network_input: Any) -> int:
        self._note(f"context {network_input.index}")
        return int(network_input.index)

    def submit_context(self, network_input: Any) -> Begun[int]:
        index, alive = network_input.index, weakref.ref(network_input)
        self._note(f"begin context {index}")
        self.running += 1

        def wait() -> int:
            assert alive() is not None, f"the buffers of picture {index} died while it ran"
            self.running -= 1
            self._note(f"wait context {index}")
            return int(index)

        # The engine's own work holds the picture, as a request does.
        self.contexts[index] = Begun(wait)
        weakref.finalize(self.contexts[index], lambda kept: None, network_input)
        return self.contexts[index]

    def refine(self, network_input: Any, moved: Sequence[Moved]) -> Logits:
        self._note(f"refine {network_input.index}")
        told = [(one.features, moved_x(one), one.share) for one in moved]
        scores = np.array([[[network_input.index, *np.ravel(told)]]], np.float32)
        return Logits(scores=scores, align_corners=True)

    def submit_refine(self, network_input: Any, moved: Sequence[Moved]) -> Begun[Logits]:
        self.running += 1
        self.log.append(f"begin refine {network_input.index}")

        def wait() -> Logits:
            self.running -= 1
            return self.refine(network_input, moved)

        return Begun(wait)


def moved_x(moved: Moved) -> float:
    return 0.0 if moved.displacement is None else float(moved.displacement.field[0, 0, 0])


def prepared(
    index: int, moved: float | None = 1.0, *, cut: bool = False, guessed: bool = False
) -> Prepared:
    """A frame that moved by so much since the one before; None: it is not known how."""
    field = None if moved is None else np.full(CELLS, moved, np.float32)
    step = Step(
        field=field, unknown=float(guessed), residual=3.0, contrast=45.0, cut=cut, since=index - 1
    )
    return Prepared(frame=gray_frame(index), network_input=Buffer(index), step=step)


def told(results: Any) -> list[tuple[int, int, float]]:
    """(frame, whose features, moved by) of each result, which must say so itself."""
    found = []
    for inferred in results:
        assert isinstance(inferred, Inferred)
        index, features, moved, share = inferred.logits.scores[0, 0]
        assert share == 1
        assert inferred.frame.index == index
        assert inferred.reuse.age == index - features
        found.append((int(index), int(features), float(moved)))
    return found


def stage(
    engine: SplitEngine, interval: int = 3, *, side_by_side: bool = True, **options: Any
) -> InferReusing:
    return InferReusing(engine, Fixed(interval), side_by_side=side_by_side, **options)


def all_of(reusing: InferReusing, frames: list[Prepared]) -> list[Inferred]:
    given = [result for frame in frames for result in reusing.process(frame)]
    return [*given, *reusing.drain()]


# ---- side by side


@pytest.mark.parametrize("lookahead", [0, 1, 4, 20])
def test_frames_take_the_features_of_the_last_segmentation_keyframe_moved_by_all_steps_since(
    lookahead,
):
    reusing = stage(SplitEngine(), lookahead=lookahead)
    results = all_of(reusing, [prepared(index) for index in range(8)])
    assert told(results) == [
        (0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 3, 0), (4, 3, 1), (5, 3, 2), (6, 6, 0), (7, 6, 1)
    ]  # fmt: skip
    assert [one.reuse.is_keyframe for one in results] == [True, False, False] * 2 + [True, False]
    assert reusing.refreshed == {"first": 1, "interval": 2}


def test_contexts_are_begun_before_they_are_needed():
    engine = SplitEngine()
    reusing = stage(engine, lookahead=4)
    for index in range(4):
        assert reusing.process(prepared(index)) == []
    assert engine.log == ["begin context 0", "begin context 3"]  # nothing has been waited for
    reusing.process(prepared(4))
    assert engine.log[2:] == ["wait context 0", "begin refine 0"]


def test_what_runs_and_what_is_held_back_is_bounded():
    engine = SplitEngine()
    reusing = stage(engine, interval=2, lookahead=4)
    given = [len(reusing.process(prepared(index))) for index in range(20)]
    assert given == [0] * 6 + [1] * 14  # four held back, two run
    assert engine.running <= 4 // 2 + 1 + engine.parallel
    assert told(reusing.drain())[-1][0] == 19
    assert engine.running == 0
    assert reusing.drain() == []


def test_a_stream_goes_on_after_it_was_drained():
    reusing = stage(SplitEngine())
    first = all_of(reusing, [prepared(index) for index in range(2)])
    then = all_of(reusing, [prepared(index) for index in range(2, 5)])
    assert told([*first, *then]) == [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 3, 0), (4, 3, 1)]


@pytest.mark.parametrize("side_by_side", [True, False])
def test_no_old_features_where_another_scene_begins_or_motion_is_not_known(side_by_side):
    frames = [
        prepared(0, None), prepared(1), prepared(2, None, cut=True), prepared(3), prepared(4, None), prepared(5),
    ]  # fmt: skip
    reusing = stage(SplitEngine(), 100, side_by_side=side_by_side)
    results = all_of(reusing, frames)
    assert [features for _, features, _ in told(results)] == [0, 0, 2, 2, 4, 4]
    assert reusing.refreshed == {"first": 1, "cut": 1, "unknown": 1}


def test_where_motion_is_a_guess_features_are_made_anew_without_haste():
    frames = [prepared(0), prepared(1), prepared(2, guessed=True), prepared(3)]
    beside = stage(SplitEngine(), 100)
    assert [features for _, features, _ in told(all_of(beside, frames))] == [0, 0, 2, 2]
    engine = SplitEngine()
    alone = stage(engine, 100, side_by_side=False)
    assert told(all_of(alone, frames)) == [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)]
    assert list(engine.contexts) == [2]
    assert beside.refreshed == alone.refreshed == {"first": 1, "unknown": 1}


def test_a_frame_that_nobody_looked_at_is_a_segmentation_keyframe():
    reusing = stage(SplitEngine(), 100)
    plain = Prepared(frame=gray_frame(1), network_input=Buffer(1))
    assert [features for _, features, _ in told(all_of(reusing, [prepared(0), plain]))] == [0, 1]


def test_change_is_told_and_decides():
    reusing = InferReusing(SplitEngine(), Adaptive(0.5), side_by_side=True)
    results = all_of(reusing, [prepared(index) for index in range(12)])
    changes = [one.reuse.change for one in results]
    starts = [index for index, one in enumerate(results) if one.reuse.is_keyframe]
    assert changes[0] == 0 < changes[1] < changes[2]
    assert len(starts) > 1
    assert all(changes[index] == 0 for index in starts)
    assert reusing.refreshed["change"] == len(starts) - 1


# ---- between two segmentation keyframes


def blends(results: Any) -> list[tuple[float, ...]]:
    """(features, moved by, share) of all that each result was made of, in a row."""
    return [tuple(one.logits.scores[0, 0, 1:].tolist()) for one in results]


@pytest.mark.parametrize("lookahead", [3, 5, 16])
def test_frames_take_the_features_of_both_segmentation_keyframes_by_how_near_they_are(lookahead):
    reusing = stage(SplitEngine(), 4, interpolate=True, lookahead=lookahead)
    results = all_of(reusing, [prepared(index, 2.0) for index in range(7)])
    assert blends(results) == [
        (0, 0, 1),
        (0, 2, 3, 4, -6, 1), (0, 4, 2, 4, -4, 2), (0, 6, 1, 4, -2, 3),
        (4, 0, 1),
        (4, 2, 1), (4, 4, 1),  # nothing comes after them
    ]  # fmt: skip
    assert [one.reuse.age for one in results] == [0, 1, 2, 3, 0, 1, 2]


def test_frames_that_the_next_segmentation_keyframe_is_too_far_from_do_without_it():
    reusing = stage(SplitEngine(), 6, interpolate=True, lookahead=2)
    results = all_of(reusing, [prepared(index) for index in range(7)])
    assert [len(parts) // 3 for parts in blends(results)] == [1, 1, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("other", [{"cut": True}, {}])
def test_nothing_is_taken_from_another_scene_that_follows(other):
    frames = [prepared(0), prepared(1), prepared(2, None, **other), prepared(3), prepared(4)]
    results = all_of(stage(SplitEngine(), 2, interpolate=True), frames)
    assert blends(results)[:3] == [(0, 0, 1), (0, 1, 1), (2, 0, 1)]
    assert blends(results)[3] == (2, 1, 1, 4, -1, 1)


def test_the_way_back_ends_where_motion_is_not_known():
    """Frame 2 is a segmentation keyframe for want of motion; frames 3 and 4 see the next one, frame 1 does not."""
    frames = [
        prepared(0),
        prepared(1),
        prepared(2, None),
        *(prepared(index) for index in (3, 4, 5)),
    ]
    results = all_of(stage(SplitEngine(), 3, interpolate=True), frames)
    assert [len(parts) // 3 for parts in blends(results)] == [1, 1, 1, 2, 2, 1]


def test_features_are_waited_for_when_a_frame_is_begun_not_before():
    engine = SplitEngine()
    reusing = stage(engine, 2, interpolate=True, lookahead=4)
    for index in range(5):
        reusing.process(prepared(index))
    reusing.process(prepared(5))
    assert engine.log == [
        "begin context 0", "begin context 2", "begin context 4", "wait context 0", "begin refine 0",
        "wait context 2", "begin refine 1",
    ]  # fmt: skip
    reusing.close()
    assert engine.running == 0


# ---- one at a time


def test_a_step_from_a_frame_that_was_lost_is_not_followed():
    """It grew too old on its way: what the next one's motion counts from was never refined."""
    for side_by_side in (True, False):
        reusing = stage(SplitEngine(), 100, side_by_side=side_by_side)
        frames = [prepared(0), prepared(1), prepared(3), prepared(4)]
        found = told(all_of(reusing, frames))
        assert [features for _, features, _ in found] == [0, 0, 3, 3]
        assert reusing.refreshed == {"first": 1, "unknown": 1}


def test_a_segmentation_keyframe_delays_nobody():
    engine = SplitEngine()
    reusing = stage(engine, side_by_side=False)
    results = [*reusing.process(prepared(0))]
    for index in range(1, 6):
        results += reusing.process(prepared(index))
    # Frame 3's own features are being made; until then the old ones are carried on.
    assert told(results) == [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 0, 4), (5, 0, 5)]
    assert [one.reuse.is_keyframe for one in results] == [True, False, False, True, False, False]
    engine.contexts[3].finished = True
    assert told(reusing.process(prepared(6))) == [(6, 3, 3)]
    assert engine.log.count("context 0") == 1


def test_only_one_context_is_in_the_making():
    engine = SplitEngine()
    reusing = stage(engine, 1, side_by_side=False)
    for index in range(5):
        reusing.process(prepared(index))
    assert list(engine.contexts) == [1]
    engine.contexts[1].finished = True
    reusing.process(prepared(5))
    reusing.process(prepared(6))
    assert list(engine.contexts) == [1, 6]


def test_features_that_a_cut_made_useless_never_come_back():
    engine = SplitEngine()
    reusing = stage(engine, 2, side_by_side=False)
    for index in range(3):
        reusing.process(prepared(index))
    assert list(engine.contexts) == [2]
    results = [*reusing.process(prepared(3, None, cut=True))]
    engine.contexts[2].finished = True
    results += reusing.process(prepared(4))
    assert told(results) == [(3, 3, 0), (4, 3, 1)]


# ---- the end


@pytest.mark.parametrize("side_by_side", [True, False])
def test_closing_waits_for_all_that_runs(side_by_side):
    engine = SplitEngine()
    reusing = stage(engine, 2, side_by_side=side_by_side)
    for index in range(4):
        reusing.process(prepared(index))
    reusing.process(prepared(4, None, cut=True))
    assert engine.running > 0
    reusing.close()
    assert engine.running == 0


def test_a_failure_is_raised_once_and_closing_waits_for_the_rest():
    def fail(entry: str) -> None:
        if entry == "refine 1":
            raise Broken(entry)

    engine = SplitEngine(fail)
    reusing = stage(engine, lookahead=0)
    with pytest.raises(Broken):
        all_of(reusing, [prepared(index) for index in range(6)])
    reusing.close()
    assert engine.running == 0


@pytest.mark.parametrize("side_by_side", [True, False])
def test_warming_up_runs_both_halves_as_frames_will(side_by_side):
    engine = SplitEngine()
    logits = stage(engine, side_by_side=side_by_side).warm_up(Buffer(7))
    assert logits.scores[0, 0].tolist() == [7, 7, 0, 1]
    assert engine.running == 0
    quick = ["context 7"] if not side_by_side else []
    assert [entry for entry in engine.log if entry == "context 7"] == quick
