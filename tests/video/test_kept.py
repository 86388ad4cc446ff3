"""The four kinds of clip that other tools get wrong, and a real one: what comes out is what went in."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import fake_segmenter
from video import goldens
from video.clips import Clips
from video.conftest import Run

pytestmark = pytest.mark.needs_ffmpeg


@pytest.mark.parametrize(
    "name", ["phone-bframes.mp4", "rotated-90.mp4", "pq.mp4", "hlg.mp4", "odd-444.mp4"]
)
def test_frame_count_times_rotation_and_tags_are_identical(
    name: str, clips: Clips, run: Run
) -> None:
    source, out = clips(name), run(name, ".mp4").out
    before, after = goldens.timing(source), goldens.timing(out)
    assert len(after.times) == len(before.times)
    assert after.times == before.times
    assert after.end == before.end
    assert goldens.display_matrix(out) == goldens.display_matrix(source)
    assert goldens.color_tags(out) == goldens.color_tags(source)
    if name == "rotated-90.mp4":  # and there was something to keep
        assert goldens.display_matrix(source) is not None
    if name in ("pq.mp4", "hlg.mp4"):
        assert goldens.video(source)["pix_fmt"] == goldens.video(out)["pix_fmt"] == "yuv420p10le"


def test_an_odd_size_is_kept_by_webm_and_rounded_up_and_told_by_h264(run: Run) -> None:
    sizes = {}
    for suffix in (".mp4", ".webm"):
        out, report = run("odd-444.mp4", suffix, save=("overlay", "labels"))
        stored = goldens.video(out)
        sizes[suffix] = stored["width"], stored["height"]
        assert any("18x34 written" in note for note in report["fallbacks"]) == (suffix == ".mp4")
    assert sizes == {".mp4": (34, 18), ".webm": (33, 17)}


@pytest.fixture(scope="module")
def drive(data_dir: Path) -> Path:
    path = data_dir / "videos" / "solidWhiteRight.mp4"
    if not path.is_file():
        pytest.skip(f"no real clip at {path}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_real_clip_without_overlay_is_visually_the_input(
    suffix: str, drive: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out{suffix}"
    fake_segmenter().run(drive, out, alpha=0.0, limit=50).finish()
    assert goldens.psnr(out, drive) >= 40
    before, after = planes(drive), planes(out)
    for index in range(3):
        assert abs((after[index] - before[index]).mean()) < 1
        assert np.abs(after[index] - before[index]).mean() < 2


def planes(path: Path) -> list[Any]:
    """Y', Cb and Cr of the first fifty frames, as they are stored."""
    with av.open(str(path)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(50), strict=False)]
        return [
            np.stack([plane_of(frame, index) for frame in frames]).astype(np.int16)
            for index in range(3)
        ]


def plane_of(frame: av.VideoFrame, index: int) -> Any:
    plane = frame.planes[index]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
