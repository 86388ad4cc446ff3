"""One output video. Comes in: painted frames, and packets to be copied. Goes out: a file. Runs on the
sink's thread (encoders add their own).

The file grows under the name of `partial.part_path`, readable at any moment, and is renamed when it is
closed: a name that exists holds a whole video.
"""

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from streamseg.errors import SinkError, reason
from streamseg.picture.orientation import UPRIGHT
from streamseg.reading.source import IMAGE_RATE, Source, SourceInfo
from streamseg.writing.encoders import FORMATS, Encoding
from streamseg.writing.fit import Fit
from streamseg.writing.mastering import with_mastering
from streamseg.writing.palette import Palette
from streamseg.writing.partial import crash_proof_options, part_path
from streamseg.writing.side_streams import REFUSALS, SideStreams, movie_timescale
from streamseg.writing.timestamps import Timestamps

_WITHOUT_MATRIX = (".avi", ".gif")
"""Containers that cannot say how a picture is to be turned: it is turned before it is encoded."""

_ASPECT_IN_STREAM = ("libx264", "libx265", "mpeg4")
"""Encoders that say themselves how wide a pixel is; for others their container must."""


class VideoWriter:
    """One output video whose frames keep their PTS.

    Pictures are written as stored, with the tags by which a player turns, stretches and colours them;
    label maps (`encoding.pix_fmt` "gray") upright. Frames of other sizes are rescaled to the file's
    (label maps by nearest neighbour).

    Args:
        path: final name; the suffix decides the container.
        info: size, rate, time base and picture format of the source.
        encoding: see `choose_encoding`.
        source: whose streams, metadata and chapters are copied into the file; None for none.

    Attributes:
        path: final name.
        part: name of the unfinished file.

    Raises:
        SinkError: the file cannot be opened.
    """

    def __init__(
        self, path: Path, info: SourceInfo, encoding: Encoding, *, source: Source | None = None
    ) -> None:
        self.path = path
        self.part = part_path(path)
        self._encoding = encoding
        self._format = info.format
        self._frames = 0
        self._end_seconds = -math.inf
        self._held: av.Packet[Any] | None = None
        self._last_duration = 0
        self._closed = False
        self._broken = False
        self._lost: list[str] = []
        self._source = source
        suffix = self._suffix = path.suffix.lower()
        gray = encoding.pix_fmt == "gray"
        self._side = SideStreams(source, suffix)
        self._times = Timestamps(path.name, suffix, encoding.codec, info)
        turned = info.format.orientation if not gray and suffix in _WITHOUT_MATRIX else UPRIGHT
        self._fit = Fit(
            path.name,
            suffix,
            encoding.codec,
            info.size if gray else info.format.size,
            orientation=turned,
            nearest=gray,
        )
        self._palette: Palette | None = None
        if encoding.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr by itself
        try:
            self._container = av.open(
                f"file:{self.part}",
                "w",
                format=FORMATS[suffix],
                container_options=self._muxer_options(info),
            )
            rate = info.rate or IMAGE_RATE
            stream = self._container.add_stream(
                encoding.codec, rate=rate, options=dict(encoding.options)
            )
            assert isinstance(stream, av.VideoStream)
            self._stream = stream
            self._describe(transposed=turned.transposed)
            self._side.attach(self._container, stream)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"cannot write {path}: {reason(error)}") from error

    @property
    def notes(self) -> list[str]:
        """What could not be kept: "what was asked, what was used, why"."""
        return [*self._lost, *self._side.notes, *self._fit.notes, *self._times.notes]

    def write(self, image: av.VideoFrame) -> None:
        """Encode one frame with its PTS, and write what was read beside it.

        Args:
            image: in the encoding's pixel format; left as it is.

        Raises:
            SinkError: the disk is full, or the encoder refuses the frame.
        """
        placed = self._times.place(image)
        if placed is None:
            return
        pts, duration = placed
        before = image.pts, image.time_base, image.duration, image.pict_type
        try:
            picture = self._fit(image)
            picture.pts, picture.time_base, picture.duration = pts, self._times.unit, duration
            picture.pict_type = 0  # the source's picture types would force the encoder's
            if self._frames == 0:
                self._begin(picture)
            if self._palette is not None:
                picture = self._palette(picture)
            self._mux(self._stream.encode(picture))
            self._frames += 1
            self._last_duration = duration
            self._end_seconds = self._seconds(pts + duration)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._broken = True
            raise self._failure(error) from error
        finally:
            # A caller may look at its frame later, and an encoder has its own reference.
            image.pts, image.time_base, image.duration, image.pict_type = before

    def close(self) -> None:
        """Flush, close, and give the file its name. Without a single frame, leave nothing behind.
        Idempotent.

        Raises:
            SinkError: the disk is full. The part that was written keeps its name.
        """
        if self._closed:
            return
        self._closed = True
        failure: Exception | None = None
        try:
            if self._frames and not self._broken:
                self._mux(self._stream.encode(None))
                if self._held is not None:
                    self._mux_picture(self._held, self._last_duration)
                whole = self._source is not None and self._source.reached_end
                self._copy(math.inf if whole else self._end_seconds)
        except (av.error.FFmpegError, OSError) as error:
            failure = error
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            failure = failure or error
        if not self._frames:
            self.part.unlink(missing_ok=True)
        elif failure is not None and not self._broken:
            raise self._failure(failure) from failure
        elif not self._broken:
            os.replace(self.part, self.path)

    @property
    def _keeps_hdr(self) -> bool:
        """Pictures of 8 bits were made standard range for the network, and are painted so."""
        return self._format.transfer != "sdr" and self._encoding.pix_fmt == "yuv420p10le"

    # ---- before the first frame

    def _muxer_options(self, info: SourceInfo) -> dict[str, str]:
        options = crash_proof_options(self._suffix)
        if self._suffix in (".mp4", ".mov"):
            scale = movie_timescale([info.time_base, *self._side.time_bases])
            options["movie_timescale"] = str(scale)
            if self._side.needs_free_keys:
                options["movflags"] += "+use_metadata_tags"
        return options

    def _describe(self, *, transposed: bool) -> None:
        """Tell encoder and container all but the colours."""
        context, format = self._stream.codec_context, self._format
        context.height, context.width = self._fit.size
        context.pix_fmt = "pal8" if self._encoding.codec == "gif" else self._encoding.pix_fmt
        context.time_base = self._times.unit
        if self._encoding.codec == "libx265" and self._suffix in (".mp4", ".mov"):
            context.codec_tag = "hvc1"  # Apple's players take no other
        if self._encoding.pix_fmt == "gray":
            return
        if format.orientation.matrix and self._suffix not in _WITHOUT_MATRIX:
            self._stream.set_display_matrix(format.orientation.matrix)
        aspect = Fraction(format.sample_aspect_ratio)
        if aspect != 1:
            context.sample_aspect_ratio = 1 / aspect if transposed else aspect
            if self._suffix in (".mkv", ".webm", ".avi") and (
                self._encoding.codec not in _ASPECT_IN_STREAM
            ):
                self._lost.append(
                    f"pixels of {aspect.numerator}:{aspect.denominator} in {self.path.name} kept, "
                    f"square ones used, {self._encoding.codec} in {self._suffix} cannot tag others "
                    f"(.mp4 can)"
                )

    def _begin(self, picture: av.VideoFrame) -> None:
        """Open the encoder, with the colours of the first frame, and write the header."""
        context = self._stream.codec_context
        if self._encoding.pix_fmt != "gray":
            context.colorspace, context.color_range = picture.colorspace, picture.color_range
            context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
            if self._keeps_hdr:
                options, lost = with_mastering(
                    self._encoding.codec, self._encoding.options, self._format
                )
                self._stream.options.update(options)
                self._lost += lost
        assert picture.pts is not None
        self._side.begin(self._container, self._seconds(picture.pts))
        if self._encoding.codec == "gif":
            self._palette = Palette(self._fit.size, self._times.unit)
        try:
            context.open()
        except av.error.FFmpegError as error:
            height, width = self._fit.size
            raise ValueError(
                f"the encoder {self._encoding.codec} refuses {height}x{width} {context.pix_fmt} "
                f"pictures ({reason(error)})"
            ) from error
        self._container.start_encoding()

    # ---- packets

    def _mux(self, packets: "list[av.Packet[Any]]") -> None:
        """Write pictures; one is held back, as it lasts until the next."""
        for packet in packets:
            if self._held is not None:
                assert packet.pts is not None and self._held.pts is not None
                self._mux_picture(self._held, packet.pts - self._held.pts)
            self._held = packet

    def _mux_picture(self, packet: "av.Packet[Any]", duration: int) -> None:
        """Write a picture, then what begins before its end."""
        assert packet.pts is not None
        packet.duration = duration
        end = self._seconds(packet.pts + duration)
        try:
            self._container.mux_one(packet)
        except REFUSALS as error:
            # Muxers hold packets back to put them in order: the one refused may be a copied one.
            if not self._side.drop(None, error):
                raise
        self._copy(end)

    def _copy(self, until_seconds: float) -> None:
        self._side.mux(self._container, until_seconds, self._times.origin)

    def _seconds(self, pts: int) -> float:
        """In the source's time."""
        return float(pts * self._times.unit + self._times.origin)

    def _failure(self, error: Exception) -> SinkError:
        rest = f"; the unfinished file is {self.part}" if self._frames else ""
        return SinkError(
            f"writing {self.path} failed after {self._frames} frames: {reason(error)}{rest}"
        )
