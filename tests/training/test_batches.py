import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from camvid_writer import UNLABELLED, Sample, street, write_camvid
from torch import Tensor

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.datasets.augment import View
from streamseg.datasets.centroids import Uniform
from streamseg.datasets.conditions import Conditions
from streamseg.datasets.mix import Mix
from streamseg.datasets.paste import Paste
from streamseg.errors import DataError
from streamseg.labels import IGNORE
from streamseg.models.card import InputSpec
from streamseg.training import batches as batches_module
from streamseg.training.batches import AHEAD, Batches, normalized
from streamseg.training.stage import Stage

NUM_IMAGES = 12


def numbered(index: int) -> Sample:
    """An image whose every pixel tells its number."""
    label = np.full((20, 30), index % 11, np.uint8)
    label[0] = UNLABELLED
    return np.full((20, 30, 3), 10 + index, np.uint8), label


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledImages:
    write_camvid(tmp_path, "train", [numbered(index) for index in range(NUM_IMAGES)])
    return open_dataset(tmp_path, "train")


def stage(batch: int, view: View | None = None, **changes: Any) -> Stage:
    still = View(crop=(16, 16), scale=(1.0, 1.0), flip=False, color=0.0)
    return Stage(epochs=1, batch=batch, view=view or still, learning_rate=0.1, **changes)


def numbers(batch: tuple[Tensor, Tensor]) -> list[int]:
    return [int(image[0, 8, 8]) - 10 for image in batch[0]]


def view_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("views")]


LIVELY = View(crop=(24, 33), aspect=1.2, rotation_degrees=8, rare_class_share=0.5)


@pytest.mark.parametrize("batch", [1, 3, 4, 12])
def test_every_image_comes_once_an_epoch(dataset: LabelledImages, batch: int) -> None:
    seen = [numbers(made) for made in Batches(dataset, 0).epoch(stage(batch), 0)]
    assert {len(made) for made in seen} == {batch}
    assert sorted(chain.from_iterable(seen)) == list(range(NUM_IMAGES))


def test_only_full_batches_come(dataset: LabelledImages) -> None:
    batches = Batches(dataset, 0)
    seen = [numbers(made) for made in batches.epoch(stage(5), 0)]
    assert [len(made) for made in seen] == [5, 5]
    assert batches.per_epoch(stage(5)) == 2
    assert len(set(chain.from_iterable(seen))) == 10


def test_a_batch_larger_than_the_set_holds_all_of_it(dataset: LabelledImages) -> None:
    (made,) = Batches(dataset, 0).epoch(stage(50), 0)
    assert sorted(numbers(made)) == list(range(NUM_IMAGES))


def test_order_changes_with_epoch_and_seed_alone(dataset: LabelledImages) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        made = Batches(dataset, seed).epoch(stage(3), epoch)
        return list(chain.from_iterable(map(numbers, made)))

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_tensors_are_what_the_trainer_takes(dataset: LabelledImages) -> None:
    image, label = next(iter(Batches(dataset, 0).epoch(stage(3, LIVELY), 0)))
    assert image.shape == (3, 3, 24, 33)
    assert image.dtype == torch.uint8
    assert label.shape == (3, 24, 33)
    assert label.dtype == torch.int64
    assert set(label.unique().tolist()) <= {*range(11), IGNORE}


@pytest.mark.parametrize("start", [0, 1, 4, 6])
def test_a_later_start_gives_the_same_tail(dataset: LabelledImages, start: int) -> None:
    batches = Batches(dataset, 3)
    whole = list(batches.epoch(stage(2, LIVELY), 5))
    tail = list(Batches(dataset, 3).epoch(stage(2, LIVELY), 5, start=start))
    assert len(tail) == len(whole) - start
    for (image, label), (same_image, same_label) in zip(whole[start:], tail, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(label, same_label)


def test_views_of_an_image_differ_between_epochs(dataset: LabelledImages) -> None:
    batches = Batches(dataset, 0)
    one = torch.cat([label for _, label in batches.epoch(stage(12, LIVELY), 0)])
    two = torch.cat([label for _, label in batches.epoch(stage(12, LIVELY), 1)])
    assert not torch.equal(one.sort(0).values, two.sort(0).values)


def test_views_of_equal_images_differ_within_an_epoch(tmp_path: Path) -> None:
    write_camvid(tmp_path, "train", [numbered(3)] * 2)
    (image, _) = next(iter(Batches(open_dataset(tmp_path, "train"), 0).epoch(stage(2, LIVELY), 0)))
    assert not torch.equal(image[0], image[1])


def test_closing_early_leaves_no_thread(dataset: LabelledImages) -> None:
    with closing(Batches(dataset, 0).epoch(stage(1), 0)) as views:
        next(views)
        assert len(view_threads()) == 1
    assert view_threads() == []


def test_finishing_leaves_no_thread(dataset: LabelledImages) -> None:
    assert len(list(Batches(dataset, 0).epoch(stage(4), 0))) == 3
    assert view_threads() == []


def test_no_more_is_made_ahead_than_said(
    dataset: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[object] = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            ordered.append(args)
            return super().submit(*args, **kwargs)

    monkeypatch.setattr(batches_module, "ThreadPoolExecutor", Counted)
    with closing(Batches(dataset, 0).epoch(stage(1), 0)) as views:
        for taken in range(1, 5):
            next(views)
            assert len(ordered) == taken + AHEAD


def test_what_does_not_fit_in_memory_is_read_again(
    dataset: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = list(Batches(dataset, 0).epoch(stage(4, LIVELY), 0))
    monkeypatch.setattr(batches_module, "KEEP_BYTES", 3 * 20 * 30 * 4)
    batches = Batches(dataset, 0)
    assert len(batches._kept) == 3
    for one, two in zip(kept, batches.epoch(stage(4, LIVELY), 0), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_what_is_kept_is_not_read_again(dataset: LabelledImages) -> None:
    batches = Batches(dataset, 0)
    for image, _ in dataset.pairs:
        image.unlink()
    assert len(list(batches.epoch(stage(4), 0))) == 3


def test_damaged_image_is_said_at_the_start(dataset: LabelledImages) -> None:
    dataset.pairs[-1][0].write_bytes(b"")
    with pytest.raises(DataError, match="it is missing or damaged"):
        Batches(dataset, 0)


def test_error_while_making_reaches_the_trainer_and_ends_the_thread(
    dataset: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "KEEP_BYTES", 0)
    batches = Batches(dataset, 0)
    dataset.pairs[4][0].unlink()
    with pytest.raises(DataError, match="it is missing or damaged"):
        list(batches.epoch(stage(1), 0))
    assert view_threads() == []


def test_pixels_are_counted_per_class_without_the_unlabelled(dataset: LabelledImages) -> None:
    pixels = Batches(dataset, 0).pixels_C
    one_image = 19 * 30
    # Images 0..11 hold classes 0..10 and, once more, 0.
    assert pixels.tolist() == [2 * one_image] + [one_image] * 10


@pytest.fixture
def streets(tmp_path: Path) -> LabelledImages:
    """Six streets with a pole and a car each."""
    write_camvid(tmp_path / "streets", "train", [street(seed, 96, 128) for seed in range(6)])
    return open_dataset(tmp_path / "streets", "train")


EVERYTHING = {
    "paste": Paste(share=0.8, groups=(("pole",), ("car",))),
    "mix": Mix(share=0.5),
    "view": View(
        crop=(65, 97),
        conditions=Conditions(light=0.7, shadows=0.5, haze=0.5, blur=0.5, noise=0.5, jpeg=0.5),
    ),
}


def test_views_with_everything_depend_on_seed_epoch_and_image_alone(
    streets: LabelledImages,
) -> None:
    batches = Batches(streets, 3)
    whole = list(batches.epoch(stage(2, **EVERYTHING), 5))
    (tail,) = Batches(streets, 3).epoch(stage(2, **EVERYTHING), 5, start=2)
    assert torch.equal(whole[2][0], tail[0])
    assert torch.equal(whole[2][1], tail[1])
    other = list(batches.epoch(stage(2, **EVERYTHING), 6))
    assert not torch.equal(whole[0][0], other[0][0])


@pytest.mark.parametrize("name", ["paste", "mix"])
def test_each_of_them_changes_labels(streets: LabelledImages, name: str) -> None:
    still = View(crop=(96, 128), scale=(1.0, 1.0), flip=False, color=0.0)
    (plain,) = Batches(streets, 0).epoch(stage(6, still), 0)
    with_it: dict[str, Any] = {name: EVERYTHING[name]}
    (made,) = Batches(streets, 0).epoch(stage(6, still, **with_it), 0)
    changed = [not torch.equal(*labels) for labels in zip(plain[1], made[1], strict=True)]
    assert 1 <= sum(changed) <= 6
    pole, car = 2, 8
    for image, same, label in zip(made[0], plain[0], made[1], strict=True):
        rest = (label != pole) & (label != car)
        assert torch.equal(image[:, rest], same[:, rest]) or name == "mix"


def test_extra_images_fill_their_share_of_every_batch(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    samples = [(np.full((20, 30, 3), 200 + i, np.uint8), numbered(0)[1]) for i in range(5)]
    write_camvid(tmp_path / "extra", "train", samples)
    extra = open_dataset(tmp_path / "extra", "train")
    batches = Batches(dataset, 0, extra)
    quarter = stage(4, extra_share=0.25)
    made = [numbers(batch) for batch in batches.epoch(quarter, 0)]
    assert [len(numbers) for numbers in made] == [4] * batches.per_epoch(quarter) == [4] * 4
    real = [[number for number in batch if number < 190] for batch in made]
    drawn = [[number for number in batch if number >= 190] for batch in made]
    assert [len(batch) for batch in real] == [3] * 4
    assert sorted(number for batch in real for number in batch) == list(range(NUM_IMAGES))
    assert len({*map(tuple, drawn)}) == 4  # none twice before each came once
    assert torch.equal(batches.pixels_C, Batches(dataset, 0).pixels_C)
    assert [numbers(batch) for batch in batches.epoch(stage(4), 0)] == [
        numbers(batch) for batch in Batches(dataset, 0).epoch(stage(4), 0)
    ]


def test_parts_of_a_batch_hold_like_shares_of_extra_images(
    dataset: LabelledImages, tmp_path: Path
) -> None:
    """A part of extra images alone would have batch-norm statistics of its own (`training.shards`)."""
    samples = [(np.full((20, 30, 3), 200 + i, np.uint8), numbered(0)[1]) for i in range(5)]
    write_camvid(tmp_path / "extra", "train", samples)
    batches = Batches(dataset, 0, open_dataset(tmp_path / "extra", "train"))
    for image, _ in batches.epoch(stage(8, extra_share=0.5), 0):
        for part in image.tensor_split(2):
            assert [int(one[0, 8, 8]) >= 200 for one in part].count(True) == 2


def test_extra_images_that_are_missing_are_said(dataset: LabelledImages) -> None:
    with pytest.raises(
        DataError, match="extra images for a stage of which they are to be 50%; got none"
    ):
        next(Batches(dataset, 0).epoch(stage(4, extra_share=0.5), 0))


def test_half_of_an_epoch_is_laid_around_classes_drawn_uniformly(tmp_path: Path) -> None:
    # Twelve images of one class; a second class on 4 pixels of one image alone.
    samples = [numbered(0) for _ in range(NUM_IMAGES)]
    rare = 7
    for index, (image, label) in enumerate(samples):
        image[:] = 10 + index
        label[1:] = 0
    samples[rare][1][2:4, 26:28] = 5
    write_camvid(tmp_path, "train", samples)
    dataset = open_dataset(tmp_path, "train")
    uniform = stage(3, View(crop=(8, 8), scale=(1.0, 1.0), color=0.0), uniform=Uniform(tile=10))
    batches = Batches(dataset, 0)
    made = list(batches.epoch(uniform, 0))
    assert len(made) == batches.per_epoch(uniform) == 4
    with_rare = [bool((label == 5).any()) for batch in made for label in batch[1]]
    assert sum(with_rare) >= 3  # 12 views, 6 by class, 3 by each class
    plain = list(batches.epoch(replace(uniform, uniform=None), 0))
    assert sum(bool((label == 5).any()) for batch in plain for label in batch[1]) <= 1


def test_views_around_centroids_come_again_and_differ(dataset: LabelledImages) -> None:
    lively = stage(4, LIVELY, uniform=Uniform(share=1.0, tile=10))
    one, two = (list(Batches(dataset, 0).epoch(lively, 1)) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, two, strict=True))
    rest = list(Batches(dataset, 0).epoch(lively, 1, start=1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one[1:], rest, strict=True))
    views = torch.cat([images for images, _ in one])
    assert len({view.numpy().tobytes() for view in views}) == len(views)


def test_images_become_what_the_card_says() -> None:
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    bgr = InputSpec(size=(33, 33), mean=(1, 2, 3), std=(1, 2, 3))
    rgb = InputSpec(size=(33, 33), mean=(1, 2, 3), std=(1, 2, 3), color="rgb")
    assert normalized(image, bgr).flatten().tolist() == [9, 9, 9]
    assert normalized(image, rgb).flatten().tolist() == [29, 9, pytest.approx(7 / 3)]
