"""The network in two halves: what `refine` makes of `context`, on every backend, and of features that have moved."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import noise, packed
from torch.nn import functional as F

from streamseg.engine.torch_warp import at_fine_size
from streamseg.engine.warp import STILL, move
from streamseg.frames import CELL, Displacement, Moved
from streamseg.picture.pixels import Packed

BACKENDS = ["openvino", "torch"]
PICTURE = (90, 122)


def shift(dx: float, dy: float, size: tuple[int, int] = PICTURE) -> Displacement:
    cells = [-(-side // CELL) for side in size]
    field = np.empty((*cells, 2), np.float32)
    field[:] = dx, dy
    return Displacement(field=field, size=size)


def random_field(size: tuple[int, int], pixels: float) -> Displacement:
    cells = [-(-side // CELL) for side in size]
    field = np.random.default_rng(0).normal(0, pixels, (*cells, 2))
    return Displacement(field=field.astype(np.float32), size=size)


def features(height: int, width: int, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(1).random((height, width, channels), np.float32)


def move_to(moved: Sequence[Moved], align_corners: bool, size: tuple[int, int]) -> np.ndarray:
    out = np.full((*size, moved[0].features.shape[2]), np.nan, np.float32)
    move(moved, align_corners, out)
    return out


def move_one(
    source: np.ndarray, displacement: Displacement, align_corners: bool, size: tuple[int, int]
) -> np.ndarray:
    return move_to([Moved(features=source, displacement=displacement)], align_corners, size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_refine_after_context_is_the_whole_network(opened, tiny, pixels, backend):
    engine = opened(tiny, backend)
    assert engine.splits
    picture = engine.prepare(pixels)
    whole = engine.infer(picture)
    halves = engine.refine(picture, [Moved(features=engine.context(picture))])
    assert halves.align_corners == whole.align_corners
    assert np.abs(halves.scores - whole.scores).max() < 1e-4 * np.abs(whole.scores).max()
    running = engine.submit_refine(picture, [Moved(features=engine.submit_context(picture)())])
    assert np.array_equal(running().scores, halves.scores)


@pytest.mark.parametrize("backend", BACKENDS)
def test_features_outlive_their_picture_and_serve_others(opened, tiny, backend):
    engine = opened(tiny, backend)
    first, second = (engine.prepare(Packed(pixels=noise(*PICTURE, seed=seed))) for seed in (0, 1))
    kept = engine.context(first)
    own = engine.refine(second, [Moved(features=engine.context(second))]).scores
    old = engine.refine(second, [Moved(features=kept)]).scores
    assert np.abs(old - own).max() > 0.01 * np.abs(own).max()
    again = engine.refine(first, [Moved(features=kept)]).scores
    assert np.allclose(again, engine.infer(first).scores, atol=1e-4 * np.abs(again).max())


def test_backends_agree_on_moved_features(opened, tiny):
    answers = []
    for backend in BACKENDS:
        engine = opened(tiny, backend)
        old, new = (engine.prepare(packed(*PICTURE, seed=seed)) for seed in (0, 1))
        one = Moved(features=engine.context(old), displacement=random_field(PICTURE, 6))
        other = Moved(features=engine.context(new), displacement=shift(3, -8), share=2)
        answers.append(
            [engine.refine(new, moved).scores for moved in ([one], [other], [one, other])]
        )
    for mine, other in zip(*answers, strict=True):
        assert np.abs(mine - other).max() < 1e-3 * np.abs(mine).max()
        assert mine.std() > 0
    assert not np.allclose(answers[0][0], answers[0][2], atol=1e-2 * np.abs(answers[0][0]).max())


def test_what_is_begun_says_when_it_is_done(opened, tiny):
    engine = opened(tiny)
    picture = engine.prepare(packed(*PICTURE))
    running = engine.submit_context(picture)
    while not running.done():
        pass
    assert running().shape == (7, 9, 16)


def test_features_are_free_of_the_engine_s_buffers(opened, tiny):
    engine = opened(tiny)
    first = engine.context(engine.prepare(packed(*PICTURE, seed=0)))
    before = first.copy()
    engine.context(engine.prepare(packed(*PICTURE, seed=1)))
    assert np.array_equal(first, before)
    picture = engine.prepare(packed(*PICTURE))
    alive = weakref.ref(picture)
    waiting = engine.submit_context(picture)
    del picture
    assert alive() is not None  # the request reads it
    waiting()
    del waiting
    assert alive() is None


def test_a_closed_engine_refuses_either_half(opened, tiny):
    for backend in BACKENDS:
        engine = opened(tiny, backend)
        picture = engine.prepare(packed(*PICTURE))
        kept = engine.context(picture)
        engine.close()
        with pytest.raises(ValueError, match="this one is closed"):
            engine.context(picture)
        with pytest.raises(ValueError, match="this one is closed"):
            engine.refine(picture, [Moved(features=kept)])


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("coarse", "fine"), [((7, 9), (13, 17)), ((5, 8), (10, 16)), ((1, 1), (3, 2))]
)
def test_features_that_did_not_move_are_interpolated(align_corners, coarse, fine):
    source = features(*coarse)
    expected = F.interpolate(
        torch.from_numpy(source).permute(2, 0, 1)[None],
        fine,
        mode="bilinear",
        align_corners=align_corners,
    )[0]
    for still in (STILL, shift(0, 0)):
        out = move_one(source, still, align_corners, fine)
        np.testing.assert_allclose(out, expected.permute(1, 2, 0), atol=1e-5)


def test_features_come_from_where_the_field_points():
    """A ramp shows places: 97 x 129 pixels, nodes 16 pixels apart, fine nodes 8."""
    y, x = np.mgrid[0:97:16, 0:129:16].astype(np.float32)
    source = np.ascontiguousarray(np.stack([x, y], 2))
    out = move_one(source, shift(5, -3, (97, 129)), True, (13, 17))
    fine_y, fine_x = np.mgrid[0:97:8, 0:129:8]
    np.testing.assert_allclose(out[..., 0], np.clip(fine_x + 5, 0, 128), atol=1e-3)
    np.testing.assert_allclose(out[..., 1], np.clip(fine_y - 3, 0, 96), atol=1e-3)


def test_each_cell_moves_on_its_own():
    y, x = np.mgrid[0:97:16, 0:129:16].astype(np.float32)
    source = np.ascontiguousarray(np.stack([x, y], 2))
    still = shift(0, 0, (97, 129))
    field = still.field.copy()
    field[:, 8:] = 16, 0  # from pixel 64 on; between the centres 59.5 and 67.5 it is mixed
    out = move_one(source, Displacement(field=field, size=(97, 129)), True, (13, 17))
    fine_x = np.arange(0, 129, 8)
    moves = np.interp(fine_x, [59.5, 67.5], [0, 16])
    np.testing.assert_allclose(out[6, :, 0], np.clip(fine_x + moves, 0, 128), atol=1e-3)


def two_pictures() -> tuple[np.ndarray, np.ndarray]:
    """All ones, and all threes."""
    ones = np.ones((7, 9, 5), np.float32)
    return ones, 3 * ones


def test_of_two_pictures_each_counts_by_its_share():
    ones, threes = two_pictures()
    moved = [Moved(features=ones, share=3), Moved(features=threes, share=1)]
    assert np.allclose(move_to(moved, True, (13, 17)), 1.5)


def test_what_is_in_view_in_one_picture_alone_is_taken_from_it():
    """97 x 129 pixels: the first picture lacks the right half, the second one the lower half."""
    ones, threes = two_pictures()
    moved = [
        Moved(features=ones, displacement=shift(64, 0, (97, 129))),
        Moved(features=threes, displacement=shift(0, 48, (97, 129))),
    ]
    out = move_to(moved, True, (13, 17))[..., 0]  # a node every 8 pixels
    assert np.allclose(out[:7, :9], 2)
    assert np.allclose(out[:7, 9:], 3)
    assert np.allclose(out[7:, :9], 1)
    assert np.allclose(out[7:, 9:], 2)  # in neither: both count, as if it were


def test_features_of_no_picture_or_of_three_are_refused():
    one = Moved(features=features(7, 9))
    for moved in ([], [one] * 3):
        with pytest.raises(ValueError, match="features of one picture or two, got"):
            move(moved, True, features(13, 17))


def as_tensor(moved: Moved) -> Moved:
    return replace(moved, features=torch.from_numpy(moved.features).permute(2, 0, 1)[None])


def one_and_two() -> list[list[Moved]]:
    one, other = (
        Moved(
            features=np.random.default_rng(seed).random((7, 9, 5), np.float32),
            displacement=random_field((97, 131), 20),
            share=seed,
        )
        for seed in (1, 2)
    )
    return [[one], [one, replace(other, displacement=shift(70, -20, (97, 131)))]]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("moved", one_and_two(), ids=["one", "two"])
def test_torch_moves_alike(align_corners, moved):
    out = move_to(moved, align_corners, (13, 17))
    other = at_fine_size([as_tensor(one) for one in moved], (13, 17), align_corners)
    np.testing.assert_allclose(out, other[0].permute(1, 2, 0), atol=1e-4)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("moved", one_and_two(), ids=["one", "two"])
def test_cuda_moves_alike(moved):
    here = [as_tensor(one) for one in moved]
    there = [replace(one, features=one.features.cuda()) for one in here]
    expected = at_fine_size(here, (13, 17), True)
    torch.testing.assert_close(at_fine_size(there, (13, 17), True).cpu(), expected)
