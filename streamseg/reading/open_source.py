"""From what a user named to the source that reads it.

open_source(text) ─┬─ VideoSource    file, rtsp://, http(s)://, camera, "-"
                   └─ ImageSource    a folder or glob of images, in natural order
"""

import glob
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit, urlunsplit

from streamseg.errors import SourceError
from streamseg.reading.image_source import ImageSource, list_images
from streamseg.reading.limits import MAX_PIXELS, READ_TIMEOUT_SECONDS
from streamseg.reading.pipe import PolledPipe
from streamseg.reading.source import Cut, OnCorrupt, Pace, Source
from streamseg.reading.video_source import VideoSource

LOCAL_PROTOCOLS = "file,crypto,data"
"""A file may be a playlist, whatever its name; it is not to make us open addresses."""

LIST_BYTES = 256
"""Enough of a file to tell whether it is a list."""

SCHEMES = ("rtsp", "rtsps", "http", "https", "tcp", "udp", "rtmp", "rtp", "srt")


def open_source(
    source: str | int | Path,
    *,
    cut: Cut | None = None,
    real_time: bool = False,
    keep: Iterable[str] = (),
    on_corrupt: OnCorrupt = "keep",
    max_pixels: int = MAX_PIXELS,
    motion_vectors: bool = False,
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Source:
    """Open what a user named.

    Args:
        source: video file, folder or glob of images, camera index, `/dev/videoN`, `rtsp://`,
            `http(s)://`, or "-" for standard input.
        cut: the part to read.
        real_time: give files out at the pace of their timestamps, as a camera would.
        keep: kinds of streams whose packets are collected in `copied` for a sink to write unchanged:
            "audio", "subtitle", "data", "attachment".
        on_corrupt: what becomes of damaged pictures: "keep", "skip" or "stop".
        max_pixels: greater pictures are refused.
        motion_vectors: give frames the vectors that they were coded with, where FFmpeg's decoder tells.
        read_timeout_seconds: for the network and pipes.
        clock: monotonic seconds.

    Raises:
        SourceError: it is not there, cannot be read, or holds no video.
        ValueError: an unknown `on_corrupt`.
    """
    if on_corrupt not in get_args(OnCorrupt):
        raise ValueError(f'expected on_corrupt "keep", "skip" or "stop", got {on_corrupt!r}')
    cut = cut or Cut()
    text = str(source)
    video = partial(
        VideoSource,
        cut=cut,
        clock=clock,
        keep=frozenset(keep),
        on_corrupt=on_corrupt,
        max_pixels=max_pixels,
        motion_vectors=motion_vectors,
    )
    if re.fullmatch(r"[0-9]+|/dev/video[0-9]+", text):
        device = text if text.startswith("/") else f"/dev/video{text}"
        _check_camera(device)
        return video(device, device, Path(device).name, live=True, format="v4l2")
    if text == "-":
        pipe = PolledPipe(sys.stdin.buffer, read_timeout_seconds)
        return video(pipe, "standard input", "stdin")
    pace = Pace(clock) if real_time else None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return _open_address(text, pace, read_timeout_seconds, video)
    images = list_images(text)
    if images is not None:
        return ImageSource(
            text,
            images,
            cut=cut,
            pace=pace,
            clock=clock,
            on_corrupt=on_corrupt,
            max_pixels=max_pixels,
        )
    _check_file(Path(text))
    # "file:", for a name such as 12:30.mp4 would be taken for an address of kind "12".
    return video(
        f"file:{text}",
        text,
        Path(text).stem,
        pace=pace,
        seekable=True,
        options={"protocol_whitelist": LOCAL_PROTOCOLS},
    )


def redact(address: str) -> str:
    """An address without user name and password, be they in front of the host or in the query."""
    parts = urlsplit(address)
    secrets = r"(?i)((?:user|login|pass|pwd|token|key|secret|auth|sig)[^=&]*)=[^&]+"
    parts = parts._replace(query=re.sub(secrets, r"\1=***", parts.query))
    account, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"***@{host}") if account else parts)


def _check_file(path: Path) -> None:
    """One clear line for the usual mistakes, before FFmpeg is asked."""
    try:
        size = path.stat().st_size
        if path.is_file():
            path.open("rb").close()
    except FileNotFoundError as error:
        raise SourceError(f"expected a video file at {path}; there is none") from error
    except PermissionError as error:
        raise SourceError(f"cannot read {path}: permission denied") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if size == 0 and path.is_file():
        raise SourceError(f"expected a video in {path}; the file is empty (0 bytes)")
    if path.is_file() and _is_list(path):
        raise SourceError(
            f"expected a video in {path}; it is a list of other files (HLS, DASH, concat): name those"
        )


def _is_list(path: Path) -> bool:
    """What FFmpeg would follow: to other files, to itself, or for ever."""
    with path.open("rb") as file:
        head = file.read(LIST_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0"))


def _check_camera(device: str) -> None:
    if not os.path.exists(device):
        present = sorted(glob.glob("/dev/video*"))
        there = f"cameras here: {', '.join(present)}" if present else "this machine has no camera"
        raise SourceError(f"expected a camera at {device}; {there}")


def _open_address(
    address: str, pace: Pace | None, timeout: float, video: Callable[..., VideoSource]
) -> VideoSource:
    parts = urlsplit(address)
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise SourceError(
            f"unknown kind of address {redact(address)}; known: rtsp://, http://, https://"
        )
    stored = scheme in ("http", "https")
    return video(
        address,
        redact(address),
        Path(parts.path).stem or parts.hostname or "stream",
        pace=pace if stored else None,
        live=not stored,
        seekable=stored,
        options={"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {},
        timeout=timeout,
    )
