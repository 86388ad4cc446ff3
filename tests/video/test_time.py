"""Time: what ffprobe says of our output is what it says of the input."""

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from video import goldens
from video.clips import TIME, Clips
from video.conftest import Run

pytestmark = pytest.mark.needs_ffmpeg

NO_TIMES = (
    "raw.h264", "raw.hevc", "raw.m4v", "bframes.avi", "h264-bframes.avi", "packed.avi", "mpeg2.mpg",
)  # fmt: skip
"""Files that have no PTS, or lack some: `ffmpeg` itself says when their frames are played."""

SPECIAL = ("wrapped.ts", "restarted.ts")
"""Below zero, or back in time: where no container follows."""

KEPT = [(name, suffix) for name in TIME if name not in SPECIAL for suffix in (".mp4", ".mkv")]
KEPT += [
    (name, suffix)
    for name in ("23.976.mp4", "phone-bframes.mp4", "late.ts", "edit-list.mp4")
    for suffix in (".mov", ".webm")
]

MILLISECOND = Fraction(51, 100000)
"""Matroska counts in them."""


def wanted_times(path: Path) -> list[Fraction]:
    return goldens.played(path) if path.name in NO_TIMES else goldens.timing(path).times


def assert_times(out: Path, wanted: list[Fraction], source: Path) -> None:
    """Equal in the mp4 family, in whole milliseconds in Matroska, to 1/90000 s where ffmpeg said it so."""
    got = goldens.timing(out).times
    assert len(got) == len(wanted)
    exact = Fraction(0) if source.name not in NO_TIMES else Fraction(1, 90000)
    if source.suffix == ".avi":
        # Pictures are only counted in an AVI: ffmpeg adds the decoder's delay to all, which players do not.
        assert goldens.start(source) == 0 <= got[0] <= wanted[0]
        wanted = [time - wanted[0] + got[0] for time in wanted]
    tolerance = MILLISECOND if out.suffix in (".mkv", ".webm") else exact
    worst = max(abs(ours - theirs) for ours, theirs in zip(got, wanted, strict=True))
    assert worst <= tolerance, [(float(a), float(b)) for a, b in zip(got, wanted, strict=True)]


@pytest.mark.parametrize(("name", "suffix"), KEPT)
def test_every_frame_keeps_its_time(name: str, suffix: str, clips: Clips, run: Run) -> None:
    source, (out, report) = clips(name), run(name, suffix)
    wanted, frames = wanted_times(source), report["frames"]
    assert (frames["decoded"], frames["written"], frames["corrupt"]) == (
        len(wanted),
        len(wanted),
        0,
    )
    assert_times(out, wanted, source)
    assert [note for note in report["fallbacks"] if "timestamp" in note] == []
    end = None if name in NO_TIMES else goldens.timing(source).end
    if end is not None:
        assert goldens.length(out) == pytest.approx(float(end), abs=0.0011)


@pytest.mark.parametrize("name", NO_TIMES)
def test_frames_without_pts_are_played_one_after_the_other(name: str, clips: Clips) -> None:
    """The goldens are right: 25 frames a second."""
    times = goldens.played(clips(name))
    steps = {late - early for early, late in itertools.pairwise(times)}
    assert steps == {Fraction(1, 25)}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
def test_times_below_zero_are_kept_or_moved_together_and_told(
    suffix: str, clips: Clips, run: Run
) -> None:
    out, report = run("wrapped.ts", suffix)
    wanted = goldens.timing(clips("wrapped.ts")).times
    assert wanted[0] < 0 < wanted[-1]
    assert report["frames"]["written"] == len(wanted)
    got = goldens.timing(out).times
    shift = got[0] - wanted[0]
    tolerance = 2 * MILLISECOND if suffix in (".mkv", ".webm") else Fraction(0)
    if suffix != ".avi":  # which has no timestamps
        assert all(abs(a - b - shift) <= tolerance for a, b in zip(got, wanted, strict=True))
    assert shift == 0 or f"first frame of {out.name} at -0.718 s kept, shown at 0 s" in str(report)
    assert goldens.length(out) == pytest.approx(1.2, abs=0.0011)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_that_begin_anew_go_on_where_they_were_and_are_told(
    suffix: str, clips: Clips, run: Run
) -> None:
    """Cameras that restart into the same file. `ffmpeg` shows both parts in full, one after the other."""
    out, report = run("restarted.ts", suffix)
    source, got = goldens.timing(clips("restarted.ts")).times, goldens.timing(out).times
    assert source != sorted(source)
    assert len(got) == len(source)
    assert {late - early for early, late in itertools.pairwise(got)} == {Fraction(1, 25)}
    assert [note for note in report["fallbacks"] if "timestamps of" in note]


@pytest.mark.parametrize("suffix", [".avi", ".gif"])
def test_containers_without_clock_keep_constant_rates_and_tell_of_uneven_ones(
    suffix: str, clips: Clips, run: Run
) -> None:
    steady = "25.mp4" if suffix == ".avi" else "animation.gif"
    for name in (steady, "phone.mp4"):
        out, report = run(name, suffix)
        wanted, got = goldens.timing(clips(name)).times, goldens.timing(out).times
        assert len(got) == len(wanted)
        told = [note for note in report["fallbacks"] if "timestamp" in note]
        if name == steady:
            assert [time - got[0] for time in got] == wanted
            assert not told
        else:
            assert len(told) == 1 and out.name in told[0]


CUTS = [
    ("25.mp4", 0.3, 0.9),
    ("25.mp4", None, 0.4),
    ("23.976.mp4", 0.5, None),
    ("phone-bframes.mp4", 0.2, 0.6),
    ("phone.webm", 0.4, 0.7),
    ("late.ts", 0.3, 0.9),
    ("late.mp4", 0.5, 0.9),
    ("edit-list.mp4", 0.2, 0.5),
    ("wrapped.ts", 0.8, None),
    ("gap.mp4", 0.2, 28.3),
    ("fragmented.mp4", 0.5, 0.9),
    ("raw.h264", 0.5, 0.9),
    ("bframes.avi", 0.5, 0.9),
    ("mpeg2.mpg", 0.5, 0.9),
    ("h264.flv", 0.5, 0.9),
]


@pytest.mark.parametrize(("name", "start", "end"), CUTS)
def test_a_cut_holds_the_frames_from_start_up_to_end_at_their_own_times(
    name: str, start: float | None, end: float | None, clips: Clips, run: Run
) -> None:
    source, (out, _) = clips(name), run(name, ".mp4", start=start, end=end)
    whole = wanted_times(source)
    first, last = Fraction(str(start or 0)), Fraction(str(end or 1000))
    origin = goldens.start(source)
    wanted = [time for time in whole if first <= time - origin < last]
    assert 0 < len(wanted) < len(whole)
    assert_times(out, wanted, source)


def test_a_cut_shows_the_very_pictures_of_its_time(clips: Clips, run: Run) -> None:
    source, (out, _) = clips("late.ts"), run("late.ts", ".mkv", start=0.5, alpha=0.0, quality=10)
    for index in (0, 10):
        ours = goldens.rgb(out, "null", index)
        before, same, after = (
            abs(goldens.rgb(source, "null", 13 + index + step) - ours).mean() for step in (-1, 0, 1)
        )
        assert same < min(before, after)
