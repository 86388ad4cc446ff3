"""Compares ways to a smaller network: pruning in steps, pruning at one blow, and training from scratch.

OUT/networks/icnet-width1, ...            networks that are trained
OUT/compression/progressive, one-shot-0.5, ...    networks that are pruned, see `compression.compress`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from streamseg.benchmark.records import Size
from streamseg.compression.compress import compress, cost, make_steps
from streamseg.models.find import find_model
from streamseg.models.weights import load_model
from streamseg.study.compression_plan import PLAN, Compressed, CompressionPlan, Way
from streamseg.study.compression_table import tables
from streamseg.study.records import Findings, Network, Speed
from streamseg.study.session import StudySession, Timed


def run(session: StudySession, plan: CompressionPlan = PLAN) -> Findings:
    """Train, prune and fine-tune what the plan asks for, score and time all of it."""
    trial = Trial(session=session, plan=plan)
    if session.model is not None:
        full, epochs = session.given(session.model), 0
    else:
        epochs = session.recipe(plan.recipe).epochs
        full = trial.train(f"icnet-width{plan.width:g}", plan.width, epochs)
    found = list(trial.networks(full, epochs))
    size = session.data_size(full)
    speeds = session.speeds({one.name: Timed(network=one.network, size=size) for one in found})
    rows = tuple(_record(session, one, size, speeds[one.name]) for one in found)
    return Findings(
        tables=tables(rows, full.trained, "bf16 autocast" if session.bf16 else "fp32"),
        networks=tuple(one.network.trained for one in found),
        rows=rows,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A network that is trained, to be measured. Attributes: see `Compressed`."""

    way: Way
    keep: float
    network: Network
    epochs: int
    pruned_miou: float | None = None

    @property
    def name(self) -> str:
        return f"{self.way} {self.keep:g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """All that is trained; what is finished is not done again."""

    session: StudySession
    plan: CompressionPlan

    def networks(self, full: Network, epochs: int) -> Iterator[Candidate]:
        """All networks, the uncompressed one, which had so many epochs in this study, first."""
        plan = self.plan
        yield Candidate(way="uncompressed", keep=1.0, network=full, epochs=epochs)
        yield from self._compress("progressive", full, "progressive", plan.steps, epochs)
        for keep in plan.compared:
            yield from self._compress("one-shot", full, f"one-shot-{keep:g}", [keep], epochs)
        width = full.trained.width or plan.width
        for keep in plan.compared:
            long = self.session.recipe(plan.recipe).epochs + self._tuning_down_to(keep)
            network = self.train(f"icnet-scratch-{keep:g}", width * keep, long, like=full)
            yield Candidate(way="from scratch", keep=keep, network=network, epochs=long)

    def train(
        self, name: str, width: float, epochs: int, *, like: Network | None = None
    ) -> Network:
        """From random weights; architecture and input may be those of another network."""
        recipe = self.session.recipe(self.plan.recipe, width=width, epochs=epochs)
        if like is not None:
            card = find_model(like.path).card
            recipe = replace(recipe, architecture=card.architecture, input=card.input)
        return self.session.network(name, recipe)

    def _compress(
        self, way: Way, full: Network, name: str, keep: Sequence[float], before: int
    ) -> Iterator[Candidate]:
        """Prune to one share after the other; in all, each has the epochs of the plan's steps down to it."""
        session = self.session
        ends = [self._tuning_down_to(share) for share in keep]
        recipes = [
            session.recipe(self.plan.tuning, epochs=end - start)
            for start, end in pairwise([0, *ends])
        ]
        report = compress(
            full.path, make_steps(keep, recipes), session.dataset, session.validation,
            session.out / "compression" / name, device=session.device, bf16=session.bf16,
            progress=lambda what, done, total: session.progress(f"{name}: {what}", done, total),
            note=session.note,
        )  # fmt: skip
        for end, step in zip(ends, report["steps"], strict=True):
            network = session.given(Path(step["weights"]))
            yield Candidate(
                way=way,
                keep=step["keep"],
                network=replace(network, trained=replace(network.trained, given=False)),
                epochs=before + end,
                pruned_miou=step["pruned"]["miou"],
            )

    def _tuning_down_to(self, keep: float) -> int:
        """Epochs of fine-tuning of all the plan's steps down to a share."""
        steps = self.plan.steps.index(keep) + 1
        return steps * self.session.tuning_epochs_of(self.plan.tuning)


def _record(session: StudySession, one: Candidate, size: Size, speed: Speed) -> Compressed:
    score = session.score(one.network)
    file = find_model(one.network.path)
    return Compressed(
        way=one.way,
        keep=one.keep,
        width=file.card.width or 1.0,
        **cost(load_model(file), size),
        epochs=one.epochs,
        pruned_miou=one.pruned_miou,
        network_size=score.network_size,
        backend=score.backend,
        precision=score.precision,
        miou=score.miou,
        pixel_accuracy=score.pixel_accuracy,
        milliseconds=speed.milliseconds,
    )
