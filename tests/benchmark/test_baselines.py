import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.benchmark.baselines import (
    Script,
    baseline_networks,
    blended,
    loop_people_write,
    plain_openvino,
    plain_torch,
    resized_argmax,
    supervision_video,
)
from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard
from streamseg.models.find import find_model

RGB = ModelCard(
    name="rgb",
    architecture="onnx",
    labels=CAMVID,
    input=InputSpec(size=(2, 4), color="rgb", mean=(1, 2, 3), std=(2, 4, 8)),
)


def brightest(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two classes: the left half of the picture, and the right half."""
    height, width = x.shape[2:]
    left = np.repeat(np.arange(width) < width // 2, height).reshape(width, height).T
    return np.stack([left, ~left]).astype(np.float32)


def test_the_network_gets_normalised_channels_in_its_own_order() -> None:
    frame = np.zeros((2, 4, 3), np.uint8)
    frame[...] = (10, 20, 30)  # blue, green, red
    x = Script(brightest, RGB, (2, 4)).network_input(frame)
    assert x.shape == (1, 3, 2, 4)
    assert x.dtype == np.float32
    assert x[0, :, 0, 0].tolist() == [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8]


def test_another_network_size_resizes_the_frame_and_the_labels_back() -> None:
    seen: list[tuple[int, ...]] = []

    def network(x: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(x.shape)
        return brightest(x)

    labels = Script(network, RGB, (2, 4)).labels(np.zeros((6, 8, 3), np.uint8))
    assert seen == [(1, 3, 2, 4)]
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 6


def test_the_overlay_is_half_frame_half_colour() -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[1] = (200, 100, 0)
    frame = np.full((1, 2, 3), 100, np.uint8)
    overlay = blended(frame, np.array([[0, 1]], np.uint8), palette)
    assert overlay.tolist() == [[[50, 50, 50], [150, 100, 50]]]


def test_scores_are_interpolated_before_the_greatest_is_taken() -> None:
    scores = np.array([[[4.0, 0.0]], [[1.0, 1.0]]], np.float32)
    # Half-pixel centres, 2 to 4 pixels: class 0 falls through 4, 3, 1, 0.
    assert resized_argmax(scores, (1, 4)).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("run", [loop_people_write, supervision_video])
def test_a_first_frame_is_not_timed(clip: Path, tmp_path: Path, run: object) -> None:
    if run is supervision_video:
        pytest.importorskip("supervision")
    frames: list[NDArray[np.uint8]] = []
    out = tmp_path / "out.mp4"

    def annotate(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frames.append(frame)
        return frame

    assert run(clip, out, annotate, 2) > 0  # type: ignore[operator]
    assert len(frames) == 3
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 3


def test_supervision_is_imported_by_who_runs_it() -> None:
    import subprocess

    code = "import sys, streamseg.benchmark.run; print('supervision' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"


@pytest.mark.slow
def test_the_published_network_is_the_same_on_both_backends() -> None:
    model = find_model("icnet-camvid")
    x = np.random.default_rng(0).normal(0, 50, (1, 3, 65, 97)).astype(np.float32)
    ours, theirs = plain_torch(model)(x), plain_openvino(model, (65, 97), "fp32")(x)
    assert ours.shape == theirs.shape == (11, 17, 25)
    np.testing.assert_allclose(theirs, ours, atol=1e-2)


def test_the_loop_runs_torch_and_supervision_openvino() -> None:
    networks = baseline_networks()
    assert networks["loop"] == ("torch", "fp32")
    assert networks["supervision"][0] == "openvino"
