"""Real files and a real web server, read through `open_source`."""

import gc
import http.server
import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fakes import FakeStage, ManualClock, collect
from media import open_to_all, picture, video_times, write_clip, write_images

from streamseg.errors import SourceError
from streamseg.frames import Frame
from streamseg.motion.cells import squares
from streamseg.picture.planes import ycbcr_to_rgb
from streamseg.reading.codec_motion import MOST_DROPPED
from streamseg.reading.open_source import open_source
from streamseg.reading.source import Cut
from streamseg.stream.pipeline import Pipeline


def read(source: Any, **options: Any) -> list[Frame]:
    opened = open_source(source, **options)
    try:
        return list(opened)
    finally:
        opened.close()


FORMATS = {
    "h264-bframes.mp4": {"options": {"bf": "3", "b_strategy": "0"}},
    "h264.mkv": {},
    "h264.ts": {"container_format": "mpegts"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "yuv422p.mkv": {"codec": "ffv1", "pix_fmt": "yuv422p"},
    "yuv444p.mp4": {"pix_fmt": "yuv444p"},
    "yuv420p10.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "png.avi": {"codec": "png", "pix_fmt": "rgb24"},
    "odd.mkv": {"codec": "ffv1", "size": (33, 65)},
    "bt709.mkv": {"codec": "ffv1", "tags": (1, 1, 1, 1)},
    "bt709-full-444.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p", "tags": (1, 2, 1, 1)},
    "bt2020-10.mkv": {"codec": "ffv1", "pix_fmt": "yuv422p10le", "tags": (9, 1, 9, 1)},
    "full-420.mkv": {"codec": "ffv1", "tags": (6, 2, 6, 6)},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_of_every_format_arrives_with_its_time(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, num_frames=12, **FORMATS[name])
    opened = open_source(path)
    frames = list(opened)
    opened.close()
    size = FORMATS[name].get("size", (48, 64))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_seconds for frame in frames] == pytest.approx(
        [time for time, _ in video_times(path)]
    )
    assert np.diff([frame.time_seconds for frame in frames]) == pytest.approx(0.04, abs=1e-3)
    assert {frame.pixels.size for frame in frames} == {size} == {opened.info.size}
    assert opened.info.rate == 25
    assert opened.info.num_frames in (None, 12)
    assert opened.info.name == str(path)
    assert opened.info.stem == path.stem
    first = frames[0].image
    assert opened.info.image_tags == (first.colorspace, first.color_range)
    assert first.format.name in ("yuv420p", "yuvj420p")
    assert not any(frame.corrupt for frame in frames)


@pytest.mark.parametrize("name", FORMATS)
def test_the_network_sees_the_colors_that_ffmpeg_shows(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, num_frames=3, size=(96, 128), **strip_size(FORMATS[name]))
    tag, full = FORMATS[name].get("tags", (6, 1, 0, 0))[:2]
    colorspace = {1: "ITU709", 6: "ITU601", 9: "BT2020"}[tag]
    with av.open(str(path)) as container:
        shown = next(itertools.islice(container.decode(video=0), 1, None))
        reference = shown.reformat(
            format="rgb24",
            src_colorspace=colorspace,
            src_color_range="JPEG" if full == 2 else None,
            dst_color_range="JPEG",
        ).to_ndarray()
    pixels = read(path)[1].pixels
    linear, offset = ycbcr_to_rgb(pixels.matrix, pixels.full_range)
    u, v = (cv2.resize(plane, (128, 96)) for plane in (pixels.u, pixels.v))
    rgb = np.clip(np.stack([pixels.y, u, v], 2) @ linear.T + offset, 0, 255)
    assert np.abs(rgb - reference).mean() < 2
    if name != "gray.mkv":  # and the reference is right
        assert np.abs(reference - picture(1, (96, 128)).astype(float)).mean() < 4


def strip_size(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "size"}


def test_planes_pass_untouched_when_they_are_planar_already(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", codec="ffv1")
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]
    for frame, planes in zip(read(path), decoded, strict=True):
        assert np.array_equal(frame.image.to_ndarray(), planes)


VFR = [0, 700, 1500, 4000, 4100, 9000]


@pytest.mark.parametrize("start", [0, 12345])
def test_variable_rates_and_starts_behind_zero_keep_their_times(start: int, tmp_path: Path) -> None:
    pts = [start + value for value in VFR]
    path = write_clip(
        tmp_path / "a.mp4",
        pts=pts,
        time_base=Fraction(1, 12800),
        container_options={"movie_timescale": "12800"},
    )
    frames = read(path)
    assert [frame.image.pts for frame in frames] == pts
    assert [frame.time_seconds for frame in frames] == pytest.approx([p / 12800 for p in pts])


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames, 25 fps, B-frames, a codec keyframe every 12, starting at 1.4 s (MPEG-TS)."""
    options = {"bf": "2", "g": "12"}
    folder = tmp_path_factory.mktemp("cut")
    return write_clip(folder / "a.ts", num_frames=50, options=options, container_format="mpegts")


@pytest.mark.parametrize(
    ("cut", "indices"),
    [
        (Cut(limit=7), range(7)),
        (Cut(start_seconds=1.0), range(25, 50)),
        (Cut(start_seconds=0.5, end_seconds=1.0), range(13, 25)),
        (Cut(end_seconds=0.1), range(3)),
        (Cut(start_seconds=1.9, limit=30), range(48, 50)),
        (Cut(start_seconds=0.2, limit=3), range(5, 8)),
        (Cut(start_seconds=0.0), range(50)),
        (Cut(end_seconds=float("inf")), range(50)),
    ],
)
@pytest.mark.parametrize("suffix", ["ts", "mp4"])
def test_cuts_are_exact_to_the_frame(
    cut: Cut, indices: range, suffix: str, second: Path, tmp_path: Path
) -> None:
    path = second
    if suffix == "mp4":
        path = write_clip(tmp_path / "a.mp4", num_frames=50, options={"bf": "2", "g": "12"})
    whole, opened = read(path), open_source(path, cut=cut)
    part = list(opened)
    opened.close()
    assert [frame.image.pts for frame in part] == [whole[k].image.pts for k in indices]
    assert [frame.index for frame in part] == list(range(len(indices)))
    assert np.array_equal(part[-1].pixels.y, whole[indices[-1]].pixels.y)
    if suffix == "mp4":
        assert opened.info.num_frames == len(indices)


@pytest.mark.parametrize(
    "cut",
    [
        {"start_seconds": -1.0},
        {"start_seconds": 2.0, "end_seconds": 2.0},
        {"end_seconds": float("nan")},
        {"start_seconds": float("nan")},
        {"limit": 0},
    ],
)
def test_cuts_without_meaning_are_refused(cut: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected (0 <= start < end|a limit)"):
        Cut(**cut)


def test_a_cut_behind_the_end_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match=r"expected frames between start and end of .*a.mp4"):
        read(path, cut=Cut(start_seconds=100.0))


# ---- what cannot be read


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 99)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        tone = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        tone.sample_rate = 48000
        container.mux(stream.encode(tone))
        container.mux(stream.encode(None))
    write_clip(tmp_path / "moovless.mp4")
    whole = (tmp_path / "moovless.mp4").read_bytes()
    (tmp_path / "moovless.mp4").write_bytes(whole[: len(whole) // 3])
    cases = {
        "missing.mp4": "expected a video file at .*missing.mp4; there is none",
        "text.mp4": "expected a video in .*text.mp4; FFmpeg recognises none",
        "empty.mp4": r"expected a video in .*empty.mp4; the file is empty \(0 bytes\)",
        "sound.m4a": "expected a video stream in .*sound.m4a; it holds: audio",
        "moovless.mp4": "expected a video in .*moovless.mp4; FFmpeg recognises none .damaged, cut",
        "folder": r"expected images .* in .*folder; found none.*streamseg batch",
        "*.jpg": r"expected images .* in .*\*.jpg; found none",
        "text.mp4/a.mp4": "cannot read .*a.mp4: Not a directory",
    }
    for name, message in cases.items():
        with pytest.raises(SourceError, match=message) as caught:
            open_source(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(SourceError, match=r"cannot read .*a.mp4: permission denied"):
            open_source(path)
        return
    open_to_all(tmp_path)
    try:
        os.seteuid(65534)
        with pytest.raises(SourceError, match=r"cannot read .*a.mp4: permission denied"):
            open_source(path)
    finally:
        os.seteuid(0)


def test_cameras_and_addresses_that_are_not_there() -> None:
    with pytest.raises(SourceError, match=r"expected a camera at /dev/video97; .*camera"):
        open_source(97)
    with pytest.raises(SourceError, match=r"expected a camera at /dev/video98; .*camera"):
        open_source("/dev/video98")
    with pytest.raises(SourceError, match="unknown kind of address gopher://a/b; known: rtsp"):
        open_source("gopher://a/b")


def test_credentials_are_in_no_message() -> None:
    secret = "hunter2"
    addresses = [
        f"gopher://me:{secret}@host/a",
        f"http://me:{secret}@127.0.0.1:9/a.mp4",
        f"http://127.0.0.1:9/a.mp4?token={secret}&x=1",
        f"rtsp://me:{secret}@127.0.0.1:9/a",
    ]
    for address in addresses:
        with pytest.raises(SourceError, match=r"\*\*\*") as caught:
            open_source(address, read_timeout_seconds=2.0)
        chain = f"{caught.value}"
        assert secret not in chain
        assert "\n" not in chain


def test_damaged_packets_are_skipped_and_marked(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", num_frames=30, options={"g": "5", "bf": "0"}, size=(96, 128)
    )
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position, size = packets[12].pos, packets[12].size
    damaged = bytearray(path.read_bytes())
    damaged[position : position + size] = bytes(size)
    path.write_bytes(damaged)
    frames = read(path)
    assert 25 <= len(frames) < 30
    marked = [frame for frame in frames if frame.corrupt]
    assert marked
    assert 0.4 < marked[0].time_seconds < 0.7


# ---- what ends too soon


@pytest.fixture
def cut_file(tmp_path: Path) -> Path:
    path = write_clip(
        tmp_path / "a.mp4", num_frames=60, container_options={"movflags": "faststart"},
        options={"g": "10"}, size=(96, 128),
    )  # fmt: skip
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return path


def test_frames_up_to_the_cut_come_out_before_the_error(cut_file: Path) -> None:
    pipeline = Pipeline(open_source(cut_file), [FakeStage()])
    pipeline.start()
    came: list[int] = []
    message = r"a.mp4 is cut short: its header promises 60 frames, (\d+) could be decoded"
    with pytest.raises(SourceError, match=message) as caught:
        collect(pipeline, came)
    assert 10 < len(came) < 60
    assert f" {len(came)} could be decoded" in str(caught.value)
    assert came == list(range(len(came)))


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_container_that_counts_no_frames_is_measured_in_seconds(
    name: str, tmp_path: Path
) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    path = write_clip(tmp_path / name, num_frames=75, codec=codec)
    assert len(read(path)) == 75
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut short: its header promises 3.00 s, \d\.\d\d s"):
        read(path)


def test_a_part_read_on_purpose_is_not_called_cut_short(cut_file: Path) -> None:
    assert len(read(cut_file, cut=Cut(limit=5))) == 5


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", num_frames=30, options={"g": "10", "bf": "0"})
    trimmed = tmp_path / "trimmed.mp4"
    shifted = {"avoid_negative_ts": "disabled"}  # mp4's muxer then hides what begins before 0
    with av.open(str(path)) as source, av.open(str(trimmed), "w", options=shifted) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        offset = round(Fraction(14, 25) / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts -= offset
                packet.dts -= offset
                packet.stream = stream
                target.mux(packet)
    with av.open(str(trimmed)) as container:
        promised = container.streams.video[0].frames
    frames = read(trimmed)
    assert promised == 30
    assert len(frames) == 16
    assert frames[0].time_seconds == pytest.approx(0)


# ---- the network


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_web_server_is_read_to_the_end(web: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", num_frames=20)
    opened = open_source(f"{web}/a.mp4")
    assert len(list(opened)) == 20
    opened.close()
    assert (opened.info.live, opened.info.stem) == (False, "a")
    assert len(read(f"{web}/a.mp4", cut=Cut(start_seconds=0.4))) == 10


def test_a_missing_page_is_named(web: str) -> None:
    with pytest.raises(SourceError, match=r"cannot open http://.*/b.mp4: .*404 Not Found"):
        open_source(f"{web}/b.mp4")


class StalledServer:
    """Accepts connections, sends what it is given, and then nothing; or hangs up."""

    def __init__(self, body: bytes | None, length: int = 0, hang_up: bool = False) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._body, self._length, self._hang_up = body, length, hang_up
        self._connections: list[socket.socket] = []
        self.url = f"http://me:secret@127.0.0.1:{self._socket.getsockname()[1]}/a.mp4"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            if self._body is not None:
                connection.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {self._length}\r\n\r\n"
                connection.sendall(head.encode() + self._body)
            if self._hang_up:
                connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()


@pytest.mark.slow
@pytest.mark.timeout(5)
def test_a_server_that_says_nothing_is_given_up() -> None:
    server = StalledServer(None)
    try:
        with pytest.raises(
            SourceError, match=r"cannot open http://\*\*\*@127.*a.mp4: no data for 0.5 s"
        ):
            open_source(server.url, read_timeout_seconds=0.5)
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.timeout(10)
@pytest.mark.parametrize("hang_up", [False, True])
def test_a_server_that_stops_in_the_middle_is_given_up(hang_up: bool, tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", num_frames=200, container_options={"movflags": "faststart"},
        size=(192, 256), options={"preset": "ultrafast", "qp": "1", "g": "10"},
    )  # fmt: skip
    whole = path.read_bytes()
    server = StalledServer(whole[: len(whole) * 3 // 4], len(whole), hang_up)
    try:
        pipeline = Pipeline(open_source(server.url, read_timeout_seconds=0.5), [FakeStage()])
        pipeline.start()
        came: list[int] = []
        with pytest.raises(
            SourceError, match=r"reading http://\*\*\*@.* failed|cut short"
        ) as caught:
            collect(pipeline, came)
        assert 100 < len(came) < 200
        assert ("no data for 0.5 s" in str(caught.value)) == (not hang_up)
        assert "secret" not in str(caught.value)
    finally:
        server.close()


# ---- standard input

READ_STDIN = """
import sys
from streamseg.errors import SourceError
from streamseg.reading.open_source import open_source
try:
    source = open_source("-", read_timeout_seconds=0.5)
    print(len(list(source)), source.info.name, source.info.stem, source.info.size)
except SourceError as error:
    print(error)
"""


def run_with_stdin(**options: Any) -> str:
    return subprocess.run(
        [sys.executable, "-c", READ_STDIN],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=20,
        check=True,
        **options,
    ).stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_pipe_is_read_to_the_end(name: str, tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / name,
        num_frames=20,
        container_options={"movflags": "faststart"} if name.endswith("mp4") else {},
    )
    said = run_with_stdin(input=path.read_bytes())
    assert said == "20 standard input stdin (48, 64)\n"


@pytest.mark.slow
def test_a_pipe_that_never_delivers_is_given_up() -> None:
    reading, writing = os.pipe()
    try:
        said = run_with_stdin(stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert said == "cannot open standard input: no data for 0.5 s\n"


@pytest.mark.slow
def test_an_empty_pipe_holds_no_video() -> None:
    assert "expected a video in standard input" in run_with_stdin(input=b"")


# ---- pace


def test_real_time_holds_frames_until_they_are_due(tmp_path: Path) -> None:
    class Waits(ManualClock):
        """Passes by what is waited for."""

    clock = Waits()
    path = write_clip(tmp_path / "a.mp4", num_frames=5)
    opened = open_source(path, real_time=True, clock=clock)
    due = []
    interrupted = opened._opened.interrupted  # type: ignore[attr-defined]
    interrupted.wait = lambda seconds: clock.advance(seconds)
    for frame in opened:
        due.append(frame.captured_seconds)
    opened.close()
    assert due == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert opened.wait_seconds == pytest.approx(0.16)


def test_an_interrupt_ends_reading(tmp_path: Path) -> None:
    opened = open_source(write_clip(tmp_path / "a.mp4", num_frames=50), real_time=True)
    frames = iter(opened)
    assert next(frames).index == 0
    opened.interrupt()
    assert list(frames) == []
    opened.close()
    assert not opened.reached_end


def test_colours_that_cannot_be_converted_are_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", tags=(8, 1, 1, 1))
    assert [note for note in open_source(path).notes if "(YCgCo), taken for Y'CbCr" in note]
    assert not open_source(write_clip(tmp_path / "b.mkv", tags=(1, 1, 1, 1))).notes


def test_chapters_are_cut_with_the_video() -> None:
    ms = Fraction(1, 1000)
    chapters = [
        {"id": 1, "start": 0, "end": 1500, "time_base": ms, "metadata": {"title": "One"}},
        {"id": 2, "start": 1500, "end": 4000, "time_base": ms, "metadata": {"title": "Two"}},
    ]
    ends = {
        Cut(): [1500, 4000],
        Cut(limit=20): [800],
        Cut(start_seconds=1.0, limit=25): [1500, 2000],
        Cut(start_seconds=1.5): [4000],
        Cut(end_seconds=2.5): [1500, 2500],
    }
    for cut, wanted in ends.items():
        assert [chapter["end"] for chapter in cut.chapters(chapters, Fraction(25))] == wanted


def test_a_playlist_in_disguise_opens_no_address(tmp_path: Path) -> None:
    asked = socket.create_server(("127.0.0.1", 0))
    asked.settimeout(0.3)
    port = asked.getsockname()[1]
    path = tmp_path / "holiday.mp4"
    path.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceError, match="it is a list of other files"):
        open_source(path)
    with pytest.raises(TimeoutError):
        asked.accept()
    asked.close()


def test_nothing_is_left_of_a_video_whose_pictures_are_all_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", num_frames=5, container_format="mpegts")
    source = open_source(path, on_corrupt="skip")
    source._is_damaged = lambda image: True  # type: ignore[attr-defined]
    source._first = (*source._first[:2], True)  # type: ignore[attr-defined]
    with pytest.raises(SourceError, match="all 5 are damaged"):
        list(source)
    source.close()


# ---- motion vectors


def test_frames_carry_the_vectors_they_were_coded_with_when_asked(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", num_frames=8, options={"g": "4", "bf": "2"})
    assert all(frame.motion is None for frame in read(path))
    frames = read(path, motion_vectors=True)
    motions = [frame.motion for frame in frames]
    assert [motion.kind for motion in motions][::4] == ["I", "I"]
    assert {motion.kind for motion in motions} == {"I", "P", "B"}
    for frame, motion in zip(frames, motions, strict=True):
        assert (motion.vectors is None) == (motion.kind == "I")
        assert np.array_equal(motion.luma, squares(frame.pixels.y))
    assert motions[0].previous is None
    assert all(later.previous is earlier for earlier, later in itertools.pairwise(motions))
    assert {"dst_x", "motion_x", "motion_scale"} < set(motions[1].vectors.dtype.names)


@pytest.mark.parametrize("name", ["vp9.webm", "mjpeg.avi", "png.avi"])
def test_decoders_without_vectors_give_none(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, num_frames=3, **FORMATS[name])
    assert [frame.motion for frame in read(path, motion_vectors=True)] == [None] * 3


def test_images_have_no_vectors(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"], [(16, 16)] * 2)
    assert [frame.motion for frame in read(tmp_path, motion_vectors=True)] == [None] * 2


def test_vectors_of_pictures_that_nobody_used_are_let_go(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", num_frames=MOST_DROPPED + 9)
    source = open_source(path, motion_vectors=True)
    for frame in source:
        motion, reachable = frame.motion, 0
        while motion.previous is not None:
            motion, reachable = motion.previous, reachable + 1
        assert reachable == min(frame.index, MOST_DROPPED)
    source.close()


def test_pictures_with_vectors_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", num_frames=2 * MOST_DROPPED)
    source = open_source(path, motion_vectors=True)
    gc.collect()
    gc.disable()
    try:
        before = frames_alive()
        for frame in source:
            assert frame.motion is not None
            frame.motion.previous = None
        alive = frames_alive() - before
    finally:
        gc.enable()
        source.close()
    assert alive < MOST_DROPPED


def frames_alive() -> int:
    # Not isinstance: that asks strangers' objects for their class, and some of torch's answer with a warning.
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())


def test_pictures_left_out_for_damage_break_the_chain(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", num_frames=6)
    source = open_source(path, motion_vectors=True, on_corrupt="skip")
    seen = itertools.count()
    source._is_damaged = lambda image: next(seen) == 2  # type: ignore[attr-defined]
    motions = [frame.motion for frame in source]
    source.close()
    assert [motion.previous is None for motion in motions] == [True, False, False, True, False]
