"""Blending with rows of colours against a look-up for every pixel."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.stream.blend import blend_chroma, blend_samples, in_memory

WIDTHS = [1, 2, 7, 8, 9, 31, 32, 33, 64, 100]
DEPTHS = [(8, np.uint8, np.uint16), (10, np.uint16, np.uint32)]


def half_to_even(total: NDArray[Any]) -> NDArray[Any]:
    """As numpy rounds; steps of 1/256 are exact in float64."""
    rounded: NDArray[Any] = np.rint(total / 256)
    return rounded


def streaks(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels that mostly stay from row to row; some rows and some pixels alone change."""
    labels = np.repeat(rng.integers(0, 11, ((size[0] + 4) // 5, size[1])), 5, axis=0)[: size[0]]
    alone = rng.random(size) < 0.02
    labels[alone] = 255
    return np.ascontiguousarray(labels, np.uint8)


@pytest.mark.parametrize("keep", [0, 1, 128, 179, 256])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("bits", "sample", "weighted"), DEPTHS)
def test_samples_are_blended_with_their_pixels_colors(
    width: int, channels: int, keep: int, bits: int, sample: Any, weighted: Any,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    labels = streaks(rng, (23, width))
    plane = rng.integers(0, 1 << bits, (23, width * channels)).astype(sample)
    colors = (rng.integers(0, 1 << bits, (256, channels)) * (256 - keep)).astype(weighted)
    out = np.full_like(plane, 77)
    blend_samples(in_memory(plane), labels, keep, colors, in_memory(out, writeable=True))
    wanted = colors[labels].reshape(plane.shape).astype(np.int64)
    assert np.array_equal(out, half_to_even(plane.astype(np.int64) * keep + wanted))


@pytest.mark.parametrize("keep", [0, 128, 179, 256])
@pytest.mark.parametrize("height", [1, 2, 22, 23])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("bits", "sample", "weighted"), DEPTHS)
def test_chroma_is_blended_with_the_mean_of_its_pixels_colors(
    width: int, height: int, keep: int, bits: int, sample: Any, weighted: Any,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    labels = streaks(rng, (height, width))
    half = (height + 1) // 2, (width + 1) // 2
    u, v = rng.integers(0, 1 << bits, (2, *half)).astype(sample)
    colors = (rng.integers(0, 1 << bits, (256, 2)) * (256 - keep)).astype(weighted)
    out = np.full((2, *half), 77, sample)
    out_u, out_v = (in_memory(plane, writeable=True) for plane in out)
    blend_chroma(in_memory(u), in_memory(v), labels, keep, colors, out_u, out_v)
    whole = np.pad(labels, ((0, height % 2), (0, width % 2)), "edge")
    four = colors[whole].astype(np.int64).reshape(half[0], 2, half[1], 2, 2)
    means = four.sum((1, 3)) >> 2
    for channel, plane in enumerate((u, v)):
        total = plane.astype(np.int64) * keep + means[:, :, channel]
        assert np.array_equal(out[channel], half_to_even(total))


def test_gaps_between_rows_are_kept_as_they_were() -> None:
    wide = np.full((4, 12), 7, np.uint8)
    plane, out = np.zeros((4, 9), np.uint8), wide[:, :9]
    memory, step = in_memory(out, writeable=True)
    assert (memory.shape, step) == ((3 * 12 + 9,), 12)
    colors = np.full((256, 1), 256 * 5, np.uint16)
    blend_samples(in_memory(plane), np.zeros((4, 9), np.uint8), 0, colors, (memory, step))
    assert (out == 5).all()
    assert (wide[:, 9:] == 7).all()


def test_planes_are_views_in_one_form() -> None:
    plane = np.zeros((4, 9), np.uint16)
    memory, step = in_memory(plane)
    assert (memory.shape, step) == ((36,), 9)
    assert np.shares_memory(memory, plane)
    assert not memory.flags.writeable
    assert in_memory(plane, writeable=True)[0].flags.writeable


@pytest.mark.parametrize("cut", [np.s_[:, ::2], np.s_[::-1], np.s_[:, ::-1]])
def test_planes_in_pieces_are_refused(cut: Any) -> None:
    with pytest.raises(ValueError, match="expected a plane whose rows are whole in memory"):
        in_memory(np.zeros((4, 8), np.uint8)[cut])
