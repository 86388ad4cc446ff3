from fractions import Fraction
from pathlib import Path

import av

from streamseg.benchmark.copies import scaled_copy


def test_a_copy_repeats_frames_until_there_are_enough(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.mp4"
    assert scaled_copy(clip, (32, 80), out, frames=7, rate=30) == 7
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 30
    assert len(frames) == 7
    assert (frames[0].height, frames[0].width) == (32, 80)
    times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None]
    assert times == [Fraction(index, 30) for index in range(7)]
