"""The GPU's painter against the CPU's, to the bit: run by Triton's interpreter where there is no GPU."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from pictures import planar, touching

from streamseg.frames import Drawing, Logits
from streamseg.labels import CAMVID
from streamseg.picture.pixels import Planar
from streamseg.stream.paint import blend_of, blend_planar, label_map

if find_spec("triton") is None:
    pytest.skip("needs triton, which comes with torch for CUDA", allow_module_level=True)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are made

from streamseg.engine.triton_paint import TritonPainter, planar_bytes

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PALETTE = CAMVID.palette_rgb()


@pytest.fixture(autouse=True, scope="module")
def interpreted() -> Iterator[None]:
    yield
    os.environ.pop("TRITON_INTERPRET", None)


def scores(rows: int, columns: int, classes: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns, classes)).astype(np.float32)


def there(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).to(DEVICE)


def flat(planes: Planar) -> np.ndarray:
    return np.concatenate([plane.reshape(-1) for plane in (planes.y, planes.u, planes.v)])


def agree(found: np.ndarray, expected: np.ndarray) -> None:
    """On a GPU products and sums are rounded once, so that equals may part."""
    if DEVICE.type == "cpu":
        np.testing.assert_array_equal(found, expected)
    else:
        assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("grid", "size"),
    [((5, 7), (33, 49)), ((4, 6), (16, 24)), ((1, 6), (9, 21)), ((6, 1), (8, 3)), ((9, 11), (9, 11))],
)  # fmt: skip
def test_labels_are_the_cpu_painters(grid, size, align_corners):
    painter = TritonPainter(size, align_corners, Drawing(), DEVICE)
    both = np.stack([scores(*grid, seed=seed) for seed in (0, 1)])
    out = painter(there(both).permute(0, 3, 1, 2), None).cpu().numpy()
    assert out.shape == (2, size[0] * size[1])
    for picture, labels in zip(both, out, strict=True):
        expected = label_map(Logits(scores=picture, align_corners=align_corners), size)
        agree(labels.reshape(size), expected)


def test_the_first_of_equals_wins():
    painter = TritonPainter((4, 4), True, Drawing(), DEVICE)
    equal = torch.ones(1, 3, 2, 2, device=DEVICE)
    assert painter(equal, None).unique().tolist() == [0]


def test_half_precision_logits_are_interpolated_in_float32():
    values = scores(5, 7)[None].astype(np.float16)
    painter = TritonPainter((33, 49), True, Drawing(), DEVICE)
    out = painter(there(values).permute(0, 3, 1, 2), None).cpu().numpy()
    logits = Logits(scores=values[0].astype(np.float32), align_corners=True)
    agree(out.reshape(33, 49), label_map(logits, (33, 49)))


@pytest.mark.parametrize("size", [(16, 24), (15, 23), (1, 1)])
@pytest.mark.parametrize(("matrix", "full_range"), [("bt601", False), ("bt709", True)])
def test_drawings_are_the_cpu_painters(size, matrix, full_range):
    pictures = [touching(planar(*size, matrix, full_range, seed=seed)) for seed in (3, 4)]
    overlay, color = (blend_of(PALETTE, alpha, matrix, full_range) for alpha in (0.3, 1.0))
    painter = TritonPainter(size, True, Drawing(overlay=overlay, color=color), DEVICE)
    both = np.stack([scores(4, 5, classes=11, seed=seed) for seed in (0, 1)])
    planes = there(np.stack([flat(picture) for picture in pictures]))
    out = painter(there(both).permute(0, 3, 1, 2), planes).cpu().numpy()
    pixels, samples = size[0] * size[1], planar_bytes(size)
    assert out.shape == (2, pixels + 2 * samples)
    for picture, found in zip(pictures, out, strict=True):
        labels = np.ascontiguousarray(found[:pixels].reshape(size))
        for index, alpha in enumerate((0.3, 1.0)):
            drawn = touching(planar(*size, matrix, full_range, seed=9))
            blend_planar(picture, labels, PALETTE, alpha, drawn)
            start = pixels + index * samples
            np.testing.assert_array_equal(found[start : start + samples], flat(drawn))
