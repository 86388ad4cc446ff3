from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_files import write_model

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import BackendError, DataError, ModelError
from streamseg.labels import CITYSCAPES
from streamseg.study import session as session_module
from streamseg.study.session import StudySession, spread


def test_images_are_spread_over_all_of_them(data: Path) -> None:
    images = open_dataset(data, "train")
    assert spread(images, None) is images
    assert spread(images, 9) is images
    assert spread(images, 2).pairs == (images.pairs[0], images.pairs[2])


@pytest.mark.slow
def test_a_finished_network_is_taken_as_it_is_and_another_plan_refused(
    session: StudySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = session.recipe("icnet-camvid")
    first = session.network("icnet", recipe)
    folder = session.out / "networks" / "icnet"
    assert first.path == folder / "icnet.safetensors"
    assert (first.trained.epochs, first.trained.width) == (1, 1 / 16)
    assert not (folder / "checkpoint.safetensors").exists()

    monkeypatch.setattr(session_module, "train", None)
    assert session.network("icnet", recipe).trained == first.trained
    with pytest.raises(ModelError, match=r"of another plan; expected 'seed=3.*got 'seed=0.*--out"):
        session.network("icnet", replace(recipe, seed=3))
    session.dataset = spread(session.dataset, 2)
    with pytest.raises(ModelError, match=r"of another plan; expected '2 images', got '4 images'"):
        session.network("icnet", recipe)


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(session: StudySession) -> None:
    recipe = session.recipe("icnet-camvid", epochs=2)

    def stop_in_the_second(what: str, done: float, total: float) -> None:
        if done > 1:
            raise KeyboardInterrupt

    session.progress = stop_in_the_second
    with pytest.raises(KeyboardInterrupt):
        session.network("icnet", recipe)
    seen: list[float] = []
    session.progress = lambda what, done, total: seen.append(done)
    session.network("icnet", recipe)
    assert min(seen) >= 1


def test_a_given_network_must_have_the_data_sets_classes(
    session: StudySession, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "tiny.safetensors")
    assert session.given(path).trained.given
    session.validation = replace(session.validation, labels=CITYSCAPES)
    with pytest.raises(DataError, match=r"expected --model with the 19 classes.*got tiny"):
        session.given(path)


def test_a_given_network_must_stop_after_its_branches(
    session: StudySession, tmp_path: Path
) -> None:
    session.model = write_model(tmp_path / "tiny.safetensors")
    with pytest.raises(ModelError, match="expected the auxiliary head aux_sub4"):
        session.icnet()
    session.model = write_model(tmp_path / "heads.safetensors", auxiliary=True)
    assert session.icnet().path == session.model


def test_damaged_records_of_a_training_are_one_line(session: StudySession) -> None:
    folder = session.out / "networks" / "icnet"
    folder.mkdir(parents=True)
    (folder / "trained.json").write_text('{"name": 1')
    with pytest.raises(ModelError, match="expected a finished training at"):
        session.network("icnet", session.recipe("icnet-camvid"))


def test_a_device_that_is_not_there_is_refused_before_anything_else(
    session: StudySession,
) -> None:
    images: LabelledImages = session.dataset
    with pytest.raises(BackendError, match="unknown device 'tpu'"):
        StudySession(
            dataset=images, validation=images, out=session.out, schedule=session.schedule, device="tpu"
        )  # fmt: skip


def test_a_schedule_shortens_recipes_and_the_command_overrules_it(session: StudySession) -> None:
    short = session.recipe("pspnet50-camvid", width=0.25)
    assert (short.epochs, len(short.stages), short.stages[0].view.crop) == (1, 1, (49, 65))
    assert (short.input.size, short.width, short.branch_weights) == ((65, 97), 0.25, (1.0, 0.4))
    session.epochs = 7
    assert session.recipe("icnet-camvid").epochs == 7
    session.schedule = replace(session.schedule, reduced=None)
    session.epochs = None
    assert session.recipe("icnet-camvid").epochs == 121


@pytest.mark.parametrize(
    ("threads", "device", "batch", "shards"),
    [
        (4, "cpu", 12, 2),
        (1, "cpu", 12, 1),
        (4, "cpu", 3, 1),
        (4, "cpu", 4, 2),
        (4, "cuda:0", 12, 1),
    ],
)
def test_halves_of_a_batch_side_by_side_where_threads_and_batch_allow(
    session: StudySession,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    device: str,
    batch: int,
    shards: int,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    session.device = device
    assert session.schedule.reduced is not None
    session.schedule = replace(
        session.schedule, reduced=replace(session.schedule.reduced, batch=batch)
    )
    recipe = session.recipe("icnet-camvid")
    assert recipe.shards == shards
    # A folder that was trained otherwise is of another plan, which `network` refuses.
    planned = session._plan(recipe) == session._plan(replace(recipe, shards=1))
    assert planned == (shards == 1)


def test_a_recipe_with_parts_of_its_own_keeps_them(session: StudySession) -> None:
    session.schedule = replace(session.schedule, reduced=None)
    assert session.recipe("icnet-camvid-more").shards == 2  # on one thread, too
