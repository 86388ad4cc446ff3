import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from camvid_writer import street, write_camvid
from safetensors.torch import load_file

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.datasets.augment import View
from streamseg.errors import BackendError, DataError, ModelError, SinkError
from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.reference import label_image
from streamseg.labels import CITYSCAPES
from streamseg.models.card import InputSpec
from streamseg.models.find import find_model
from streamseg.models.registry import ARCHITECTURES, Architecture, build
from streamseg.models.scales import Scales
from streamseg.models.weights import load_model, read_card
from streamseg.training import curves, objective, trainer
from streamseg.training.checkpoint import Progress
from streamseg.training.losses import Distillation, Hardest
from streamseg.training.recipe import Recipe
from streamseg.training.stage import Stage
from streamseg.training.start import Start
from streamseg.training.teacher import Teacher
from streamseg.training.trained_card import trained_card
from streamseg.training.trainer import TrainingPaths, score, train

NETWORKS = {
    "tiny-icnet": Architecture(
        module="streamseg.models.icnet",
        constructor="ICNet",
        arguments={"width": 0.125},
        summary="ICNet at an eighth of its width",
    ),
    "tiny-pspnet": Architecture(
        module="streamseg.models.pspnet",
        constructor="PSPNet50",
        arguments={"width": 0.0625},
        summary="PSPNet50 at a sixteenth of its width",
    ),
    "tiny-mean": Architecture(
        module="streamseg.models.attention",
        constructor="MultiScale",
        arguments={
            "trunk": "icnet",
            "width": 0.0625,
            "scales": Scales(combine="average"),
        },
        summary="the mean of two scales, which leaves its attention alone",
        multi_scale=True,
    ),
    "random-network": Architecture(
        module="random_network",
        constructor="DropoutNetwork",
        arguments={"width": 1.0},
        summary="draws random numbers while it learns",
    ),
}

pytestmark = [pytest.mark.usefixtures("one_thread", "networks"), pytest.mark.slow]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, architecture in NETWORKS.items():
        monkeypatch.setitem(ARCHITECTURES, name, architecture)


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledImages:
    write_camvid(tmp_path / "data", "train", [street(seed) for seed in range(4)])
    return open_dataset(tmp_path / "data", "train")


@pytest.fixture
def validation(tmp_path: Path) -> LabelledImages:
    write_camvid(tmp_path / "data", "val", [street(seed) for seed in (20, 21)])
    return open_dataset(tmp_path / "data", "val")


def tiny_recipe(**changes: Any) -> Recipe:
    """Three epochs in two stages."""
    view = View(crop=(65, 65), aspect=1.1, rotation_degrees=4, rare_class_share=0.3)
    stage = Stage(
        epochs=2, batch=2, view=view, learning_rate=3e-3, warmup_steps=2, class_softness=1.1
    )
    plain = Recipe(
        name="tiny",
        architecture="tiny-icnet",
        input=InputSpec(size=(65, 97)),
        stages=(stage, replace(stage, epochs=1, batch=1, learning_rate=1e-3)),
        jaccard_weight=0.5,
        ema_decay=0.8,
        score_every=2,
    )
    return replace(plain, **changes)


class Interrupted(Exception):
    """What a test's report raises to end a run."""


def interrupt(epoch: int, step: int | None) -> Callable[[dict[str, Any]], None]:
    """A report that raises at a step of an epoch, or after the epoch if `step` is None."""

    def report(event: dict[str, Any]) -> None:
        if event["epoch"] == epoch and (
            event.get("epoch_done") if step is None else event.get("step") == step
        ):
            raise Interrupted("enough")

    return report


def without_seconds(log: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(log.read_text())
    assert content.pop("seconds") > 0
    assert content.pop("processor_seconds") > 0
    return content


@pytest.mark.parametrize(
    ("architecture", "shards"),
    [("tiny-icnet", 1), ("random-network", 1), ("tiny-icnet", 2), ("tiny-mean", 1)],
)
@pytest.mark.parametrize(
    "stops",
    [[(0, None)], [(1, 1)], [(0, 1), (1, None), (2, 0)]],
    ids=["after an epoch", "within an epoch", "three times"],
)
def test_a_resumed_run_is_the_same_to_the_bit(
    architecture: str,
    shards: int,
    stops: list[tuple[int, int | None]],
    dataset: LabelledImages,
    validation: LabelledImages,
    tmp_path: Path,
) -> None:
    plain = tiny_recipe(architecture=architecture)
    stages = tuple(replace(stage, batch=max(stage.batch, shards)) for stage in plain.stages)
    recipe = replace(plain, stages=stages, shards=shards)
    whole = TrainingPaths(folder=tmp_path / "whole")
    train(recipe, dataset, validation, whole.folder, bf16=False)
    parts = TrainingPaths(folder=tmp_path / "parts")
    for epoch, step in stops:
        with pytest.raises(Interrupted, match="enough"):
            train(
                recipe, dataset, validation, parts.folder, bf16=False, report=interrupt(epoch, step)
            )
        torch.manual_seed(99)  # another process would start with another state
    train(recipe, dataset, validation, parts.folder, bf16=False)

    expected, got = load_file(whole.checkpoint), load_file(parts.checkpoint)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name
    assert without_seconds(whole.log) == without_seconds(parts.log)
    expected, got = load_file(whole.weights(recipe)), load_file(parts.weights(recipe))
    assert all(torch.equal(tensor, got[name]) for name, tensor in expected.items())


def test_a_resumed_run_does_not_repeat_finished_epochs(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, tmp_path / "out", report=interrupt(1, 0))
    train(tiny_recipe(), dataset, None, tmp_path / "out", report=events.append)
    steps = [(event["epoch"], event["step"]) for event in events if "step" in event]
    assert steps == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]
    events.clear()
    weights = train(tiny_recipe(), dataset, None, tmp_path / "out", report=events.append)
    assert events == []
    assert weights.is_file()


def test_an_interrupted_epoch_leaves_no_thread(dataset: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="enough") as info:
        train(tiny_recipe(), dataset, None, tmp_path / "out", report=interrupt(0, 0))
    assert info.traceback  # the run's frames are alive, and hold what they held
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("views")]


def test_a_run_writes_its_files(
    dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    paths = TrainingPaths(folder=tmp_path / "a" / "run")
    events: list[dict[str, Any]] = []
    weights = train(recipe, dataset, validation, paths.folder, report=events.append)
    assert weights == paths.weights(recipe)
    assert {path.name for path in paths.folder.iterdir()} == {
        "checkpoint.safetensors", "curves.png", "log.json", "tiny.safetensors",
    }  # fmt: skip

    log = json.loads(paths.log.read_text(), parse_constant=pytest.fail)
    assert log["recipe"] == repr(recipe)
    assert log["threads"] == 1
    assert [record["epoch"] for record in log["epochs"]] == [0, 1, 2]
    assert [record.get("miou") is not None for record in log["epochs"]] == [False, True, True]
    assert set(log["epochs"][-1]["iou"]) == set(dataset.labels.class_names)
    done = [event for event in events if event.get("epoch_done")]
    assert [{**record, "epoch_done": True} for record in log["epochs"]] == done

    losses = [event["loss"] for event in events if event.get("step") is not None]
    assert log["epochs"][0]["loss"] == pytest.approx(np.mean(losses[:2]))
    rates = [event["rate"] for event in events if event.get("step") is not None]
    stages = recipe.stages
    expected = [stages[0].rate(step, 4) for step in range(4)]
    expected += [stages[1].rate(step, 4) for step in range(4)]
    assert rates == pytest.approx(expected)

    picture = cv2.imread(str(paths.curves))
    assert picture is not None
    assert picture.std() > 5

    card = read_card(weights)
    assert card.name == "tiny"
    assert card.architecture == "tiny-icnet"
    assert card.labels.class_names == dataset.labels.class_names
    assert card.input == recipe.input
    assert card.width == 0.125


def test_the_card_says_how_it_came_about(
    dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    weights = train(tiny_recipe(), dataset, validation, tmp_path / "out", bf16=False)
    notes = read_card(weights).notes
    assert notes["trained_on"] == "camvid train, 4 images, from random weights"
    assert notes["epochs"] == 3
    assert notes["precision"] == "stored as fp16 and trained in fp32"
    assert notes["scored_on"] == "camvid val, 2 images"
    height, width = tiny_recipe().input.size_for(48, 64)
    assert (
        f"in fp32, before rounding to fp16; network input {height}x{width};" in notes["scored_how"]
    )
    assert "also in training" in notes["caveat"]
    log = json.loads((tmp_path / "out" / "log.json").read_text())
    assert notes["miou_while_training"] == round(log["epochs"][-1]["miou"], 4)


def test_the_card_does_not_guess_what_older_records_left_out(
    dataset: LabelledImages, validation: LabelledImages
) -> None:
    history = [{"epoch": 0, "loss": 1.0, "miou": 0.5}]
    progress = Progress(epochs_done=1, history=history)
    notes = trained_card(tiny_recipe(), dataset, validation, progress).notes
    assert notes["miou_while_training"] == 0.5
    assert notes["precision"] == "stored as fp16"
    assert "scored_how" not in notes


def test_the_card_names_no_score_that_its_weights_have_not(
    dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="enough"):
        train(
            tiny_recipe(),
            dataset,
            validation,
            tmp_path / "out",
            bf16=True,
            report=interrupt(1, None),
        )
    assert "miou" in (tmp_path / "out" / "log.json").read_text()
    for scored_on in (None, validation):  # the second time there is nothing left to train
        weights = train(tiny_recipe(), dataset, scored_on, tmp_path / "out", bf16=True)
        notes = read_card(weights).notes
        assert not {"scored_on", "scored_how", "miou_while_training", "caveat"} & set(notes)
        assert notes["precision"] == "stored as fp16 and trained in bf16 autocast"


def test_the_weights_are_the_average_and_load_as_a_model(
    dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    weights = train(recipe, dataset, validation, tmp_path / "out", bf16=False)
    checkpoint = load_file(tmp_path / "out" / "checkpoint.safetensors")
    model = load_model(find_model(weights))
    stored = model.state_dict()
    for name, tensor in load_file(weights).items():
        assert torch.equal(tensor, checkpoint[f"average.{name}"].half()), name
        assert torch.equal(stored[name], tensor.float()), name
    assert not torch.equal(
        checkpoint["average.classify.weight"], checkpoint["model.classify.weight"]
    )
    image, _ = validation.load(0)
    assert label_image(model, image, recipe.input).shape == image.shape[:2]


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [("tiny-icnet", {"aux_sub4", "aux_sub24"}), ("tiny-pspnet", {"aux_conv4"})],
)
def test_weights_keep_the_auxiliary_heads(
    dataset: LabelledImages, tmp_path: Path, architecture: str, heads: set[str]
) -> None:
    """So that ICNet can stop after a branch, and that training on can begin with them."""
    recipe = tiny_recipe(architecture=architecture, stages=tiny_recipe().stages[:1])
    weights = train(recipe, dataset, None, tmp_path / "out", bf16=False)
    stored = load_file(weights)
    assert {name.split(".")[0] for name in stored if name.startswith("aux_")} == heads
    start = build(architecture, len(dataset.labels)).state_dict()
    name = next(name for name in stored if name.startswith("aux_") and name.endswith("weight"))
    assert stored[name].shape == start[name].shape
    assert load_model(find_model(weights)).training is False


def test_two_images_are_learnt_by_heart(dataset: LabelledImages, tmp_path: Path) -> None:
    two = replace(dataset, pairs=dataset.pairs[:2])
    view = View(crop=(65, 97), scale=(1.4, 1.5), flip=False, color=0.05)
    stage = Stage(epochs=40, batch=2, view=view, learning_rate=1e-2, warmup_steps=4)
    recipe = tiny_recipe(stages=(stage,), score_every=100)
    events: list[dict[str, Any]] = []
    train(recipe, two, two, tmp_path / "out", bf16=False, report=events.append)
    losses = [event["loss"] for event in events if event.get("epoch_done")]
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
    assert events[-1]["pixel_accuracy"] > 0.85


def test_the_average_follows_the_weights_by_its_decay(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    stage = replace(tiny_recipe().stages[0], epochs=1, batch=4)
    recipe = tiny_recipe(stages=(stage,), ema_decay=0.75)
    torch.manual_seed(recipe.seed)
    start = build(recipe.architecture, len(dataset.labels)).state_dict()
    train(recipe, dataset, None, tmp_path / "out", bf16=False)  # a single step
    after = load_file(tmp_path / "out" / "checkpoint.safetensors")
    for name in ("stem.0.0.weight", "stem.0.1.running_var", "classify.bias"):
        expected = 0.75 * start[name] + 0.25 * after[f"model.{name}"]
        assert torch.allclose(after[f"average.{name}"], expected, atol=1e-7), name
        assert not torch.equal(after[f"average.{name}"], start[name]), name


def test_the_rate_reaches_the_optimizer(dataset: LabelledImages, tmp_path: Path) -> None:
    stage = replace(tiny_recipe().stages[0], epochs=1, batch=4, learning_rate=0.04)
    recipe = tiny_recipe(stages=(stage,))
    torch.manual_seed(recipe.seed)
    start = build(recipe.architecture, len(dataset.labels)).state_dict()
    train(recipe, dataset, None, tmp_path / "out", bf16=False)  # a single step
    after = load_file(tmp_path / "out" / "checkpoint.safetensors")
    # Adam's first step moves every weight by its rate, here half way up the warm-up.
    moved = (after["model.classify.bias"] - start["classify.bias"]).abs()
    assert moved.max().item() == pytest.approx(0.02, rel=1e-3)


def test_label_stride_interpolates_the_finest_branch_before_its_loss(
    dataset: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1/4 the branch is as it comes; at stride 2 its 17x17 is interpolated to 33x33, the others are not."""
    sizes: list[list[tuple[int, ...]]] = []
    guidance = objective.cascade_label_guidance

    def spy(logits: Any, *rest: Any, **how: Any) -> Any:
        sizes.append([tuple(branch.shape[-2:]) for branch in logits])
        return guidance(logits, *rest, **how)

    monkeypatch.setattr(objective, "cascade_label_guidance", spy)
    recipe = tiny_recipe()
    plain = replace(recipe.stages[0], epochs=1, decay_epochs=2)
    finer = replace(recipe.stages[0], epochs=1, label_stride=2)
    train(replace(recipe, stages=(plain, finer)), dataset, None, tmp_path)
    half = len(sizes) // 2
    assert {tuple(entry) for entry in sizes[:half]} == {((17, 17), (9, 9), (5, 5))}
    assert {tuple(entry) for entry in sizes[half:]} == {((33, 33), (9, 9), (5, 5))}


def started(dataset: LabelledImages, *, width: float = 0.125) -> Start:
    torch.manual_seed(7)
    network = build("tiny-icnet", len(dataset.labels), width=width)
    return Start(
        weights=network.state_dict(), origin="from some weights", notes={"kept": "all of them"}
    )


def test_a_run_begins_with_the_weights_that_it_is_given(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    stage = replace(tiny_recipe().stages[0], epochs=1, batch=4, learning_rate=0.04)
    recipe = tiny_recipe(stages=(stage,), width=0.0625)
    start = started(dataset, width=0.0625)
    weights = train(recipe, dataset, None, tmp_path / "out", start=start, bf16=False)  # one step
    after = load_file(tmp_path / "out" / "checkpoint.safetensors")
    for name in ("aux_sub4.bias", "classify.bias"):
        # Adam's first step moves every weight by its rate, here half way up the warm-up.
        moved = (after[f"model.{name}"] - start.weights[name]).abs()
        assert moved.max().item() == pytest.approx(0.02, rel=1e-3)
        expected = 0.8 * start.weights[name] + 0.2 * after[f"model.{name}"]
        assert torch.allclose(after[f"average.{name}"], expected, atol=1e-7)
    card = read_card(weights)
    assert card.width == 0.0625
    assert card.notes["trained_on"] == "camvid train, 4 images, from some weights"
    assert card.notes["kept"] == "all of them"
    assert load_model(find_model(weights)).classify.in_channels == 16


def test_a_resumed_run_from_given_weights_is_the_same_to_the_bit(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    recipe, start = tiny_recipe(ema_rises=True, ema_decay=0.5), started(dataset)
    train(recipe, dataset, None, tmp_path / "whole", start=start, bf16=False)
    for epoch, step in ((0, 1), (1, None), (2, 1)):
        with pytest.raises(Interrupted, match="enough"):
            train(
                recipe, dataset, None, tmp_path / "parts",
                start=start, bf16=False, report=interrupt(epoch, step),
            )  # fmt: skip
    train(recipe, dataset, None, tmp_path / "parts", start=start, bf16=False)
    expected, got = (
        load_file(tmp_path / run / "checkpoint.safetensors") for run in ("whole", "parts")
    )
    assert expected.keys() == got.keys()
    assert all(torch.equal(tensor, got[name]) for name, tensor in expected.items())


def test_a_checkpoint_of_another_start_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, tmp_path / "out", report=interrupt(0, None))
    start = started(dataset)
    message = f'of another recipe; expected "start={start.digest()}, .* got "start=random'
    with pytest.raises(ModelError, match=message):
        train(tiny_recipe(), dataset, None, tmp_path / "out", start=start)


def test_starts_are_told_apart_by_a_single_weight(dataset: LabelledImages) -> None:
    start, same, other = started(dataset), started(dataset), started(dataset)
    other.weights["classify.bias"][2] += 1e-6
    assert start.digest() == same.digest() != other.digest()
    assert len(start.digest()) == 16


def test_weights_of_another_width_are_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    start = started(dataset, width=0.0625)
    with pytest.raises(ModelError, match="weights from some weights are not of this architecture"):
        train(tiny_recipe(), dataset, None, tmp_path / "out", start=start)


def test_an_impossible_width_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot build tiny-icnet as asked: .* multiple of 1/16"):
        train(tiny_recipe(width=0.1), dataset, None, tmp_path / "out")


def test_a_rising_decay_forgets_where_a_short_run_began(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    """Four steps of decays 0.1, 2/11, 0.25, 4/13: 0.14 % of the first weights are left, not 0.8 ** 4."""
    stage = replace(tiny_recipe().stages[0], epochs=4, batch=4, learning_rate=0.0, warmup_steps=0)
    recipe = tiny_recipe(stages=(stage,), ema_rises=True)
    assert [recipe.decay(step) for step in range(4)] == pytest.approx([0.1, 2 / 11, 0.25, 4 / 13])
    assert recipe.decay(1000) == 0.8
    seen: list[float] = []
    update = trainer._Run._update_average
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            trainer._Run,
            "_update_average",
            lambda run, decay: (seen.append(decay), update(run, decay)),
        )
        train(recipe, dataset, None, tmp_path / "out", bf16=False)
    assert seen == pytest.approx([0.1, 2 / 11, 0.25, 4 / 13])


def test_only_convolution_kernels_decay() -> None:
    model = build("tiny-icnet", 3)
    kernels, others = trainer._parameter_groups(model, 0.01)
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    grouped = [names[id(p)] for p in (*kernels["params"], *others["params"])]
    assert sorted(grouped) == sorted(names.values())
    modules = dict(model.named_modules())
    for parameter in kernels["params"]:
        module, kind = names[id(parameter)].rsplit(".", 1)
        assert isinstance(modules[module], torch.nn.Conv2d)
        assert kind == "weight"


def test_a_checkpoint_of_another_recipe_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, tmp_path / "out", report=interrupt(0, None))
    with pytest.raises(
        ModelError,
        match=r"of another recipe; expected 'seed=1, shards=1, .*', got 'seed=0, shards=1, ",
    ):
        train(tiny_recipe(seed=1), dataset, None, tmp_path / "out")


def test_a_damaged_checkpoint_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    paths = TrainingPaths(folder=tmp_path / "out")
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, paths.folder, report=interrupt(0, None))
    content = paths.checkpoint.read_bytes()
    paths.checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"expected a training checkpoint at .*checkpoint\.safet"):
        train(tiny_recipe(), dataset, None, paths.folder)


def test_a_diverged_run_stops_and_keeps_the_last_checkpoint(
    dataset: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = TrainingPaths(folder=tmp_path / "out")
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, paths.folder, report=interrupt(0, None))
    before = paths.checkpoint.read_bytes()
    monkeypatch.setattr(objective, "soft_jaccard", lambda logits, label: logits.sum() * torch.nan)
    with pytest.raises(
        ModelError, match=r"diverged: expected a finite loss, got nan in epoch 2, st"
    ):
        train(tiny_recipe(), dataset, None, paths.folder)
    assert paths.checkpoint.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot make the folder .*file: "):
        train(tiny_recipe(), dataset, None, tmp_path / "file")


def test_missing_matplotlib_is_said_before_training(
    dataset: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(
        BackendError, match=r"expected matplotlib.*pip install 'streamseg\[train\]'"
    ):
        train(tiny_recipe(), dataset, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_score_is_that_of_one_confusion_matrix(validation: LabelledImages) -> None:
    torch.manual_seed(3)
    model = build("tiny-icnet", len(validation.labels)).eval()
    recipe = tiny_recipe()
    confusion = Confusion(len(validation.labels))
    for index in range(len(validation)):
        image, truth = validation.load(index)
        confusion.add(truth, label_image(model, image, recipe.input))
    scores = score(model, recipe, validation, bf16=False)
    assert scores["miou"] == confusion.miou()
    assert scores["pixel_accuracy"] == confusion.pixel_accuracy()
    expected = dict(zip(validation.labels.class_names, confusion.iou().tolist(), strict=True))
    absent = {name for name, value in expected.items() if np.isnan(value)}
    assert absent  # the made images hold four classes of eleven
    assert scores["iou"] == {
        name: None if name in absent else value for name, value in expected.items()
    }


@pytest.mark.needs_cuda
def test_a_run_on_the_gpu_learns_and_resumes(
    dataset: LabelledImages, validation: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    with pytest.raises(Interrupted, match="enough"):
        train(
            recipe, dataset, validation, tmp_path / "out", device="cuda", report=interrupt(0, None)
        )
    weights = train(recipe, dataset, validation, tmp_path / "out", device="cuda")
    assert read_card(weights).notes["epochs"] == 3


def test_a_checkpoint_of_other_images_is_refused(dataset: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="enough"):
        train(tiny_recipe(), dataset, None, tmp_path / "out", report=interrupt(0, None))
    fewer = replace(dataset, pairs=dataset.pairs[:3])
    with pytest.raises(ModelError, match="of other images: expected camvid train, 3 images, got"):
        train(tiny_recipe(), fewer, None, tmp_path / "out")


@pytest.mark.parametrize("changes", [{"hardest": Hardest()}, {"label_smoothing": 0.1}])
def test_the_recipes_loss_is_what_is_minimised(
    changes: dict[str, Any], dataset: LabelledImages, tmp_path: Path
) -> None:
    losses = []
    for number, recipe in enumerate((tiny_recipe(), tiny_recipe(**changes))):
        with pytest.raises(Interrupted, match="enough"):
            train(
                recipe, dataset, None, tmp_path / str(number), bf16=False, report=interrupt(0, None)
            )
        log = json.loads((tmp_path / str(number) / "log.json").read_text())
        losses.append(log["epochs"][0]["loss"])
    assert abs(losses[0] - losses[1]) > 1e-3


TREE = 5


def few_steps(**changes: Any) -> Recipe:
    view = View(crop=(65, 97), scale=(1.4, 1.5), flip=False, color=0.05)
    stage = Stage(epochs=15, batch=4, view=view, learning_rate=1e-2, warmup_steps=2)
    return tiny_recipe(**{"stages": (stage,), "score_every": 100, **changes})


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A network that sees trees everywhere."""
    images = [street(seed) for seed in range(4)]
    trees = [(image, np.full_like(label, TREE)) for image, label in images]
    write_camvid(tmp_path / "trees", "train", trees)
    dataset = open_dataset(tmp_path / "trees", "train")
    return train(few_steps(name="teacher"), dataset, None, tmp_path / "teacher", bf16=False)


def test_a_teacher_draws_the_network_towards_its_answers(
    teacher: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    trees = []
    for weight in (None, 100.0):
        how = Distillation(teacher=str(teacher), weight=weight) if weight else None
        recipe = few_steps(distillation=how)
        weights = train(recipe, dataset, None, tmp_path / str(weight), bf16=False)
        image, _ = dataset.load(0)
        labels = label_image(load_model(find_model(weights)), image, recipe.input)
        trees.append(float((labels == TREE).mean()))
    assert trees[0] < 0.1
    assert trees[1] > 0.6
    assert read_card(weights).notes["teacher"] == "teacher"


def test_a_teacher_never_learns(teacher: Path, dataset: LabelledImages) -> None:
    taught = Teacher(str(teacher), dataset.labels, "cpu", bf16=False)
    image = torch.zeros(2, 3, 65, 97, dtype=torch.uint8)
    first = taught.logits(image, (17, 25))
    assert first.shape == (2, len(dataset.labels), 17, 25)
    assert not first.requires_grad
    assert torch.equal(taught.logits(image, (17, 25)), first)


def test_a_run_does_not_go_on_with_another_teacher_in_the_same_place(
    teacher: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_recipe(distillation=Distillation(teacher=str(teacher)))
    with pytest.raises(Interrupted):
        train(recipe, dataset, None, tmp_path / "run", report=interrupt(0, None))
    other = train(tiny_recipe(name="teacher"), dataset, None, tmp_path / "other")
    teacher.write_bytes(other.read_bytes())
    with pytest.raises(ModelError, match=r"of another recipe; expected .teacher=.* got .teacher="):
        train(recipe, dataset, None, tmp_path / "run")


def test_a_teacher_of_other_classes_is_refused(
    teacher: Path, dataset: LabelledImages, tmp_path: Path
) -> None:
    other = replace(dataset, labels=CITYSCAPES)
    with pytest.raises(
        ModelError, match=r"teacher with the classes of cityscapes .*teacher has sky"
    ):
        train(
            tiny_recipe(distillation=Distillation(teacher=str(teacher))),
            other,
            None,
            tmp_path / "o",
        )


def test_extra_images_are_noted_and_missing_ones_said(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    recipe = tiny_recipe(rendered_frames=2)
    stages = tuple(replace(stage, batch=2, extra_share=0.5) for stage in recipe.stages)
    recipe = replace(recipe, stages=stages)
    with pytest.raises(DataError, match="they are to be 50%; got none"):
        train(recipe, dataset, None, tmp_path / "none")
    extra = replace(dataset, pairs=dataset.pairs[:2], contents="rendered frames")
    weights = train(recipe, dataset, None, tmp_path / "some", extra=extra)
    assert read_card(weights).notes["trained_on"] == (
        "camvid train, 4 images, from random weights; 2 rendered frames mixed in"
    )
