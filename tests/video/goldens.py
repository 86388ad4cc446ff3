"""What ffprobe and ffmpeg say of a file. Nothing here calls streamseg, or the FFmpeg inside PyAV.

Answers are kept: no test writes a file twice.
"""

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def output(*words: object) -> bytes:
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=20)
    assert done.returncode == 0, (words, done.stderr.decode())
    return done.stdout


def probe(path: Path, *words: str) -> dict[str, Any]:
    """ffprobe's JSON; `words` say what it is to show."""
    answer = json.loads(output("ffprobe", "-v", "quiet", "-of", "json", *words, path))
    assert isinstance(answer, dict)
    return answer


@cache
def _whole(path: Path) -> dict[str, Any]:
    """All that is asked of most files, in one go."""
    frames = "best_effort_timestamp,pkt_duration,width,height,interlaced_frame,stream_index"
    return probe(
        path, "-show_streams", "-show_format", "-show_chapters", "-show_entries", f"frame={frames}"
    )


def streams(path: Path, kind: str = "") -> list[dict[str, Any]]:
    """The streams, or those of a kind: "video", "audio", "subtitle", "data", "attachment"."""
    return [s for s in _whole(path)["streams"] if not kind or s["codec_type"] == kind]


def video(path: Path) -> dict[str, Any]:
    """The first video stream."""
    return streams(path, "video")[0]


def frames(path: Path) -> list[dict[str, Any]]:
    """The frames of the first video stream, as they are decoded."""
    return [f for f in _whole(path)["frames"] if f["stream_index"] == video(path)["index"]]


def container(path: Path) -> dict[str, Any]:
    """What the file says of itself as a whole."""
    whole: dict[str, Any] = _whole(path)["format"]
    return whole


def chapters(path: Path) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and title."""
    return [
        (float(entry["start_time"]), float(entry["end_time"]), entry["tags"]["title"])
        for entry in _whole(path)["chapters"]
    ]


@dataclass(frozen=True)
class Timing:
    """When the frames of a file are shown.

    Attributes:
        times: PTS in seconds, exact.
        end: end of the last frame in seconds; None when ffprobe does not know its duration.
    """

    times: list[Fraction]
    end: Fraction | None


def timing(path: Path) -> Timing:
    """Of the first video stream, frame by frame as they are decoded; all must have a PTS."""
    stream, shown = video(path), frames(path)
    unit = Fraction(stream["time_base"])
    times = [int(frame["best_effort_timestamp"]) * unit for frame in shown]
    end = None
    if "duration_ts" in stream:
        first = int(stream.get("start_pts", times[0] / unit))
        end = (first + int(stream["duration_ts"])) * unit
    elif "pkt_duration" in shown[-1]:
        end = times[-1] + int(shown[-1]["pkt_duration"]) * unit
    return Timing(times, end)


def start(path: Path) -> Fraction:
    """Where the video begins, as the container has it."""
    stream = video(path)
    return int(stream.get("start_pts", 0)) * Fraction(stream["time_base"])


@cache
def played(path: Path) -> list[Fraction]:
    """The times that `ffmpeg` gives the frames where a file has none, or wrong ones: to 1/90000 s."""
    lines = output(
        "ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-copyts",
        "-enc_time_base", "1/90000", "-c:v", "rawvideo", "-f", "framecrc", "-",
    )  # fmt: skip
    rows = [line for line in lines.decode().splitlines() if not line.startswith("#")]
    return [int(row.split(",")[2]) * Fraction(1, 90000) for row in rows]


def length(path: Path) -> float:
    """The container's duration in seconds."""
    return float(container(path)["duration"])


def color_tags(path: Path) -> dict[str, str]:
    """Range, space, primaries and transfer of the video; what is not tagged is left out."""
    stream = video(path)
    keys = ("color_range", "color_space", "color_primaries", "color_transfer")
    return {key: stream[key] for key in keys if stream.get(key, "unknown") != "unknown"}


def display_matrix(path: Path) -> list[int] | None:
    """The nine numbers of the video's display matrix; None without one."""
    for data in video(path).get("side_data_list", []):
        if "displaymatrix" in data:
            rows = [line.split(":", 1)[1] for line in data["displaymatrix"].split("\n") if line]
            return [int(word) for row in rows for word in row.split()]
    return None


@cache
def rgb(path: Path, filters: str, index: int = 0) -> NDArray[np.float64]:
    """One frame, counted from 0, as ffmpeg's `filters` make it RGB: H x W x 3, 0..255. ffmpeg turns it
    upright first.
    """
    chosen = f"select=eq(n\\,{index}),{filters}" if index else filters
    raw = output(
        "ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-vf", chosen, "-frames:v", "1",
        "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-",
    )  # fmt: skip
    kind, width, height, _, pixels = _netpbm(raw)
    assert kind == b"P6"
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3).astype(np.float64)


def _netpbm(raw: bytes) -> tuple[bytes, int, int, int, bytes]:
    kind, size, depth, pixels = raw.split(b"\n", 3)
    width, height = map(int, size.split())
    return kind, width, height, int(depth), pixels


def ycbcr_to_rgb(matrix: str, extent: str) -> str:
    """Filters that make Y'CbCr of a matrix ("709"; zscale's names) and range ("limited", "full") RGB.

    zscale and not scale: for 4:2:0 swscale 5.1 takes the nearest chroma sample instead of interpolating,
    and is 1/255 off for full range with more than 8 bits.
    """
    return f"zscale=matrixin={matrix}:rangein={extent}:matrix=gbr:range=full,format=gbrp"


def ycbcr_to_rgb_of_odd_sizes(matrix: str) -> str:
    """The same by swscale, for "bt601" and its like in limited range: zscale takes no odd sides."""
    return f"scale=in_color_matrix={matrix}:in_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


_ZSCALE_MATRIX = {"smpte170m": "170m", "bt470bg": "470bg", "bt709": "709", "bt2020nc": "2020_ncl"}


def shown(path: Path, index: int = 0) -> NDArray[np.float64]:
    """One frame as a player that goes by the tags shows it; untagged Y'CbCr is BT.601 below 720 lines, and
    limited.
    """
    stream = video(path)
    if stream["pix_fmt"].startswith(("gbr", "rgb", "bgr", "pal8", "gray")):
        return rgb(path, "format=rgb24", index)
    guess = "bt709" if stream["height"] >= 720 else "smpte170m"
    tags = color_tags(path)
    full = tags.get("color_range") == "pc" or stream["pix_fmt"].startswith("yuvj")
    matrix = _ZSCALE_MATRIX[tags.get("color_space", guess)]
    return rgb(path, ycbcr_to_rgb(matrix, "full" if full else "limited"), index)


@cache
def sound_hashes(path: Path) -> list[str]:
    """MD5 of the packets of each stream of sound."""
    if not streams(path, "audio"):
        return []
    lines = output(
        "ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "streamhash",
        "-hash", "md5", "-",
    )  # fmt: skip
    return [line.rpartition("=")[2] for line in lines.decode().split()]


@cache
def heard(path: Path) -> tuple[float, str]:
    """Seconds of sound that ffmpeg decodes of the first stream of sound, and what it complains of."""
    words = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a:0", "-f", "s16le", "-ac", "1", "-"]
    done = subprocess.run([*words[:-1], "-ar", "8000", "-"], capture_output=True, timeout=20)
    return len(done.stdout) / 16000, done.stderr.decode()


def psnr(path: Path, reference: Path) -> float:
    """Mean PSNR of two videos of one size, frame by frame up to the end of the shorter, in dB."""
    shown = subprocess.run(
        ["ffmpeg", "-i", path, "-i", reference, "-lavfi", "[0:v][1:v]psnr=shortest=1", "-f", "null", "-"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return float(shown.stderr.rpartition("average:")[2].split()[0])
