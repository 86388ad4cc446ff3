"""The `infer` stage with keyframe reuse. Comes in: a frame on the device and how it moved. Goes out: its logits.

    segmentation keyframe   context ─▶ features ─▶ refine ─▶ logits
    the frames after it        moved by their motion ─▶ refine ─▶ logits

Side by side (policy "every"), frames are held back so that several contexts and refinements are under way at once,
and so that those between two segmentation keyframes can take the features of both ("interpolate", as Jain and
Gonzalez 2018 do), each by how near it is: two views of a thing err less than one, even than the frame's own.

Else (policy "latest") every frame is refined at once. What is due without haste is made in the background, on a core
that refining leaves free, while frames still use the older features: a segmentation keyframe delays nobody. Only
where old features are of no use (first frame, cut, unknown motion) the frame waits for its own.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamseg.engine.engine import Engine, Features, Finished, Running, wait_for_all
from streamseg.frames import Displacement, Inferred, Logits, Moved, Prepared, Reuse, Step
from streamseg.motion.chain import compose, inverse
from streamseg.stream.keyframes import Carry, Pace, Reason, Schedule

LOOKAHEAD = 8
"""Frames held back side by side: a context takes about as long as so many refinements on another core."""

LOOKAHEAD_BETWEEN = 16
"""Frames held back to interpolate features: those further from the next segmentation keyframe do without it."""


@dataclass(slots=True, eq=False)
class Carried:
    """The features of a segmentation keyframe, and where its contents are by now.

    Attributes:
        running: what makes the features, until they are there: it holds the picture's buffers.
    """

    running: Running[Features] | None
    carry: Carry = field(default_factory=Carry)
    displacement: Displacement | None = None
    _features: Features = None

    def features(self) -> Features:
        """Wait for them, the first time."""
        if self.running is not None:
            self._features = self.running()
            self.running = None
        return self._features

    def ready(self) -> bool:
        """Whether `features` would not wait."""
        return self.running is None or self.running.done()

    def advance(self, step: Step, change: float, size: tuple[int, int]) -> None:
        """One frame on, to a picture of `size` (height, width). The step's field must be known.

        Args:
            change: see `Pace`.
        """
        assert step.field is not None
        self.carry.advance(change)
        before = self.displacement
        moved = step.field if before is None else compose(before.field, step.field)
        self.displacement = Displacement(field=moved, size=size)


@dataclass(slots=True, eq=False)
class _Refinement:
    """A frame's fine part, before and while it is computed: whose features it takes, and from where."""

    prepared: Prepared
    carried: Carried
    displacement: Displacement | None
    reuse: Reuse
    following: "_Following | None" = None
    running: Running[Logits] | None = None

    def moved(self) -> list[Moved]:
        """The features it takes; waits for them."""
        own = Moved(features=self.carried.features(), displacement=self.displacement)
        if self.following is None:
            return [own]
        after = self.following
        other = Moved(
            features=after.carried.features(), displacement=after.displacement, share=self.reuse.age
        )
        return [replace(own, share=after.frames), other]


@dataclass(frozen=True, slots=True, eq=False)
class _Following:
    """A frame's next segmentation keyframe: in how many frames it comes, and where the frame's contents are then."""

    carried: Carried
    displacement: Displacement
    frames: int


class InferReusing:
    """Runs the deep part of the network where `schedule` says, the fine part on every frame.

    Args:
        engine: of a network that splits.
        side_by_side: see `Infer`, and above.
        interpolate: take the next segmentation keyframe's features, too; side by side alone.
        lookahead: most frames held back, side by side; without interpolation no more than `LOOKAHEAD` are.

    Attributes:
        refreshed: segmentation keyframes so far, by reason.
    """

    name = "infer"

    def __init__(
        self,
        engine: Engine,
        schedule: Schedule,
        *,
        side_by_side: bool,
        interpolate: bool = False,
        lookahead: int = LOOKAHEAD_BETWEEN,
    ) -> None:
        self.refreshed: Counter[Reason] = Counter()
        self._engine = engine
        self._schedule = schedule
        self._side_by_side = side_by_side
        self._interpolate = interpolate
        self._lookahead = lookahead if interpolate else min(lookahead, LOOKAHEAD)
        self._last = -1
        self._pace = Pace()
        self._newest: Carried | None = None
        self._in_use: Carried | None = None
        self._abandoned: list[Carried] = []
        self._held: deque[_Refinement] = deque()
        self._running: deque[_Refinement] = deque()

    def process(self, prepared: Prepared) -> Sequence[Inferred]:
        """Refine one frame; or begin with it and give out the oldest, once enough others are under way."""
        prepared = self._from_the_last(prepared)
        reason = self._advance(prepared)
        if reason is not None:
            self.refreshed[reason] += 1
        if not self._side_by_side:
            return [self._at_once(prepared, reason)]
        if reason is not None:
            self._newest = Carried(self._engine.submit_context(prepared.network_input))
            if self._interpolate:
                self._tell_those_before(prepared)
        assert self._newest is not None
        self._held.append(_refinement(prepared, self._newest, reason))
        if len(self._held) > self._lookahead:
            self._begin()
        return [] if len(self._running) <= self._engine.parallel else [self._oldest()]

    def drain(self) -> Sequence[Inferred]:
        """Finish all that is held back or runs; in order."""
        given = []
        while self._held or self._running:
            if self._held:
                self._begin()
            if not self._held or len(self._running) > self._engine.parallel:
                given.append(self._oldest())
        return given

    def warm_up(self, network_input: Any) -> Logits:
        """Run both parts on the very path that frames will take, before the first one is due."""
        engine = self._engine
        still = np.zeros((1, 1, 2), np.float32)
        displacement = Displacement(field=compose(still, inverse(still)), size=(1, 1))
        one = Moved(features=engine.submit_context(network_input)(), displacement=displacement)
        if not self._side_by_side:
            own = replace(one, features=engine.context(network_input))
            return engine.refine(network_input, [own])
        waits = [engine.submit_refine(network_input, [one]) for _ in range(engine.parallel)]
        if self._interpolate:
            waits.append(engine.submit_refine(network_input, [one, one]))
        return wait_for_all(waits)

    def close(self) -> None:
        """Wait for what runs, for its buffers go with this stage. The engine outlives the stream.

        Raises:
            Exception: the first of those that fail.
        """
        contexts = [*self._abandoned, self._newest, *(one.carried for one in self._held)]
        waits: list[Callable[[], Any]] = [one.features for one in contexts if one is not None]
        waits += [one.running for one in self._running if one.running is not None]
        self._held.clear()
        self._running.clear()
        self._abandoned.clear()
        self._newest = self._in_use = None
        if waits:
            wait_for_all(waits)

    def _from_the_last(self, prepared: Prepared) -> Prepared:
        """The frame; without its motion, if the frame that this counts from grew too old on its way here."""
        step, last = prepared.step, self._last
        self._last = prepared.frame.index
        if step is None or step.since == last:
            return prepared
        return replace(prepared, step=replace(step, field=None))

    def _advance(self, prepared: Prepared) -> Reason | None:
        """Move what is carried on to this frame; or say why it needs features of its own."""
        step = prepared.step
        if self._newest is None:
            return "first"
        if step is None or step.field is None:
            self._pace.forget()
            return "cut" if step is not None and step.cut else "unknown"
        size, change = prepared.frame.pixels.size, self._pace.after(step)
        self._newest.advance(step, change, size)
        if self._in_use is not None and self._newest is not self._in_use:
            # Newer features are in the making; there is no hurry for still newer ones.
            self._in_use.advance(step, change, size)
            return None
        if step.unknown == 1:
            return "unknown"
        return self._schedule.due(self._newest.carry)

    def _tell_those_before(self, keyframe: Prepared) -> None:
        """Frames that wait since the last segmentation keyframe take the newest one's features, too."""
        assert self._newest is not None
        step, way = keyframe.step, None
        for frames, fine in enumerate(reversed(self._held), 1):
            if step is None or step.field is None or fine.reuse.is_keyframe:
                return
            back = inverse(step.field)
            way = back if way is None else compose(way, back)
            size = keyframe.frame.pixels.size
            fine.following = _Following(self._newest, Displacement(field=way, size=size), frames)
            step = fine.prepared.step

    def _at_once(self, prepared: Prepared, reason: Reason | None) -> Inferred:
        picture = prepared.network_input
        followed = prepared.step is not None and prepared.step.field is not None
        if self._newest is None or not followed:
            if self._newest is not None and self._newest is not self._in_use:
                self._abandoned.append(self._newest)  # it may still run, and then reads its picture
            self._newest = self._in_use = Carried(Finished(self._engine.context(picture)))
        elif reason is not None:
            self._newest = Carried(self._engine.submit_context(picture))
        self._abandoned = [one for one in self._abandoned if not one.ready()]
        assert self._newest is not None
        if self._newest.ready():
            self._in_use = self._newest
        assert self._in_use is not None
        fine = _refinement(prepared, self._in_use, reason)
        logits = self._engine.refine(picture, fine.moved())
        return Inferred(frame=prepared.frame, logits=logits, reuse=fine.reuse)

    def _begin(self) -> None:
        fine = self._held.popleft()
        fine.running = self._engine.submit_refine(fine.prepared.network_input, fine.moved())
        self._running.append(fine)

    def _oldest(self) -> Inferred:
        fine = self._running.popleft()
        assert fine.running is not None
        return Inferred(frame=fine.prepared.frame, logits=fine.running(), reuse=fine.reuse)


def _refinement(prepared: Prepared, carried: Carried, reason: Reason | None) -> _Refinement:
    carry = carried.carry
    reuse = Reuse(is_keyframe=reason is not None, age=carry.age, change=carry.change)
    return _Refinement(prepared, carried, carried.displacement, reuse)
