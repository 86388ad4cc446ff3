"""`StudySession`: what every study is given: data, a schedule, and networks that are trained once and shared.

    OUT/networks/NAME/NAME.safetensors    weights, beside log and curves of the training
    OUT/networks/NAME/trained.json        that it is finished, and what it is
    OUT/measured.json                     scores, speeds and memory, by the weights that they are of

Stopped at any moment and called again, a study goes on with the epoch that it was in.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamseg.benchmark.records import Size
from streamseg.compression.compress import Progress, epoch_report
from streamseg.datasets import LabelledImages
from streamseg.engine.choose import choose
from streamseg.engine.graph_cache import file_digest
from streamseg.errors import DataError, ModelError
from streamseg.machine import examine
from streamseg.models.card import ModelCard
from streamseg.models.find import find_model
from streamseg.study.held_out import warning
from streamseg.study.kept import Kept, Record, write_text
from streamseg.study.measure import Subject, labelled, score, speeds
from streamseg.study.memory import measure_memory
from streamseg.study.records import Memory, Network, Score, Speed, Trained
from streamseg.study.schedule import Schedule
from streamseg.study.unlabelled import Unlabelled
from streamseg.training.checkpoint import difference
from streamseg.training.recipe import Recipe
from streamseg.training.recipes import find_recipe
from streamseg.training.start import start_from
from streamseg.training.trainer import TrainingPaths, train

SIDE_BY_SIDE = 2
"""Parts of a batch on a CPU (`training.shards`), however many cores there are: with more, batch norm sees too few."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timed:
    """What `StudySession.speeds` times: a network at one size of input.

    Attributes:
        branch, scales: see `measure.Subject`.
    """

    network: Network
    size: Size
    branch: str | None = None
    scales: str | None = None

    @property
    def subject(self) -> Subject:
        return Subject(
            path=self.network.path, branch=self.branch, scales=self.scales, size=self.size
        )


@dataclass(slots=True, kw_only=True, eq=False)
class StudySession:
    """One study, or several that share `out`.

    Attributes:
        dataset, validation: to train and to score on, as much of them as the schedule says.
        held_out: the drive that `validation` is of and `dataset` lacks; None where none was asked for.
        out: folder of everything.
        model: a trained network to study; None to train one.
        epochs, tuning_epochs: of every training, and of fine-tuning after every pruning; None for the schedule's.
        width: factor of PSPNet50's channels in the study of downsampling; None for the schedule's.
        unlabelled: of the study of distillation.
        recipe_name: of the network that is studied; None for the study's own.
        start: weights to begin trainings with; None for random ones.
        device: of training and of measuring. bf16: of the training.
        note: told what a user should know, once.
    """

    dataset: LabelledImages
    validation: LabelledImages
    out: Path
    schedule: Schedule
    held_out: str | None = None
    model: Path | None = None
    epochs: int | None = None
    tuning_epochs: int | None = None
    width: float | None = None
    unlabelled: Unlabelled = field(default_factory=Unlabelled)
    recipe_name: str | None = None
    start: Path | None = None
    seed: int = 0
    device: str = "cpu"
    bf16: bool = True
    progress: Progress = lambda what, done, total: None
    note: Callable[[str], None] = lambda text: None
    kept: Kept = field(init=False)
    machine: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        choose(device=self.device)  # one that is not there is refused now, not in the training
        self.kept = Kept(self.out / "measured.json")
        found = examine()
        known = ("processor", "cores", "bf16", "packages", "system")
        self.machine = {key: found[key] for key in known}

    def recipe(self, name: str, *, width: float | None = None, epochs: int | None = None) -> Recipe:
        """A recipe of `training.recipes` by the schedule, with the session's seed.

        Args:
            epochs: other than the session's.
        """
        reduced = self.schedule.reduced
        epochs = epochs or self.epochs or (reduced.epochs if reduced else None)
        recipe = find_recipe(name, epochs=epochs, seed=self.seed, width=width)
        return self._side_by_side(reduced(recipe) if reduced else recipe)

    def _side_by_side(self, recipe: Recipe) -> Recipe:
        """Halves of every batch side by side on a CPU with two threads or more, which takes half the time.

        It is part of the recipe, and so of the plan: batch norm sees halves. Each has two images or more: batch
        norm of a picture pooled to one value needs another one.
        """
        smallest = min(stage.batch for stage in recipe.stages)
        shards = min(SIDE_BY_SIDE, torch.get_num_threads(), smallest // 2)
        if self.device != "cpu" or shards <= recipe.shards:
            return recipe
        return replace(recipe, shards=shards)

    def tuning_epochs_of(self, name: str) -> int:
        """Of fine-tuning after one pruning by the recipe of that name."""
        reduced = self.schedule.reduced
        return (
            self.tuning_epochs
            or (reduced.tuning_epochs if reduced else None)
            or find_recipe(name).epochs
        )

    def network(
        self,
        name: str,
        recipe: Recipe,
        *,
        extra: LabelledImages | None = None,
        from_start: bool = True,
    ) -> Network:
        """Train a network, go on with it, or take it as it is if it is finished.

        Args:
            name: of its folder in OUT/networks, its weights and its card.
            extra: what the recipe mixes in.
            from_start: whether it begins with `start`, where there is one.

        Raises:
            ModelError: what is there is of another plan; or see `train`.
        """
        recipe = replace(recipe, name=name)
        file = find_model(self.start) if from_start and self.start else None
        images = images_text(self.dataset)
        if extra is not None:
            images += f"; {len(extra)} {extra.contents} mixed in"
        plan = self._plan(recipe, extra, file.path if file else None)
        paths = TrainingPaths(folder=self.out / "networks" / name)
        finished = paths.folder / "trained.json"
        if finished.exists():
            return Network(path=paths.weights(recipe), trained=_finished(finished, images, plan))
        path = train(
            recipe, self.dataset, None if self.schedule.quick else self.validation, paths.folder,
            extra=extra, start=start_from(file, recipe, self.dataset.labels) if file else None,
            device=self.device, bf16=self.bf16,
            report=epoch_report(self.progress, f"training {name}", recipe),
        )  # fmt: skip
        log = json.loads(paths.log.read_text())
        trained = Trained(
            name=name,
            architecture=recipe.architecture,
            width=find_model(path).card.width,
            epochs=recipe.epochs,
            minutes=round(log["seconds"] / 60, 2),
            trained_on=images,
            recipe=plan,
            threads=log["threads"],
            date=date.today().isoformat(),
        )
        write_text(finished, json.dumps(dataclasses.asdict(trained), indent=1) + "\n")
        paths.checkpoint.unlink()  # three times the weights in fp32, which only an unfinished run needs
        return Network(path=path, trained=trained)

    def warnings(self, networks: Sequence[Trained]) -> tuple[str, ...]:
        """What speaks against scores of networks on the drive held out, of those that were not trained here."""
        if self.held_out is None:
            return ()
        foreign = {one.name: one.trained_on for one in networks if one.given}
        if self.start is not None:
            card = find_model(self.start).card
            foreign[f"{card.name}, with which trainings began,"] = trained_on(card)
        told = (warning(*one, self.dataset.name, self.held_out) for one in foreign.items())
        return tuple(filter(None, told))

    def icnet(self) -> Network:
        """The cascade that is studied: `model`, else one of the released width, trained here.

        Raises:
            ModelError: `model` cannot be stopped after its branches; or see `network`.
        """
        if self.model is None:
            return self.network("icnet", self.recipe("icnet-camvid"))
        for branch in ("sub4", "sub24"):
            find_model(self.model, branch=branch)  # said now, not after the training of others
        return self.given(self.model)

    def given(self, path: Path) -> Network:
        """A network that was trained before.

        Raises:
            ModelError: no weights of our own.
            DataError: it has other classes than the data set.
        """
        file = find_model(path)
        if not file.is_torch:
            raise ModelError(f"expected --model with streamseg's own weights, got {path.name}")
        card = file.card
        if card.labels.class_names != self.validation.labels.class_names:
            raise DataError(
                f"expected --model with the {len(self.validation.labels)} classes of {self.validation.name}, "
                f"got {path.name} with {len(card.labels)}"
            )
        trained = Trained(
            name=card.name,
            architecture=card.architecture,
            width=card.width,
            epochs=card.notes.get("epochs"),
            minutes=card.notes.get("training_minutes"),
            trained_on=trained_on(card),
            given=True,
        )
        return Network(path=file.path, trained=trained)

    def score(
        self, network: Network, branch: str | None = None, scales: str | None = None
    ) -> Score:
        """Accuracy on the validation images; looked up if it is known."""
        what = " ".join(filter(None, ("scoring", network.trained.name, branch, scales)))
        return self.keep(
            network, (branch, *([scales] if scales else [])), Score,
            lambda: score(
                Subject(path=network.path, branch=branch, scales=scales), self.validation,
                device=self.device, progress=partial(self.progress, what),
            ),
        )  # fmt: skip

    def labelled(
        self, network: Network, branch: str | None, images: LabelledImages
    ) -> Iterator[NDArray[np.uint8]]:
        """Label maps of `images`, see `measure.labelled`."""
        what = f"labelling by {network.trained.name} {branch or ''}"
        return self.labelled_by(Subject(path=network.path, branch=branch), what, images)

    def labelled_by(
        self, subject: Subject, what: str, images: LabelledImages
    ) -> Iterator[NDArray[np.uint8]]:
        """The same by any subject.

        Args:
            what: told of the progress.
        """
        return labelled(subject, images, device=self.device, progress=partial(self.progress, what))

    def keep(
        self,
        network: Network,
        what: tuple[object, ...],
        kind: type[Record],
        make: Callable[[], Record],
    ) -> Record:
        """What `make` measures of a network on the validation images; looked up if it is known.

        Args:
            what: all else that decides what comes out.
        """
        key = (file_digest(network.path), self.device, images_text(self.validation), *what)
        return self.kept.get(key, kind, make)

    def speeds(self, subjects: Mapping[str, Timed]) -> dict[str, Speed]:
        """Time of all `subjects`, which take turns; looked up if all are known."""
        measured: dict[str, Speed] = {}
        everything = [(name, *self._subject(one), one.size) for name, one in subjects.items()]

        def measure(name: str) -> Speed:
            if not measured:  # all together
                given = {name: one.subject for name, one in subjects.items()}
                picture = self.validation.load(0)[0]
                measured.update(
                    speeds(
                        given, picture, self.schedule, device=self.device,
                        progress=lambda text: self.progress(text, 0, 1),
                    )
                )  # fmt: skip
            return measured[name]

        timing = (self.schedule.rounds, self.schedule.timing_seconds)
        machine = (self.machine["processor"], self.machine["cores"])
        return {
            name: self.kept.get((name, *timing, *machine, everything), Speed, partial(measure, name))
            for name in subjects
        }  # fmt: skip

    def memory(self, one: Timed, *, precision: str) -> Memory | None:
        """What running a network takes; looked up if it is known, None where this system does not say."""
        self.progress(f"memory of {one.network.trained.name} {one.branch or ''}", 0, 1)

        def measure() -> Memory:
            found = measure_memory(
                one.network.path, one.size, branch=one.branch, device=self.device, precision=precision
            )  # fmt: skip
            if found is None:
                raise _NotSaid
            return found

        key = (*self._subject(one), one.size, precision)
        try:
            return self.kept.get(key, Memory, measure)
        except _NotSaid:
            return None

    def data_size(self, network: Network) -> Size:
        """Network input for the validation images."""
        return find_model(network.path).card.input.size_for(*self.validation.load(0)[1].shape)

    def _subject(self, one: Timed) -> tuple[object, ...]:
        scales = [one.scales] if one.scales else []
        return file_digest(one.network.path), one.branch, *scales, self.device

    def _plan(
        self, recipe: Recipe, extra: LabelledImages | None = None, start: Path | None = None
    ) -> str:
        """All that decides what comes out of a training, besides the number of images."""
        if (
            recipe.distillation is not None
        ):  # by what it holds: the folder may move, the file change
            teacher = file_digest(Path(recipe.distillation.teacher))
            recipe = replace(recipe, distillation=replace(recipe.distillation, teacher=teacher))
        begun = f"start={file_digest(start)}, " if start else ""
        mixed = f"extra={extra.digest()}, " if extra else ""
        return f"{'bf16' if self.bf16 else 'fp32'}, {begun}{mixed}{recipe!r}"


def _finished(path: Path, images: str, plan: str) -> Trained:
    """What a finished training wrote down, if it is of these images and this plan."""
    try:
        trained = Trained(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ModelError(
            f"expected a finished training at {path}: {error}. Delete its folder to train anew"
        ) from error
    for expected, got in ((images, trained.trained_on), (plan, trained.recipe)):
        if expected != got:
            raise ModelError(
                f"{path.parent} holds a network of another plan; {difference(expected, got)}. "
                f"Choose another --out or delete it"
            )
    return trained


class _NotSaid(Exception):
    """Memory cannot be measured on this system."""


def trained_on(card: ModelCard) -> str:
    """What a card says of the images that its network learnt from."""
    return str(card.notes.get("trained_on", "its card does not say"))


def spread(images: LabelledImages, count: int | None) -> LabelledImages:
    """So many of the images, evenly spread over all of them."""
    if count is None or count >= len(images):
        return images
    chosen: Sequence[int] = [index * len(images) // count for index in range(count)]
    return replace(images, pairs=tuple(images.pairs[index] for index in chosen))


def images_text(images: LabelledImages) -> str:
    """Data set, split, and number of images."""
    return f"{images.name} {images.split}, {len(images)} images"
