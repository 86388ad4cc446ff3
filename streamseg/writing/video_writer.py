"""One output video. Comes in: frames, and packets of sound. Goes out: a file. Runs on the sink's thread.

The file is written to a hidden neighbour and renamed when it is closed, so that a name that exists
holds a playable video.

Note "no B-frames": H.264 is encoded without them. A packet then carries its own frame's duration, so
that the mp4 lasts as long as its source even when frame rates vary, and nothing has to be shifted
by an edit list.
"""

import math
import os
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from streamseg.errors import SinkError
from streamseg.picture.planes import plane_view
from streamseg.reading.source import IMAGE_RATE, CopiedPacket, Source, SourceInfo
from streamseg.reading.video_source import reason

_H264 = ("libx264", {"preset": "superfast", "crf": "20", "bf": "0"})
_VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"})

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": _H264,
    ".mov": _H264,
    ".mkv": _H264,
    ".webm": _VP9,
    ".avi": ("mpeg4", {"q": "3"}),
}
"""Encoder and its options by suffix of the output."""

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
"""FFmpeg's names of the containers."""

MOVED = Fraction(1, 20)
"""Timestamps that differ by more, in the file's unit, are reported; less is the source's rounding."""


class VideoWriter:
    """One output video whose frames keep their PTS.

    The file is as large as the source, and frames of other sizes are rescaled to it (label maps by
    nearest neighbour). Only H.264 cannot hold odd sizes: its last row or column is doubled.

    Args:
        path: final name; the suffix decides container and encoder.
        info: size, rate and time base of the source.
        audio: source whose packets of sound are copied unchanged; None for none.
        lossless_gray: label maps (FFV1) instead of pictures.

    Attributes:
        notes: what could not be kept, for the report's fallbacks.

    Raises:
        SinkError: the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        info: SourceInfo,
        *,
        audio: Source | None = None,
        lossless_gray: bool = False,
    ) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._size = info.size
        self._lossless_gray = lossless_gray
        self._frames = 0
        self._resized = 0
        self._moved = 0
        self._last_pts: int | None = None
        self._origin: Fraction | None = None
        self._end_seconds = 0.0
        self._closed = False
        self._broken = False
        self._lost: list[str] = []
        self._audio = audio
        self._copied: deque[CopiedPacket] = audio.copied if audio else deque()
        self._routes: dict[int, av.AudioStream] = {}
        self._reformatter = VideoReformatter()
        suffix = path.suffix.lower()
        codec, options = ("ffv1", {"level": "3"}) if lossless_gray else ENCODERS[suffix]
        rate = self._rate = info.rate or IMAGE_RATE
        try:
            self._container = av.open(
                f"file:{self._part}",
                "w",
                format=CONTAINERS[suffix],
                options=_container_options(suffix, info, audio.audio if audio else []),
            )
            stream = self._container.add_stream(codec, rate=rate, options=dict(options))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"cannot write {path}: {reason(error)}") from error
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        context = stream.codec_context
        height, width = info.size
        odd = codec == "libx264"
        context.height, context.width = (
            side + side % 2 if odd else side for side in (height, width)
        )
        if (context.height, context.width) != info.size:
            self._lost.append(
                f"{path.name} at {height}x{width} asked for, {context.height}x{context.width} "
                f"written, H.264 needs even sides (.webm keeps odd ones)"
            )
        context.pix_fmt = "gray" if lossless_gray else "yuv420p"
        # An AVI has no timestamps, only one picture after the other.
        self._time_base = Fraction(1 / rate if suffix == ".avi" else info.time_base)
        context.time_base = self._time_base
        context.flags |= int(Flags.frame_duration)
        for template in audio.audio if audio else ():
            self._add_audio(template)

    @property
    def notes(self) -> list[str]:
        """What could not be kept: "what was asked, what was used, why"."""
        notes = list(self._lost)
        if self._resized:
            height, width = self._size
            notes.append(
                f"{self._resized} frames of {self.path.name} at their own size asked for, rescaled "
                f"to {height}x{width}, a video has one size"
            )
        if self._moved:
            notes.append(
                f"{self._moved} timestamps of {self.path.name} asked for, moved to the next free "
                f"ones, {self.path.suffix} needs increasing multiples of {self._time_base} s"
            )
        return notes

    def write(self, image: av.VideoFrame) -> None:
        """Encode one frame with its PTS; first write the sound that was read before it.

        Raises:
            SinkError: the disk is full, or the encoder refuses the frame.
        """
        image = self._fit(image)
        self._place(image)
        if self._frames == 0 and not self._lossless_gray:
            context = self._stream.codec_context
            context.colorspace, context.color_range = image.colorspace, image.color_range
            context.color_primaries, context.color_trc = image.color_primaries, image.color_trc
        image.pict_type = 0  # the source's picture types would force the encoder's
        try:
            self._container.mux(self._stream.encode(image))
            self._frames += 1
            self._mux_copied(self._end_seconds)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._broken = True
            raise self._failure(error) from error

    def close(self) -> None:
        """Flush, close, and give the file its name. Without a single frame, leave nothing behind.
        Idempotent.

        Raises:
            SinkError: the disk is full. The part that was written keeps its hidden name.
        """
        if self._closed:
            return
        self._closed = True
        failure: Exception | None = None
        try:
            if self._frames and not self._broken:
                self._container.mux(self._stream.encode(None))
                whole = self._audio is not None and self._audio.reached_end
                self._mux_copied(math.inf if whole else self._end_seconds)
        except (av.error.FFmpegError, OSError) as error:
            failure = error
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            failure = failure or error
        if not self._frames:
            self._part.unlink(missing_ok=True)
        elif failure is not None and not self._broken:
            raise self._failure(failure) from failure
        elif not self._broken:
            os.replace(self._part, self.path)

    # ---- pictures

    def _fit(self, image: av.VideoFrame) -> av.VideoFrame:
        """The image at the file's size."""
        if (image.height, image.width) != self._size:
            self._resized += 1
            image = self._rescale(image)
        context = self._stream.codec_context
        if (context.height, context.width) == self._size:
            return image
        return _even(image)

    def _rescale(self, image: av.VideoFrame) -> av.VideoFrame:
        height, width = self._size
        if not self._lossless_gray:
            return self._reformatter.reformat(image, height=height, width=width)
        labels = plane_view(image.planes[0])
        rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
        columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
        nearest = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(labels[np.ix_(rows, columns)]), "gray"
        )
        return _with_times(nearest, image)

    # ---- times

    def _place(self, image: av.VideoFrame) -> None:
        """Bring PTS and duration into the file's unit; an encoder wants them to increase."""
        unit = self._time_base
        scale = Fraction(image.time_base or unit) / unit
        wanted = (image.pts or 0) * scale
        if self._origin is None:
            # An AVI shows its first picture at 0.
            self._origin = wanted if self.path.suffix.lower() == ".avi" else Fraction(0)
        wanted -= self._origin
        pts = round(wanted)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._moved += abs(pts - wanted) > MOVED
        self._last_pts = pts
        image.pts, image.time_base = pts, unit
        image.duration = round(image.duration * scale) or round(1 / self._rate / unit)
        self._end_seconds = float((pts + image.duration + self._origin) * unit)

    # ---- sound

    def _add_audio(self, template: av.AudioStream) -> None:
        try:
            # Not for encoding: the stream only describes packets that are copied.
            self._routes[template.index] = self._container.add_stream_from_template(template)
        except (av.error.FFmpegError, ValueError) as error:
            self._lost.append(
                f"audio stream {template.index} ({template.codec_context.name}) kept, left out, "
                f"{self.path.suffix} cannot hold it ({reason(error)})"
            )

    def _mux_copied(self, until_seconds: float) -> None:
        """Write the packets that begin before `until_seconds`: sound behind the last frame is cut."""
        while self._copied and self._copied[0].time_seconds < until_seconds:
            copied = self._copied.popleft()
            target: Any = self._routes.get(copied.stream_index)
            if target is not None:
                copied.packet.stream = target
                self._container.mux_one(copied.packet)

    def _failure(self, error: Exception) -> SinkError:
        rest = f"; the unfinished file is {self._part}" if self._frames else ""
        return SinkError(
            f"writing {self.path} failed after {self._frames} frames: {reason(error)}{rest}"
        )


def _container_options(
    suffix: str, info: SourceInfo, audio: list[av.AudioStream]
) -> dict[str, str]:
    if suffix not in (".mp4", ".mov"):
        # Sound that begins a packet early (AAC does) would move all pictures with it.
        return {"avoid_negative_ts": "disabled"}
    # The unit of when each stream begins; the default of 1 ms would round it.
    units = [info.time_base, *(stream.time_base or Fraction(1, 1000) for stream in audio)]
    finest = math.lcm(*(unit.denominator for unit in units))
    return {"movie_timescale": str(finest if finest < 1 << 30 else 90000)}


def _even(image: av.VideoFrame) -> av.VideoFrame:
    """A yuv420p frame with even sides: the last row and column of luma doubled. Chroma has them already."""
    height, width = image.height, image.width
    even = av.VideoFrame(width + width % 2, height + height % 2, "yuv420p")
    for source, target in zip(image.planes, even.planes, strict=True):
        pixels, padded = plane_view(source), plane_view(target)
        rows, columns = pixels.shape
        padded[:rows, :columns] = pixels
        padded[:rows, columns:] = pixels[:, -1:]
        padded[rows:] = padded[rows - 1]
    even.colorspace, even.color_range = image.colorspace, image.color_range
    even.color_primaries, even.color_trc = image.color_primaries, image.color_trc
    return _with_times(even, image)


def _with_times(image: av.VideoFrame, source: av.VideoFrame) -> av.VideoFrame:
    image.pts, image.time_base, image.duration = source.pts, source.time_base, source.duration
    return image
