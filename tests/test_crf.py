"""`crf=` from a picture or file to its results, with the shipped network."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from camvid_writer import street
from model_files import write_model
from proposal_models import write_deconvnet

import streamseg
from streamseg.picture.pixels import Packed
from streamseg.sample import write_sample
from streamseg.segmenter import Segmenter
from streamseg.stream.certainty import certainty_map

pytestmark = pytest.mark.slow

FRAMES = 4


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    with streamseg.load(
        precision="fp32", device="cpu", size=(97, 129), crf="iterations=3"
    ) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drive") / "drive.mp4"
    write_sample(path, seconds=FRAMES / 15, size=(96, 128), fps=15, seed=0)
    return path


def test_a_real_frames_labels_gather_along_its_edges(camvid_dir, segmenter):
    """Labels change, though few of them, and fewer pixels differ from their neighbours in label but not in colour."""
    path = sorted((camvid_dir / "val").glob("*.png"))[0]
    image = np.asarray(cv2.resize(cv2.imread(str(path)), (128, 96)), np.uint8)
    with streamseg.load(precision="fp32", device="cpu", size=(97, 129)) as plain:
        before = plain(image).labels
    after = segmenter(image).labels
    assert (after.shape, after.dtype) == ((96, 128), np.uint8)
    assert 0.001 < (after != before).mean() < 0.2
    alike = np.abs(np.diff(image.astype(int), axis=1)).max(2) < 5

    def torn(labels: np.ndarray) -> float:
        return float((np.diff(labels.astype(int), axis=1) != 0)[alike].mean())

    assert torn(after) < torn(before)


def test_logits_are_of_the_pictures_size_and_tell_how_sure_it_is(segmenter):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    logits = segmenter.logits(Packed(pixels=image))
    assert logits.scores.shape == (40, 60, 11)
    labels = segmenter(image).labels
    np.testing.assert_array_equal(labels, logits.scores.argmax(2))
    np.testing.assert_allclose(
        certainty_map(logits, labels), np.exp(logits.scores.max(2)), atol=1e-4
    )


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_frames_between_segmentation_keyframes_are_refined_too(segmenter, drive, policy):
    stream = segmenter.stream(drive, keyframe="fixed:3", policy=policy)
    results = list(stream)
    report = stream.report()
    assert report["model"].startswith("icnet-camvid + CRF gaussian=3:3,")
    assert report["frames"]["written"] == len(results) > 0
    assert results[0].is_keyframe
    if policy == "every":
        assert [result.feature_age for result in results] == [0, 1, 2, 0]
        assert all(len(set(result.labels.ravel().tolist())) > 2 for result in results)


def test_parameters_are_refused_before_a_model_is_loaded():
    with pytest.raises(ValueError, match="expected --crf"):
        streamseg.load("no such model", crf="drive.mp4")


@pytest.mark.slow
def test_an_ensemble_with_proposals_is_refined_as_a_whole(tmp_path: Path) -> None:
    """EDeconvNet + CRF, as the DeconvNet paper ends."""
    deconvnet = write_deconvnet(tmp_path / "deconvnet.safetensors")
    fcn = write_model(tmp_path / "fcn8s.safetensors", "fcn8s")
    asked = {"ensemble": [fcn], "proposals": "windows:2", "precision": "fp32", "device": "cpu"}
    image = cv2.resize(street(0)[0], (64, 48))
    with streamseg.load(deconvnet, **asked) as plain:  # type: ignore[arg-type]
        before = plain(image).labels
    with streamseg.load(deconvnet, crf="iterations=2", **asked) as refined:  # type: ignore[arg-type]
        after = refined(image).labels
        assert refined.card.name.startswith("deconvnet + tiny by mean + CRF")
        logits = refined.logits(Packed(pixels=image))
        assert refined.info.fallbacks == plain.info.fallbacks
    np.testing.assert_allclose(np.exp(logits.scores).sum(2), 1, atol=1e-3)
    assert 0 < (before != after).mean() < 0.9
