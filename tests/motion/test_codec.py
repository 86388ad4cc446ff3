"""Vectors that real encoders make of known motions."""

from pathlib import Path

import av
import numpy as np
import pytest
from moving import X264_PYRAMID, Luma, pan, texture, write_luma
from numpy.typing import NDArray

from streamseg.frames import CodecMotion
from streamseg.motion.codec import CodecSteps
from streamseg.motion.vectors import VECTOR
from streamseg.picture.orientation import UPRIGHT
from streamseg.reading.open_source import open_source

MARGIN = 3
"""Cells at the border: what comes from outside has no motion."""


def pictures(path: Path) -> list[CodecMotion]:
    """What came with each picture."""
    source = open_source(path, motion_vectors=True)
    motions = [frame.motion for frame in source]
    source.close()
    assert all(motions)
    return [motion for motion in motions if motion]


def steps(
    motions: list[CodecMotion], size: tuple[int, int]
) -> list[tuple[NDArray[np.float32], float, float]]:
    """From the second picture on."""
    codec = CodecSteps()
    before = motions[0]
    found = []
    for motion in motions[1:]:
        found.append(codec.step(motion, before.luma, size, UPRIGHT))
        before = motion
    return found


def wrong(field: NDArray[np.float32], step: tuple[int, int]) -> float:
    """Share of the inner cells that are more than a quarter of a pixel off."""
    inside = field[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return float((np.abs(inside - np.float32(step)).max(2) > 0.25).mean())


CODECS: dict[str, tuple[str, dict[str, str], bool]] = {
    "h264 with B-pictures.mkv": ("libx264", X264_PYRAMID, True),
    "h264 with many B-pictures.mkv": (
        "libx264",
        {"x264-params": "bframes=7:b-adapt=0:crf=12"},
        True,
    ),
    "h264 as it comes.mkv": ("libx264", {"crf": "18"}, True),
    "h264 fields.mkv": ("libx264", {"crf": "18", "x264-params": "interlaced=1"}, True),
    "h264 low delay.mkv": ("libx264", {"crf": "18", "tune": "zerolatency"}, False),
    "h264 references.mkv": ("libx264", {"crf": "18", "x264-params": "bframes=0:ref=3"}, False),
    "mpeg2.mkv": ("mpeg2video", {"b": "8M", "bf": "2", "g": "100"}, True),
    "mpeg1.mkv": ("mpeg1video", {"b": "8M", "g": "100"}, False),
    "mpeg4.mkv": ("mpeg4", {"b": "8M", "g": "100"}, False),
    "h263.mov": ("h263", {"b": "8M", "g": "100"}, False),
    "h261.avi": ("h261", {"b": "8M", "g": "100"}, False),
    "flv.flv": ("flv", {"b": "8M", "g": "100"}, False),
    "wmv1.avi": ("wmv1", {"b": "8M", "g": "100"}, False),
    "wmv2.avi": ("wmv2", {"b": "8M", "g": "100"}, False),
    "msmpeg4v2.avi": ("msmpeg4v2", {"b": "8M", "g": "100"}, False),
    "msmpeg4.avi": ("msmpeg4", {"b": "8M", "g": "100"}, False),
    "rv10.rm": ("rv10", {"b": "8M", "g": "100"}, False),
    "rv20.rm": ("rv20", {"b": "8M", "g": "100"}, False),
}
"""The encoder, its options, and whether it makes B-pictures of them."""


@pytest.mark.parametrize("name", CODECS)
def test_every_picture_moves_by_the_step_of_the_pan(name: str, tmp_path: Path) -> None:
    codec, options, with_b = CODECS[name]
    step, size = (4, -2), (144, 176)
    motions = pictures(write_luma(tmp_path / name, pan(16, step, size), codec, options))
    kinds = "".join(motion.kind for motion in motions)
    assert kinds[0] == "I" and ("B" in kinds) == with_b
    found = steps(motions, size)
    assert max(wrong(field, step) for field, _, _ in found) < 0.1, kinds
    assert max(residual for _, _, residual in found) < 4


def test_b_pictures_of_mpeg4_move_as_the_pictures_before(tmp_path: Path) -> None:
    """FFmpeg gives zeros for most of their blocks, which are coded relative to another picture's."""
    options = {"b": "8M", "bf": "2", "g": "100"}
    motions = pictures(write_luma(tmp_path / "a.avi", pan(16, (4, -2)), "mpeg4", options))
    assert {motion.kind for motion in motions[1:]} == {"P", "B"}
    first_p = next(i for i, motion in enumerate(motions) if motion.kind == "P")
    for field, _, _ in steps(motions, (96, 160))[first_p:]:
        assert wrong(field, (4, -2)) < 0.2


def test_what_moves_apart_is_told_apart(tmp_path: Path) -> None:
    left, right = pan(14, (3, 0), (96, 80), seed=1), pan(14, (-2, 2), (96, 80), seed=2)
    halves = [np.hstack(pair) for pair in zip(left, right, strict=True)]
    path = write_luma(tmp_path / "two.mkv", halves, options=X264_PYRAMID)
    for field, _, _ in steps(pictures(path), (96, 160)):
        assert wrong(field[:, :10], (3, 0)) < 0.15
        assert wrong(field[:, 10:], (-2, 2)) < 0.15


def test_cells_without_vectors_move_with_their_neighbours(tmp_path: Path) -> None:
    pictures_of_pan = pan(8, (4, 0))
    for index, picture in enumerate(pictures_of_pan):
        picture[32:64, 48:96] = texture((32, 48), seed=100 + index)  # nothing it could come from
    path = write_luma(tmp_path / "a.mkv", pictures_of_pan, options={"crf": "18", "bf": "0"})
    for field, unknown, _ in steps(pictures(path), (96, 160)):
        assert np.isfinite(field).all()
        assert 0.02 < unknown < 0.5
        around = np.concatenate([field[3, 3:-3], field[-3, 3:-3]])
        assert np.abs(around - [4, 0]).max() <= 0.25


def test_a_picture_without_vectors_moves_on_as_the_one_before(tmp_path: Path) -> None:
    options = {"crf": "12", "x264-params": "keyint=6:min-keyint=6:scenecut=0:bframes=0"}
    path = write_luma(tmp_path / "a.mkv", pan(14, (3, 1)), options=options)
    motions = pictures(path)
    assert [i for i, motion in enumerate(motions) if motion.vectors is None] == [0, 6, 12]
    found = steps(motions, (96, 160))
    assert [unknown == 1 for _, unknown, _ in found] == [i in (6, 12) for i in range(1, 14)]
    assert max(wrong(field, (3, 1)) for field, _, _ in found) < 0.05


@pytest.mark.parametrize("size", [(90, 150), (34, 50), (16, 16)])
def test_sizes_that_are_no_multiples_of_blocks(size: tuple[int, int], tmp_path: Path) -> None:
    path = write_luma(tmp_path / "a.mkv", pan(6, (2, 2), size), options={"crf": "10"})
    for field, _, _ in steps(pictures(path), size):
        assert field.shape == (-(-size[0] // 8), -(-size[1] // 8), 2)
        assert np.median(np.abs(field - [2, 2])) <= 0.25


def test_ffmpeg_says_where_a_block_came_from_counted_from_its_middle(tmp_path: Path) -> None:
    """What all of this is built on."""
    still: list[Luma] = [texture((64, 64), seed=3).copy() for _ in range(3)]
    patch = texture((16, 16), seed=4, grain=1.5)
    for index, picture in enumerate(still):
        picture[16:32, 16 + 8 * index : 32 + 8 * index] = patch
    path = write_luma(tmp_path / "a.mkv", still, options={"crf": "5", "bf": "0", "refs": "1"})
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"flags2": "+export_mvs"}
        frames = list(container.decode(video=0))
    vectors = frames[2].side_data.get("MOTION_VECTORS").to_ndarray()
    assert vectors.dtype == VECTOR
    scale = vectors["motion_scale"].astype(int)
    moved = vectors[(vectors["motion_x"] == -8 * scale) & (vectors["motion_y"] == 0)]
    left, top = moved["dst_x"] - moved["w"] // 2, moved["dst_y"] - moved["h"] // 2
    assert len(moved)
    assert ((left >= 32) & (left < 48) & (top >= 16) & (top < 32)).all()
    assert (moved["src_x"] - moved["dst_x"] == -8).all()
    assert (moved["source"] == -1).all()
