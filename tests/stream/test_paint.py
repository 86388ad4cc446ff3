"""The painter against plain statements of what it computes."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from fakes import FakeEngine, gray_frame, label_of_luma
from numpy.typing import NDArray

from streamseg.frames import Frame, Inferred, Logits, Reuse
from streamseg.labels import CAMVID, CITYSCAPES, LabelSet
from streamseg.picture.convert import Converter
from streamseg.picture.orientation import UPRIGHT, Orientation
from streamseg.picture.pixels import Planar
from streamseg.picture.planes import planar_view, rgb_to_ycbcr, with_gaps, ycbcr_to_rgb
from streamseg.stream.paint import (
    Painter,
    blend_packed,
    blend_planar,
    fixed_point_alpha,
    label_map,
)

CARRIED = Reuse(is_keyframe=False, age=2, change=0.5)


def smooth(rng: np.random.Generator, size: tuple[int, int], classes: int) -> NDArray[np.float32]:
    """Blobs, as a network makes them: large areas agree, borders do not."""
    coarse = torch.from_numpy(rng.normal(size=(1, classes, 4, 4)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    return np.ascontiguousarray(fine[0].permute(1, 2, 0).numpy())


def noisy(rng: np.random.Generator, size: tuple[int, int], classes: int) -> NDArray[np.float32]:
    return rng.normal(size=(*size, classes)).astype(np.float32)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(("source", "target"), [((45, 60), (360, 480)), ((77, 141), (405, 719))])
def test_label_map_agrees_with_torch(
    source: tuple[int, int],
    target: tuple[int, int],
    make: Any,
    align_corners: bool,
    rng: np.random.Generator,
) -> None:
    scores = make(rng, source, 11)
    batch = torch.from_numpy(scores).permute(2, 0, 1)[None]
    fine = torch.nn.functional.interpolate(
        batch, target, mode="bilinear", align_corners=align_corners
    )
    ours = label_map(Logits(scores=scores, align_corners=align_corners), target)
    assert (ours != fine[0].argmax(0).numpy()).mean() <= 1e-4


@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(
    ("source", "target"),
    [((61, 117), (240, 480)), ((33, 65), (256, 512)), ((20, 30), (81, 77)), ((20, 30), (20, 30))],
)
def test_label_map_agrees_with_cv2_but_where_classes_are_level(
    source: tuple[int, int], target: tuple[int, int], make: Any, rng: np.random.Generator
) -> None:
    scores = make(rng, source, 11)
    fine = np.stack([cv2.resize(scores[:, :, k], target[::-1]) for k in range(11)])
    ours = label_map(Logits(scores=scores, align_corners=False), target)
    chosen = np.take_along_axis(fine, ours[None].astype(np.intp), axis=0)[0]
    assert (fine.max(0) - chosen).max() <= 1e-5  # cv2 rounds positions to float32
    assert (ours != fine.argmax(0)).mean() <= 1e-4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (3, 1)])
def test_one_row_or_column_of_logits_fills_the_picture(height: int, width: int) -> None:
    scores = np.zeros((height, width, 3), np.float32)
    scores[:, :, 2] = 1
    for align_corners in (False, True):
        labels = label_map(Logits(scores=scores, align_corners=align_corners), (9, 14))
        assert np.array_equal(labels, np.full((9, 14), 2))


@pytest.mark.parametrize(
    "scores", [np.zeros((3, 4), np.float32), np.zeros((3, 4, 5)), np.zeros((0, 4, 5), np.float32)]
)
def test_logits_of_another_form_are_refused(scores: Any) -> None:
    with pytest.raises(ValueError, match="expected logits of h x w x classes float32"):
        Logits(scores=scores, align_corners=True)


# ---- blending

PALETTE = CITYSCAPES.palette_rgb()


def random_planes(rng: np.random.Generator, size: tuple[int, int], **tags: Any) -> Planar:
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    y, u, v = (rng.integers(0, 256, shape, np.uint8) for shape in (size, half, half))
    return Planar(y=y, u=u, v=v, **tags)


def empty_like(planes: Planar) -> Planar:
    y, u, v = (np.full_like(plane, 77) for plane in (planes.y, planes.u, planes.v))
    return Planar(y=y, u=u, v=v, matrix=planes.matrix, full_range=planes.full_range)


def mean_of_covered(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the up to four pixels below each chroma sample."""
    height, width = values.shape
    counted = np.ones_like(values)
    pad = ((0, height % 2), (0, width % 2))
    values, counted = np.pad(values, pad), np.pad(counted, pad)
    shape = (values.shape[0] // 2, 2, values.shape[1] // 2, 2)
    total: NDArray[np.float64] = values.reshape(shape).sum((1, 3))
    return total / counted.reshape(shape).sum((1, 3))


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (33, 65), (1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.77, 1.0])
def test_planar_blend_is_within_one_of_exact_arithmetic(
    size: tuple[int, int], full_range: bool, matrix: str, alpha: float, rng: np.random.Generator
) -> None:
    planes = random_planes(rng, size, matrix=matrix, full_range=full_range)
    labels = rng.integers(0, 20, size, np.uint8)
    labels[labels == 19] = 255
    out = empty_like(planes)
    blend_planar(planes, labels, PALETTE, alpha, out)
    forward, offset = rgb_to_ycbcr(matrix, full_range)
    color = np.clip(PALETTE @ forward.T + offset, 0, 255)[labels]
    channels = [color[:, :, 0], mean_of_covered(color[:, :, 1]), mean_of_covered(color[:, :, 2])]
    inputs, outputs = (planes.y, planes.u, planes.v), (out.y, out.u, out.v)
    for plane, wanted, got in zip(inputs, channels, outputs, strict=True):
        exact = (1 - alpha) * plane + alpha * wanted
        assert np.abs(got - exact).max() <= 1.0


def test_alpha_zero_leaves_the_frame_and_alpha_one_the_palette(rng: np.random.Generator) -> None:
    planes = random_planes(rng, (34, 47), matrix="bt709", full_range=False)
    labels = rng.integers(0, 11, (34, 47), np.uint8)
    out = empty_like(planes)
    blend_planar(planes, labels, PALETTE, 0.0, out)
    for plane, got in zip((planes.y, planes.u, planes.v), (out.y, out.u, out.v), strict=True):
        assert np.array_equal(plane, got)
    for label in range(len(CITYSCAPES)):
        blend_planar(planes, np.full((34, 47), label, np.uint8), PALETTE, 1.0, out)
        linear, offset = ycbcr_to_rgb("bt709", False)
        color = np.stack([plane.ravel()[:1] for plane in (out.y, out.u, out.v)], 1)
        assert np.ptp(out.y) == np.ptp(out.u) == np.ptp(out.v) == 0
        assert np.abs(color @ linear.T + offset - PALETTE[label]).max() < 3


@pytest.mark.parametrize("primary", [(255, 0, 0), (0, 0, 255), (0, 255, 0)])
def test_pure_colors_do_not_wrap_round_in_full_range(primary: tuple[int, int, int]) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[0] = primary
    planes = Planar(
        y=np.zeros((4, 4), np.uint8),
        u=np.zeros((2, 2), np.uint8),
        v=np.zeros((2, 2), np.uint8),
        matrix="bt601",
        full_range=True,
    )
    out = empty_like(planes)
    blend_planar(planes, np.zeros((4, 4), np.uint8), palette, 1.0, out)
    linear, offset = ycbcr_to_rgb("bt601", True)
    rgb = linear @ [out.y[0, 0], out.u[0, 0], out.v[0, 0]] + offset
    assert np.abs(rgb - primary).max() < 2


def test_planes_with_gaps_between_rows_blend_alike(rng: np.random.Generator) -> None:
    planes = random_planes(rng, (18, 30), matrix="bt601", full_range=False)
    spread = with_gaps(planes)
    assert not spread.y.flags.c_contiguous
    labels = rng.integers(0, 11, (18, 30), np.uint8)
    first, second = empty_like(planes), empty_like(planes)
    blend_planar(planes, labels, PALETTE, 0.5, first)
    blend_planar(spread, labels, PALETTE, 0.5, second)
    assert np.array_equal(first.y, second.y)
    assert np.array_equal(first.u, second.u)
    assert np.array_equal(first.v, second.v)


@pytest.mark.parametrize("order", ["bgr24", "rgb24"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("size", [(5, 7), (32, 48), (1, 1)])
def test_packed_blend_is_within_one_of_exact_arithmetic(
    order: str, alpha: float, size: tuple[int, int], rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    labels = rng.integers(0, 19, size, np.uint8)
    palette = PALETTE if order == "rgb24" else PALETTE[:, ::-1]
    got = blend_packed(pixels, labels, palette, alpha)
    exact = (1 - alpha) * pixels + alpha * palette[labels]
    assert np.abs(got - exact).max() <= 1.0
    if alpha == 0:
        assert np.array_equal(got, pixels)
    if alpha == 1:
        assert np.array_equal(got, palette[labels])
    sliced = np.repeat(pixels, 2, axis=1)[:, ::2]
    assert np.array_equal(blend_packed(sliced, labels, palette, alpha), got)


@pytest.mark.parametrize("color_weight", [0, 1, 77, 100, 127, 128, 200, 255, 256])
def test_packed_blend_is_addweighted_bit_for_bit(color_weight: int) -> None:
    labels, values = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    pixels = np.repeat(values[:, :, None], 3, axis=2)
    palette = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 37)], 1).astype(np.uint8)
    alpha = color_weight / 256
    expected = cv2.addWeighted(pixels, 1 - alpha, palette[labels], alpha, 0)
    assert np.array_equal(
        blend_packed(pixels, np.ascontiguousarray(labels), palette, alpha), expected
    )


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected alpha from 0"):
        fixed_point_alpha(alpha)


# ---- the stage


def inferred(frame: Frame, label: int) -> Inferred:
    scores = np.zeros((2, 2, 11), np.float32)
    scores[:, :, label] = 1
    return Inferred(frame=frame, logits=Logits(scores=scores, align_corners=True), reuse=CARRIED)


def test_painter_draws_what_was_asked_for_and_carries_times_and_tags() -> None:
    frame = gray_frame(7, luma=90, size=(33, 65))
    frame.image.colorspace, frame.image.color_range = 1, 1
    frame.image.color_primaries, frame.image.color_trc = 1, 13
    frame.image.duration = 3
    frame = Frame(
        image=frame.image, pixels=planar_view(frame.image), decoded=frame.image,
        orientation=UPRIGHT, index=7, time_seconds=0.28, captured_seconds=0.0,
    )  # fmt: skip
    painter = Painter(CAMVID, alpha=1.0, overlay=True, color=True)
    (painted,) = painter.process(inferred(frame, 8))
    assert not painter.drain()
    assert painted.frame is frame
    assert painted.reuse is CARRIED
    assert painted.labels.shape == (33, 65)
    assert np.unique(painted.labels).tolist() == [8]
    for drawn in (painted.overlay, painted.color):
        assert isinstance(drawn, av.VideoFrame)
        assert (drawn.pts, drawn.time_base, drawn.duration) == (7, Fraction(1, 25), 3)
        tags = (drawn.colorspace, drawn.color_range, drawn.color_primaries, drawn.color_trc)
        assert tags == (1, 1, 1, 13)
    luma = np.array([0, 0, 200]) @ rgb_to_ycbcr("bt709", False)[0][0] + 16
    assert abs(int(planar_view(painted.overlay).y[0, 0]) - luma) <= 1
    assert frame.pixels.y.min() == frame.pixels.y.max() == 90  # the source's planes are untouched


def test_painter_draws_nothing_unasked() -> None:
    painter = Painter(LabelSet(name="one", class_names=("a",), colors=((1, 2, 3),)), overlay=False)
    (painted,) = painter.process(inferred(gray_frame(0), 0))
    assert painted.overlay is None
    assert painted.color is None


def test_full_range_named_by_its_format_alone_is_tagged() -> None:
    image = av.VideoFrame(16, 16, "yuvj420p")
    image.pts, image.time_base = 0, Fraction(1, 25)
    image.color_range = 0
    frame = Frame(
        image=image, pixels=planar_view(image), decoded=image, orientation=UPRIGHT, index=0,
        time_seconds=0.0, captured_seconds=0.0,
    )  # fmt: skip
    (painted,) = Painter(CAMVID).process(inferred(frame, 0))
    assert painted.overlay is not None
    assert painted.overlay.color_range == 2


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_ten_bits_are_blended_like_eight_but_finer(alpha: float, full_range: bool) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 11, (9, 15), np.uint8)
    eight = planes_of(rng, (9, 15), full_range)
    deep = replace(
        eight, y=eight.y.astype(np.uint16) * 4, u=eight.u.astype(np.uint16) * 4,
        v=eight.v.astype(np.uint16) * 4, bits=10,
    )  # fmt: skip
    out, deep_out = (
        replace(p, y=np.zeros_like(p.y), u=np.zeros_like(p.u), v=np.zeros_like(p.v))
        for p in (eight, deep)
    )
    blend_planar(eight, labels, CAMVID.palette_rgb(), alpha, out)
    blend_planar(deep, labels, CAMVID.palette_rgb(), alpha, deep_out)
    for name in ("y", "u", "v"):
        assert np.abs(getattr(deep_out, name) / 4 - getattr(out, name)).max() <= 0.75
    if alpha == 0:
        assert np.array_equal(deep_out.y, deep.y)


def planes_of(rng: np.random.Generator, size: tuple[int, int], full_range: bool) -> Planar:
    half = tuple((side + 1) // 2 for side in size)
    y, u, v = (rng.integers(20, 230, shape, np.uint8) for shape in (size, half, half))
    return Planar(y=y, u=u, v=v, matrix="bt709", full_range=full_range)


def test_a_turned_frame_has_upright_labels_and_a_stored_overlay() -> None:
    stored = gray_frame(0, size=(4, 6)).image
    planar_view(stored).y[:, :3] = 30  # the left half is dark
    orientation = Orientation(transposed=True, flipped=True)  # shown turned counter-clockwise
    image = Converter().seen(stored, orientation)
    frame = Frame(
        image=image, pixels=planar_view(image), decoded=stored, orientation=orientation, index=0,
        time_seconds=0.0, captured_seconds=0.0,
    )  # fmt: skip
    engine = FakeEngine()
    logits = engine.infer(engine.prepare(frame.pixels))
    (painted,) = Painter(CAMVID, alpha=1.0).process(Inferred(frame=frame, logits=logits))
    assert painted.labels.shape == (6, 4)
    assert np.array_equal(painted.labels, label_of_luma(planar_view(image).y))
    assert (painted.labels[:3] != painted.labels[3:]).all()
    assert painted.overlay is not None
    overlay = planar_view(painted.overlay)
    assert overlay.size == (4, 6)
    assert (overlay.y[:, :3] != overlay.y[:, 3:]).all()
    assert np.unique(overlay.y[:, :3]).size == np.unique(overlay.y[:, 3:]).size == 1
