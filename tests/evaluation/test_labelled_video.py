from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from camvid_writer import street, write_camvid
from media import picture
from numpy.typing import NDArray

from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import DataError, SinkError
from streamseg.evaluation.labelled_video import (
    CAMVID_RATE,
    Recipe,
    encode_images,
    encode_split,
    even,
    render_labelled,
    video_of_split,
)
from streamseg.labels import IGNORE
from streamseg.reading.open_source import open_source
from streamseg.result import to_bgr
from streamseg.sample import render_street


def smooth(count: int, size: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    """BGR."""
    return [np.ascontiguousarray(picture(index, size)[:, :, ::-1]) for index in range(count)]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def seen(path: Path) -> list[NDArray[np.uint8]]:
    """What the pipeline makes of it: BGR."""
    source = open_source(path)
    try:
        return [to_bgr(frame.image) for frame in source]
    finally:
        source.close()


@pytest.fixture
def camvid(tmp_path: Path) -> LabelledImages:
    """Five images, 48 x 64."""
    write_camvid(tmp_path / "camvid", "val", [street(seed) for seed in range(5)])
    return open_dataset(tmp_path / "camvid", "val")


@pytest.mark.parametrize("rate", [15, Fraction(30000, 1001)])
def test_images_are_shown_at_exact_times(tmp_path: Path, rate: int | Fraction) -> None:
    path = tmp_path / "v.mp4"
    assert encode_images(smooth(5), path, rate=rate) == 5
    times = [frame.pts * frame.time_base for frame in decoded(path)]
    assert times == [index / Fraction(rate) for index in range(5)]


def test_colors_come_back_as_they_were(tmp_path: Path) -> None:
    """BT.709 taken for BT.601 would move these by up to 20."""
    colors = [(30, 40, 200), (200, 60, 30), (40, 180, 60), (20, 20, 20), (235, 240, 230)]
    images = [np.full((48, 64, 3), color, np.uint8) for color in colors]
    encode_images(images, tmp_path / "v.mp4")
    for image, back in zip(images, seen(tmp_path / "v.mp4"), strict=True):
        assert np.abs(back.astype(int) - image).max() <= 1


def test_colors_are_tagged(tmp_path: Path) -> None:
    encode_images(smooth(1), tmp_path / "v.mp4")
    (frame,) = decoded(tmp_path / "v.mp4")
    assert (frame.colorspace, frame.color_range) == (5, 1)  # BT.601, limited
    assert (frame.color_primaries, frame.color_trc) == (6, 6)


def test_a_camera_predicts_each_picture_from_the_one_before(tmp_path: Path) -> None:
    encode_images(smooth(255, (16, 16)), tmp_path / "v.mp4", recipe="camera")
    kinds = [frame.pict_type for frame in decoded(tmp_path / "v.mp4")]
    assert [index for index, kind in enumerate(kinds) if kind == PictureType.I] == [0, 250]
    assert {kind for kind in kinds if kind != PictureType.I} == {PictureType.P}


def test_the_default_of_x264_predicts_from_both_sides(tmp_path: Path) -> None:
    encode_images(smooth(8), tmp_path / "v.mp4", recipe="default")
    frames = decoded(tmp_path / "v.mp4")
    assert PictureType.B in {frame.pict_type for frame in frames}
    assert [frame.pts * frame.time_base for frame in frames] == [
        index / CAMVID_RATE for index in range(8)
    ]


@pytest.mark.parametrize("recipe", ["camera", "default"])
def test_a_file_comes_out_the_same_again(tmp_path: Path, recipe: Recipe) -> None:
    paths = tmp_path / "a.mp4", tmp_path / "b.mp4"
    for path in paths:
        encode_images(smooth(6), path, recipe=recipe)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_odd_sides_get_one_more_pixel_of_what_is_there(tmp_path: Path) -> None:
    (image,) = smooth(1, (47, 63))
    encode_images([image], tmp_path / "v.mp4")
    (back,) = seen(tmp_path / "v.mp4")
    assert back.shape == (48, 64, 3)
    larger = even(image)
    np.testing.assert_array_equal(larger[:47, :63], image)
    np.testing.assert_array_equal(larger[47], larger[46])
    np.testing.assert_array_equal(larger[:, 63], larger[:, 62])
    assert even(larger) is larger


def test_nothing_to_encode_or_nowhere_to_write_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least one image"):
        encode_images([], tmp_path / "v.mp4")
    with pytest.raises(ValueError, match="expected a recipe of camera, default, got 'phone'"):
        encode_images(smooth(1), tmp_path / "v.mp4", recipe="phone")  # type: ignore[arg-type]
    with pytest.raises(SinkError, match=r"cannot write .*v\.mp4"):
        encode_images(smooth(1), tmp_path / "no" / "v.mp4")


def test_a_split_becomes_a_video_with_its_truth(camvid: LabelledImages, tmp_path: Path) -> None:
    video = encode_split(camvid, tmp_path / "v.mp4")
    assert (video.dataset, video.split, video.recipe) == ("camvid", "val", "camera")
    assert video.labels is camvid.labels
    assert len(video) == len(decoded(video.path)) == 5
    for index, labels in enumerate(video.truth):
        np.testing.assert_array_equal(labels, camvid.load(index)[1])


def test_a_split_may_be_cut_short(camvid: LabelledImages, tmp_path: Path) -> None:
    assert len(decoded(encode_split(camvid, tmp_path / "v.mp4", limit=2).path)) == 2
    with pytest.raises(ValueError, match="at least one image"):
        encode_split(camvid, tmp_path / "v.mp4", limit=0)


def test_truth_of_odd_images_leaves_the_added_pixels_out(tmp_path: Path) -> None:
    write_camvid(tmp_path, "val", [street(0, height=47, width=63)])
    dataset = open_dataset(tmp_path, "val")
    for video in (
        encode_split(dataset, tmp_path / "v.mp4"),
        video_of_split(dataset, tmp_path / "v.mp4"),
    ):
        (truth,) = video.truth
        assert truth.shape == (48, 64)
        assert (truth[47] == IGNORE).all()
        assert (truth[:, 63] == IGNORE).all()


def test_images_of_several_sizes_make_no_video(tmp_path: Path) -> None:
    write_camvid(tmp_path, "val", [street(0), street(1, height=40)])
    with pytest.raises(
        DataError, match=r"images of one size .* camvid val; frame_00.\.png differs"
    ):
        encode_split(open_dataset(tmp_path, "val"), tmp_path / "v.mp4")


def test_a_given_video_takes_the_splits_truth(camvid: LabelledImages) -> None:
    video = video_of_split(camvid, Path("given.mp4"))
    assert video.recipe is None
    np.testing.assert_array_equal(video.truth[4], camvid.load(4)[1])


def test_a_rendered_video_has_exact_truth(tmp_path: Path) -> None:
    video = render_labelled(tmp_path, seconds=0.2, size=(64, 96), fps=15, seed=7)
    rendered = list(render_street(seconds=0.2, size=(64, 96), fps=15, seed=7))
    assert len(video) == len(decoded(video.path)) == 3
    for truth, frame in zip(video.truth, rendered, strict=True):
        np.testing.assert_array_equal(truth, frame.labels)


def test_flow_is_computed_once(camvid: LabelledImages, tmp_path: Path) -> None:
    video = encode_split(camvid, tmp_path / "v.mp4")
    targets = video.flow_targets(5)
    video.path.unlink()
    assert [target.shape for target in targets] == [(48, 64)] * 4
    assert video.flow_targets(3) == targets[:2]
    assert video.flow_targets(1) == []
