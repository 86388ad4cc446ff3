"""High dynamic range: kept in the output, mapped to standard range for the network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video import goldens
from video.clips import Clips
from video.conftest import Run
from video.seen import by_network, frame_of

pytestmark = pytest.mark.needs_ffmpeg

TRANSFER = {"pq": "smpte2084", "hlg": "arib-std-b67"}
HOLDS_IT = (".mp4", ".mov", ".mkv")
MILLISECOND = 0.00051
"""Matroska counts in them."""

RUNS = [
    *((name, suffix) for name in ("pq.mp4", "hlg.mp4") for suffix in (*HOLDS_IT, ".webm")),
    ("hlg.mkv", ".mkv"),
    ("hlg.mkv", ".mp4"),
    ("pq.mov", ".mov"),
    ("pq.webm", ".mkv"),
    ("pq.webm", ".webm"),
]


@pytest.mark.parametrize(("name", "suffix"), RUNS)
def test_frames_times_depth_and_tags_are_those_of_the_input(
    name: str, suffix: str, clips: Clips, run: Run
) -> None:
    source, (out, report) = clips(name), run(name, suffix, alpha=0.0)
    kind = name.partition(".")[0]
    assert report["video"]["hdr"] == kind
    assert report["frames"]["written"] == 10
    wanted, got = goldens.timing(source).times, goldens.timing(out).times
    tolerance = MILLISECOND if suffix in (".mkv", ".webm") else 0
    assert all(abs(a - b) <= tolerance for a, b in zip(got, wanted, strict=True))
    tags, written = goldens.color_tags(out), goldens.video(out)
    told = [note for note in report["fallbacks"] if "HDR" in note and "mastering" not in note]
    if suffix in HOLDS_IT:
        assert tags == goldens.color_tags(source)
        assert tags["color_transfer"] == TRANSFER[kind]
        assert (written["codec_name"], written["pix_fmt"]) == ("hevc", "yuv420p10le")
        assert not told
    else:  # painted on what the network saw, and tagged so
        assert set(tags.values()) == {"bt709", "tv"}
        assert [note for note in told if "standard range" in note], told


def side_data(path: Path) -> dict[str, dict[str, Any]]:
    """Of the stream and of its first frame, by kind."""
    shown = goldens.probe(path, "-show_frames", "-show_streams", "-read_intervals", "%+#1")
    found = [
        entry
        for holder in (*shown["streams"], *shown["frames"])
        for entry in holder.get("side_data_list", [])
    ]
    return {entry.pop("side_data_type"): entry for entry in found}


@pytest.mark.parametrize("suffix", HOLDS_IT)
def test_mastering_display_and_content_light_are_kept(suffix: str, clips: Clips, run: Run) -> None:
    wanted = side_data(clips("pq.mp4"))
    got = side_data(run("pq.mp4", suffix, alpha=0.0).out)
    for kind in ("Mastering display metadata", "Content light level metadata"):
        assert got.get(kind) == wanted[kind]


@pytest.mark.parametrize("suffix", [".avi", ".gif", ".webm"])
def test_containers_without_10_bits_say_what_became_of_it(suffix: str, run: Run) -> None:
    notes = run("pq.mp4", suffix, alpha=0.0).report["fallbacks"]
    assert [note for note in notes if "standard range" in note], notes


@pytest.mark.parametrize("name", ["pq.mp4", "hlg.mkv", "pq.webm"])
def test_the_network_sees_standard_range(name: str, clips: Clips) -> None:
    """Loosely: tone curves differ from program to program; tests/picture/test_hdr.py has the exact goldens."""
    path = clips(name)
    mapped = goldens.rgb(
        path,
        "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709,"
        "tonemap=reinhard:peak=4.926,zscale=transfer=bt709:matrix=gbr:range=full,format=gbrp",
    )
    raw = goldens.rgb(path, goldens.ycbcr_to_rgb("2020_ncl", "limited"))
    seen = by_network(frame_of(path))
    assert np.corrcoef(seen.ravel(), mapped.ravel())[0, 1] > 0.97
    assert np.abs(seen - mapped).mean() < 20
    assert np.abs(seen - mapped).mean() < np.abs(raw - mapped).mean() / 2


@pytest.mark.parametrize("name", ["pq.mp4", "hlg.mp4"])
def test_an_output_without_overlay_is_the_hdr_picture(name: str, clips: Clips, run: Run) -> None:
    """In code values: nothing was mapped there and back."""
    assert goldens.psnr(run(name, ".mp4", alpha=0.0).out, clips(name)) > 40
