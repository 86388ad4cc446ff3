"""Several networks as one engine: each answers, and their answers are put together. Comes in: what each of them takes.
Goes out: logits at the picture's size. Threads, devices and streams are the members' own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from streamseg.engine.choose import open_engine, runs_by_proposals
from streamseg.engine.engine import (
    Engine,
    EngineInfo,
    Running,
    RunsWhole,
    SizeChoice,
    answers_of_all,
    working_size,
)
from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.models.card import ModelFile
from streamseg.picture.pixels import Pixels
from streamseg.proposals.choice import Proposals

EnsembleBy = Literal["mean", "product"]
"""Mean of the probabilities, as the DeconvNet paper says, or product of the scores above 0, as in its released code."""

Inputs = tuple[tuple[int, int], list[Any]]
"""(height, width) of the picture, and what each member takes."""


class EnsembleEngine(RunsWhole):
    """Implements `engine.Engine`, by others.

    Args:
        engines: two or more, of the same classes; they are closed with the ensemble. The first gives its card's input.
        by: see `EnsembleBy`.

    Raises:
        ModelError: other classes, or in another order.
        ValueError: no such way.
    """

    def __init__(self, engines: Sequence[Engine], by: EnsembleBy = "mean") -> None:
        check_way(by)
        first = engines[0].card
        for engine in engines[1:]:
            check_classes(
                first.labels.class_names, engine.card.labels.class_names, engine.card.name
            )
        names = " + ".join(engine.card.name for engine in engines)
        self.card = replace(first, name=f"{names} by {by}")
        self.parallel = min(engine.parallel for engine in engines)
        self._engines = tuple(engines)
        self._by: EnsembleBy = by

    @property
    def info(self) -> EngineInfo:
        """See `Engine`: the first member's; where others run otherwise, fallbacks say so."""
        first, *others = (engine.info for engine in self._engines)
        notes = list(first.fallbacks)
        for engine, info in zip(self._engines[1:], others, strict=True):
            ran = (info.backend, info.device, info.precision)
            if ran != (first.backend, first.device, first.precision):
                how = f"{info.backend} {info.precision} on {info.device}"
                notes.append(
                    f"one way for the ensemble, {how} used by {engine.card.name}, its own best"
                )
            notes += info.fallbacks
        return replace(first, fallbacks=tuple(dict.fromkeys(notes)))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Engine`: the first member's."""
        return self._engines[0].network_size(size)

    def prepare(self, pixels: Pixels) -> Inputs:
        """See `Engine`."""
        return pixels.size, [engine.prepare(pixels) for engine in self._engines]

    def infer(self, network_input: Inputs) -> Logits:
        """See `Engine`: one member after the other."""
        size, inputs = network_input
        answers = [
            engine.infer(own) for engine, own in zip(self._engines, inputs, strict=True)
        ]  # fmt: skip
        return together(answers, size, self._by)

    def submit(self, network_input: Inputs) -> Running[Logits]:
        """See `Engine`: begun with all members at once."""
        size, inputs = network_input
        begun = [
            engine.submit(own) for engine, own in zip(self._engines, inputs, strict=True)
        ]  # fmt: skip
        return _Begun(begun, size, self._by)

    def close(self) -> None:
        """See `Engine`: all members."""
        for engine in self._engines:
            engine.close()


class _Begun:
    """`Running`, of all members."""

    def __init__(
        self, begun: Sequence[Running[Logits]], size: tuple[int, int], by: EnsembleBy
    ) -> None:
        self._begun, self._size, self._by = begun, size, by

    def __call__(self) -> Logits:
        return together(answers_of_all(self._begun), self._size, self._by)

    def done(self) -> bool:
        """See `Running`."""
        return all(running.done() for running in self._begun)


def open_ensemble(
    models: Sequence[ModelFile],
    by: str = "mean",
    *,
    size: SizeChoice = "auto",
    proposals: Proposals | None = None,
    **how: Any,
) -> Engine:
    """Open all of `models` as one engine; a single one as it is.

    Args:
        size: of the members whose input is not fixed.
        proposals: of those that run by proposals.
        how: see `open_engine`.

    Raises:
        ModelError: other classes, or proposals where no member runs by them; or see `open_engine`.
        ValueError: no such way; or see `open_engine`.
    """
    way = check_way(by)
    if len(models) == 1:
        return open_engine(models[0], size=size, proposals=proposals, **how)
    for model in models[1:]:  # said now, before anything is loaded
        check_classes(
            models[0].card.labels.class_names, model.card.labels.class_names, model.card.name
        )
    if proposals is not None and not any(map(runs_by_proposals, models)):
        open_engine(models[0], proposals=proposals, **how)  # says that it does not
    engines: list[Engine] = []
    try:
        for model in models:
            engines.append(
                open_engine(
                    model,
                    size="auto" if model.card.input.fixed else size,
                    proposals=proposals if runs_by_proposals(model) else None,
                    **how,
                )
            )
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return EnsembleEngine(engines, way)


def check_way(by: str) -> EnsembleBy:
    """Raises `ValueError` for what is none."""
    for known in get_args(EnsembleBy):
        if by == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"unknown --ensemble-by {by[:40]!r}; known: {', '.join(get_args(EnsembleBy))}")


def check_classes(expected: tuple[str, ...], got: tuple[str, ...], name: str) -> None:
    """Raises `ModelError` if a member has other classes than the first."""
    if expected != got:
        raise ModelError(
            f"expected an ensemble of networks with the same classes ({', '.join(expected)[:200]}), {name} has "
            f"{', '.join(got)[:200]}"
        )


def together(answers: Sequence[Logits], size: tuple[int, int], by: EnsembleBy) -> Logits:
    """One answer of several to the same picture.

    Args:
        size: (height, width) of the picture. Answers on different grids are interpolated to it, or to its
            `working_size`.

    Returns:
        Of "mean" the logarithm of the mean of all softmaxes, so that softmax gives that mean; of "product" the product
        of max(0, scores).
    """
    grids = {(answer.scores.shape[:2], answer.align_corners) for answer in answers}
    align_corners = answers[0].align_corners
    scores = [answer.scores for answer in answers]
    if len(grids) > 1:
        target, align_corners = working_size(size), False
        scores = [interpolated(answer, size, target) for answer in answers]
    if by == "product":
        joined = np.maximum(scores[0], 0)
        for one in scores[1:]:
            joined = joined * np.maximum(one, 0)
    else:
        mean = sum(softmax(one) for one in scores) / np.float32(len(scores))
        joined = np.log(np.maximum(mean, np.finfo(np.float32).tiny))
    return Logits(scores=np.ascontiguousarray(joined, np.float32), align_corners=align_corners)


def softmax(scores_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the classes at each place, H x W x C float32."""
    powers = np.exp(scores_HWC - scores_HWC.max(2, keepdims=True))
    return np.asarray(powers / powers.sum(2, keepdims=True), np.float32)


def interpolated(
    answer: Logits, size: tuple[int, int], target: tuple[int, int]
) -> NDArray[np.float32]:
    """Scores on another grid, whose pixels' outer edges are the picture's: height x width x C float32.

    Args:
        size: (height, width) of the picture.
        target: of that grid.
    """
    scores = answer.scores
    for axis in (0, 1):
        before, weight = _taps(scores.shape[axis], size[axis], target[axis], answer.align_corners)
        after = np.minimum(before + 1, scores.shape[axis] - 1)
        share = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first, second = scores.take(before, axis), scores.take(after, axis)
        scores = first + (second - first) * share
    return scores


def _taps(
    nodes: int, pixels: int, target: int, align_corners: bool
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """As `interpolation_taps`, by way of the picture's pixels, between whose centres nodes may lie."""
    places = (np.arange(target) + 0.5) * (pixels / target) - 0.5
    step = (nodes - 1) / max(pixels - 1, 1) if align_corners else nodes / pixels
    edge = 0.0 if align_corners else 0.5
    position = np.clip((places + edge) * step - edge, 0, nodes - 1)
    before = np.floor(position).astype(np.intp)
    return before, (position - before).astype(np.float32)
