"""The arguments of `render_street` come in; an H.264 video and PNG label maps go out."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from streamseg.errors import SinkError
from streamseg.sample.render import exact_rate, num_frames, render_street
from streamseg.sample.world import Image


def write_sample(
    path: str | Path,
    *,
    seconds: float = 10.0,
    size: tuple[int, int] = (540, 960),
    fps: float | Fraction = 30.0,
    seed: int = 0,
    labels_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the clip of `render_street` as H.264 (yuv420p, BT.709, limited range) in MP4.

    The file grows as `<path>.part` and takes its name once complete; whatever goes wrong, no part
    is left behind.

    Args:
        path: ends in .mp4; replaced if it exists.
        seconds, size, fps, seed: as in `render_street`. Frame i is shown at exactly i / fps.
        labels_dir: also write label maps there, 8-bit gray PNG, `000000.png` onwards.
        progress: called after every frame with (frames written, frames in all).

    Returns:
        The number of frames.

    Raises:
        ValueError: an argument is out of range.
        SinkError: a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"expected a file name that ends in .mp4, got {path.name!r}")
    frames = render_street(seconds=seconds, size=size, fps=fps, seed=seed)
    total, rate = num_frames(seconds, fps), exact_rate(fps)
    part = path.with_name(path.name + ".part")
    folder = None if labels_dir is None else Path(labels_dir)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with av.open(str(part), "w", format="mp4") as container:
            stream = _h264_stream(container, size, rate)
            for index, frame in enumerate(frames):
                container.mux(stream.encode(_bt709(frame.image, index, rate)))
                if folder is not None:
                    (folder / f"{index:06d}.png").write_bytes(png(frame.labels))
                if progress is not None:
                    progress(index + 1, total)
            container.mux(stream.encode(None))
        part.replace(path)
    except (OSError, av.FFmpegError) as error:
        place = path if error.filename in (None, str(part)) else error.filename
        raise SinkError(f"cannot write {place}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return total


def _h264_stream(
    container: av.container.OutputContainer, size: tuple[int, int], rate: Fraction
) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / rate
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def _bt709(image: Image, index: int, rate: Fraction) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_trc=ColorTrc.BT709,
    )
    frame.pts, frame.time_base = index, 1 / rate
    return frame


def png(picture: Image) -> bytes:
    """A PNG file's content, quickly rather than tightly packed."""
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
