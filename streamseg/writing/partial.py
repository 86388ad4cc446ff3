"""The unfinished file: what it is called, and how it stays playable when the process is killed.

Runs wherever a file is begun.
"""

from pathlib import Path

LOST_SECONDS = 0.5
"""About how much video a killed process loses: the length of a fragment (mp4) or cluster (Matroska)."""


def part_path(path: Path) -> Path:
    """Where the file grows until it is whole: out.mp4 -> out.part.mp4, visible and playable."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def crash_proof_options(suffix: str) -> dict[str, str]:
    """Options for FFmpeg's muxer of `suffix` under which what was written can be read at any moment.

    An mp4 grows in fragments, which an index of the whole replaces in the end (FFmpeg's "hybrid").
    The first fragment's header waits for its samples (`delay_moov`): written at once, it would lose
    the time at which the first frame begins.
    """
    options = {
        "flush_packets": "1",  # nothing waits in the process's own buffer
        # Packets wait for those of other streams that might come before them, 10 s by default. Here
        # they arrive nearly in order, and subtitles may be minutes apart.
        "max_interleave_delta": "200000",
    }
    if suffix in (".mp4", ".mov"):
        return options | {
            "movflags": "hybrid_fragmented+delay_moov",
            "frag_duration": str(round(LOST_SECONDS * 1e6)),
        }
    # Sound that begins a packet early (AAC does) would move all pictures with it.
    options["avoid_negative_ts"] = "disabled"
    if suffix in (".mkv", ".webm"):
        options["cluster_time_limit"] = str(round(LOST_SECONDS * 1e3))
    return options
