"""The rendered street: exact truth, the same by seed, and a file that says what it holds."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamseg.errors import SinkError
from streamseg.labels import CAMVID
from streamseg.sample import SampleFrame, render_street, write_sample

SMALL = (96, 128)
WRITTEN = {"seconds": 0.2, "size": SMALL, "fps": Fraction(30000, 1001), "seed": 3}


@pytest.fixture(scope="module")
def second() -> list[SampleFrame]:
    return list(render_street(seconds=1, size=SMALL, fps=10, seed=3))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "clip.mp4", labels_dir=folder / "labels", **WRITTEN)
    return folder


def limited_luma(image: NDArray[np.uint8], red: float, blue: float) -> NDArray[np.float64]:
    """Luma in 16..235 by the definition of the matrix that has these weights."""
    b, g, r = np.moveaxis(image.astype(np.float64) / 255, 2, 0)
    return 16 + 219 * (red * r + (1 - red - blue) * g + blue * b)


def test_same_seed_renders_the_same_bytes(second: list[SampleFrame]) -> None:
    again = list(render_street(seconds=1, size=SMALL, fps=10, seed=3))
    assert len(again) == len(second) == 10
    for one, other in zip(second, again, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.labels.tobytes() == other.labels.tobytes()


def test_other_seed_renders_another_street(second: list[SampleFrame]) -> None:
    other = next(render_street(size=SMALL, seed=4))
    assert np.mean(other.labels != second[0].labels) > 0.05


def test_frame_rate_does_not_change_the_street(second: list[SampleFrame]) -> None:
    slower = list(render_street(seconds=1, size=SMALL, fps=5, seed=3))
    for one, other in zip(second[::2], slower, strict=True):
        assert one.time_seconds == other.time_seconds
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_is_seen(seed: int) -> None:
    counts = np.zeros(256, np.int64)
    for frame in render_street(seconds=4, size=(180, 240), fps=2, seed=seed):
        counts += np.bincount(frame.labels.ravel(), minlength=256)
    missing = [name for i, name in enumerate(CAMVID.class_names) if counts[i] < 50]
    assert not missing
    assert counts[: len(CAMVID)].sum() == 8 * 180 * 240


def test_frames_have_the_size_that_was_asked_for(second: list[SampleFrame]) -> None:
    for index, frame in enumerate(second):
        assert (frame.image.shape, frame.image.dtype) == ((*SMALL, 3), np.uint8)
        assert (frame.labels.shape, frame.labels.dtype) == (SMALL, np.uint8)
        assert frame.image.flags.c_contiguous
        assert frame.labels.flags.c_contiguous
        assert frame.time_seconds == index / 10


def test_portrait_ground_reaches_the_bottom() -> None:
    frame = next(render_street(size=(256, 64)))
    assert set(np.unique(frame.labels[-20:])) <= {3, 4, 8}
    assert frame.image[-20:].std() > 1


def test_street_moves_smoothly() -> None:
    frames = list(render_street(seconds=0.3, size=SMALL, fps=30, seed=3))
    for before, after in pairwise(frames):
        noise = 3.0  # sensor noise alone changes a pixel by about 1.8
        moved = np.abs(after.image.astype(int) - before.image).max(axis=2) > 3 * noise
        assert moved.mean() > 0.01
        assert np.mean(before.labels == after.labels) > 0.9


def test_label_edges_are_image_edges(second: list[SampleFrame]) -> None:
    image, labels = second[0].image.astype(int), second[0].labels
    change = np.abs(np.diff(image, axis=1)).max(axis=2)
    roofline = ((labels[:, 1:] == 0) != (labels[:, :-1] == 0)) & (np.arange(len(labels)) < 25)[
        :, None
    ]
    assert np.median(change[roofline]) > 3 * np.median(change[~roofline])


def test_written_file_has_exact_times_and_colour_tags(written: Path) -> None:
    with av.open(str(written / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == WRITTEN["fps"]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = list(container.decode(stream))
    assert [f.pts * f.time_base for f in frames] == [i / WRITTEN["fps"] for i in range(6)]
    for frame in frames:
        tags = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
        assert tags == (1, 1, 1, 1)  # BT.709, limited range


def test_written_pixels_follow_the_tagged_matrix(written: Path) -> None:
    agreement, difference = 0.0, 0.0
    with av.open(str(written / "clip.mp4")) as container:
        for frame, truth in zip(container.decode(video=0), render_street(**WRITTEN), strict=True):
            # Blurred, to leave out the grain that the encoder drops.
            image = cv2.blur(truth.image, (5, 5))
            decoded = cv2.blur(frame.to_ndarray(format="bgr24"), (5, 5))
            assert np.abs(decoded.astype(int) - image).mean() < 2.5
            bt709, bt601 = limited_luma(image, 0.2126, 0.0722), limited_luma(image, 0.299, 0.114)
            luma = cv2.blur(frame.to_ndarray()[: SMALL[0]], (5, 5))
            agreement += ((luma - bt601) * (bt709 - bt601)).sum()
            difference += ((bt709 - bt601) ** 2).sum()
    # 1 for pixels converted with BT.709, 0 for BT.601.
    assert agreement / difference == pytest.approx(1, abs=0.3)


def test_written_labels_read_back_equal(written: Path) -> None:
    files = sorted((written / "labels").iterdir())
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(6)]
    for file, truth in zip(files, render_street(**WRITTEN), strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), truth.labels)


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = tmp_path / "clip.mp4"
    count = write_sample(
        path, seconds=0.1, size=(64, 64), progress=lambda done, total: calls.append((done, total))
    )
    assert count == 3
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_writing_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    path.with_name("clip.mp4.part").touch()  # the encoder may not have got as far

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(path, seconds=0.1, size=(64, 64), progress=interrupt)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_unwritable_output_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"^cannot write .*missing/clip\.mp4: No such file[^\n]*$"):
        write_sample(tmp_path / "missing" / "clip.mp4", seconds=0.1, size=(64, 64))
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"^cannot write .*file: File exists$"):
        write_sample(tmp_path / "a.mp4", seconds=0.1, size=(64, 64), labels_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (63, 65)}, "expected even height and width of at least 64, got 63x65"),
        ({"size": (62, 640)}, "expected even height and width of at least 64, got 62x640"),
        ({"seconds": 0.0}, "expected a length of more than 0 seconds, got 0.0"),
        ({"seconds": float("nan")}, "expected a length of more than 0 seconds, got nan"),
        ({"fps": 0}, "expected 1 to 1000 frames per second, got 0"),
        ({"seed": -1}, "expected a seed of at least 0, got -1"),
    ],
)
def test_wrong_arguments_raise_at_the_call(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        render_street(**arguments)  # type: ignore[arg-type]


def test_wrong_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.mp4, got 'clip\.mkv'"):
        write_sample(tmp_path / "clip.mkv")
    assert not list(tmp_path.iterdir())
