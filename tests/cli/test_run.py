"""`streamseg run`: files that come out, and one clear line for everything that cannot."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from command_line import SMALL, Outcome

import streamseg
from streamseg.cli.run import print_summary
from streamseg.reading.open_source import open_source
from streamseg.stream.report import FrameCounts, LatencyHistogram

Call = Callable[..., Outcome]
FAST = SMALL.split()


def pts_seconds(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def test_overlay_labels_color_and_report_are_written(
    call: Call, street: Path, tmp_path: Path
) -> None:
    out, report_file = tmp_path / "out.mp4", tmp_path / "report.json"
    outcome = call(
        "run", street, "-o", out, "--save", "overlay,labels,color", "--report", report_file, *FAST
    )
    assert outcome.status == 0, outcome.err
    assert str(out) in outcome.out
    assert "frames/s" in outcome.out
    for name in ("out.mp4", "out_labels.mkv", "out_color.mp4"):
        assert pts_seconds(tmp_path / name) == pytest.approx(pts_seconds(street), abs=1e-3)
    report = json.loads(report_file.read_text())
    assert report["frames"] == {
        "decoded": 12, "segmented": 12, "written": 12, "dropped": 0,
        "dropped_by_cause": {"busy": 0, "stale": 0}, "unread": 0, "corrupt": 0, "interlaced": 0,
    }  # fmt: skip
    assert [stage["name"] for stage in report["stages"]] == [
        "decode", "transfer", "infer", "overlay", "encode",
    ]  # fmt: skip
    assert report["size"] == [97, 129]
    labels = list(streamseg.read_labels(tmp_path / "out_labels.mkv"))
    assert len(labels) == 12
    assert labels[0].shape == (96, 128)
    assert max(int(label.max()) for label in labels) < 11


def test_labels_written_are_the_labels_of_the_python_api(
    call: Call, street: Path, tmp_path: Path
) -> None:
    assert call("run", street, "-o", tmp_path / "o.mkv", "--save", "labels", *FAST).status == 0
    segmenter = streamseg.load(size=(97, 129), precision="fp32")
    with segmenter, segmenter.stream(street) as stream:
        expected = [result.labels for result in stream]
    written = list(streamseg.read_labels(tmp_path / "o_labels.mkv"))
    assert all(np.array_equal(a, b) for a, b in zip(written, expected, strict=True))


def test_limit_start_and_end_choose_the_frames(call: Call, street: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut.mp4"
    assert call("run", street, "-o", out, "--start", "0.2", "--end", "0.4", *FAST).status == 0
    assert pts_seconds(out) == pytest.approx([0.2, 0.24, 0.28, 0.32, 0.36], abs=1e-3)
    assert call("run", street, "-o", out, "-y", "--limit", "3", *FAST).status == 0
    assert len(pts_seconds(out)) == 3


def test_default_output_is_named_after_the_source(
    call: Call, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("run", street, "--limit", "2", *FAST).status == 0
    assert (tmp_path / "street_overlay.mp4").exists()


def test_quiet_prints_nothing(call: Call, street: Path, tmp_path: Path) -> None:
    outcome = call("run", street, "-o", tmp_path / "o.mp4", "--limit", "2", "--quiet", *FAST)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_latest_writes_what_there_was_time_for(call: Call, street: Path, tmp_path: Path) -> None:
    out, report_file = tmp_path / "o.mp4", tmp_path / "r.json"
    age = ["--policy", "latest", "--max-age", "60000"]
    outcome = call("run", street, "-o", out, "--report", report_file, *age, *FAST)
    assert outcome.status == 0, outcome.err
    frames = json.loads(report_file.read_text())["frames"]
    assert frames["dropped_by_cause"]["stale"] == 0
    assert frames["written"] == 12 - frames["dropped"] == len(pts_seconds(out))


@pytest.mark.parametrize(
    ("busy", "stale", "expected"),
    [
        (0, 0, "7 frames in 2.0 s: 3.5 frames/s"),
        (5, 0, "7 frames in 2.0 s, 5 dropped (5 busy): 3.5 frames/s"),
        (5, 2, "7 frames in 2.0 s, 7 dropped (5 busy, 2 stale): 3.5 frames/s"),
    ],
)
def test_the_summary_tells_drops_by_cause(
    busy: int, stale: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ended:
        files: ClassVar[dict[str, Path]] = {}

        def report(self) -> dict[str, Any]:
            counts = FrameCounts(written=7, busy=busy, stale=stale)
            return {
                "frames": counts.to_dict(), "wall_seconds": 3.0, "warmup_seconds": 1.0, "fps": 3.5,
                "latency_ms": LatencyHistogram().summary(), "backend": "torch", "precision": "fp32",
                "device": "cpu", "size": [97, 129], "fallbacks": [],
            }  # fmt: skip

    print_summary(Ended())  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith(expected)


class TestBadInput:
    """Issue by issue: exit status 1 and one line that says what was expected, what came, what to do."""

    def test_missing_file(self, call: Call, tmp_path: Path) -> None:
        line = call("run", tmp_path / "no.mp4", "-o", tmp_path / "o.mp4").line()
        assert "expected a video file" in line
        assert "no.mp4" in line

    def test_folder_without_images(self, call: Call, tmp_path: Path) -> None:
        line = call("run", tmp_path, "-o", tmp_path / "o.mp4").line()
        assert "expected images" in line

    def test_text_named_mp4(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("not a video\n" * 100)
        line = call("run", tmp_path / "text.mp4", "-o", tmp_path / "o.mp4").line()
        assert "expected a video in" in line

    def test_zero_bytes(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        line = call("run", tmp_path / "empty.mp4", "-o", tmp_path / "o.mp4").line()
        assert "empty (0 bytes)" in line

    def test_audio_only(self, call: Call, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "tone.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            frame.rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        line = call("run", tmp_path / "tone.mp4", "-o", tmp_path / "o.mp4").line()
        assert "expected a video stream" in line
        assert "audio" in line

    def test_truncated_half_way(self, call: Call, street: Path, tmp_path: Path) -> None:
        """The frames up to the cut are written, the report counts them, the exit status is 1."""
        whole = tmp_path / "whole.mp4"
        with (
            av.open(str(street)) as source,
            av.open(str(whole), "w", options={"movflags": "faststart"}) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        data = whole.read_bytes()
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(data[: len(data) - (len(data) - data.index(b"mdat")) // 2])
        out, report_file = tmp_path / "o.mp4", tmp_path / "r.json"
        line = call("run", cut, "-o", out, "--report", report_file, *FAST).line()
        written = json.loads(report_file.read_text())["frames"]["written"]
        assert 0 < written < 12
        assert "promises 12 frames" in line
        assert len(pts_seconds(out)) == written

    def test_unreadable_permission(self, street: Path, tmp_path: Path) -> None:
        """In a child that is nobody: the suite may run as root, whom no permission stops."""
        secret = tmp_path / "secret.mp4"
        secret.write_bytes(street.read_bytes())
        secret.chmod(0)
        if os.geteuid() != 0:
            with pytest.raises(streamseg.SourceError, match="permission denied"):
                open_source(secret)
            return
        for folder in (tmp_path, *tmp_path.parents):
            if folder == Path(folder.anchor):
                break
            if "pytest" in str(folder):
                folder.chmod(0o755)
        child = os.fork()
        if child == 0:
            os.seteuid(65534)
            try:
                open_source(secret)
            except streamseg.SourceError as error:
                os._exit(7 if "permission denied" in str(error) else 8)
            os._exit(9)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7

    def test_output_folder_missing(self, call: Call, street: Path, tmp_path: Path) -> None:
        line = call("run", street, "-o", tmp_path / "none" / "o.mp4").line()
        assert "expected a folder" in line

    def test_output_is_a_folder(self, call: Call, street: Path, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").mkdir()
        line = call("run", street, "-o", tmp_path / "o.mp4").line()
        assert "is a folder" in line

    def test_output_equal_to_input(self, call: Call, street: Path) -> None:
        before = street.read_bytes()
        line = call("run", street, "-o", street, "-y").line()
        assert "is the input" in line
        assert street.read_bytes() == before

    def test_output_exists(self, call: Call, street: Path, tmp_path: Path) -> None:
        out = tmp_path / "o.mp4"
        out.write_bytes(b"precious")
        line = call("run", street, "-o", out).line()
        assert "-y" in line
        assert out.read_bytes() == b"precious"

    def test_report_that_cannot_be_written_is_said_before_the_work(
        self, call: Call, street: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "o.mp4"
        line = call("run", street, "-o", out, "--report", tmp_path / "none" / "r.json").line()
        assert "cannot write" in line
        assert not out.exists()

    def test_unknown_model_lists_the_known(self, call: Call, street: Path, tmp_path: Path) -> None:
        line = call("run", street, "-o", tmp_path / "o.mp4", "--model", "icnett").line()
        assert "icnet-camvid" in line

    def test_weights_of_another_architecture(
        self, call: Call, street: Path, tmp_path: Path
    ) -> None:
        import torch

        from streamseg.models.find import find_model
        from streamseg.models.weights import save_weights

        card = find_model("icnet-camvid").card
        other = tmp_path / "other.safetensors"
        save_weights(other, {"layer.weight": torch.zeros(3, 3)}, card)
        line = call("run", street, "-o", tmp_path / "o.mp4", "--model", other).line()
        assert "not of this architecture" in line

    @pytest.mark.parametrize("size", ["0x0", "720", "-1x5", "99999x99999"])
    def test_impossible_size(self, call: Call, street: Path, tmp_path: Path, size: str) -> None:
        line = call("run", street, "-o", tmp_path / "o.mp4", f"--size={size}").line()
        assert "expected" in line

    def test_max_age_where_every_frame_counts(
        self, call: Call, street: Path, tmp_path: Path
    ) -> None:
        line = call("run", street, "-o", tmp_path / "o.mp4", "--max-age", "50", *FAST).line()
        assert 'expected no max age with policy "every"' in line
        age = ["--policy", "latest", "--max-age", "0"]
        assert "above 0 ms" in call("run", street, "-o", tmp_path / "o.mp4", *age, *FAST).line()
        assert not list(tmp_path.glob("o.*"))

    def test_camera_that_does_not_exist(self, call: Call, tmp_path: Path) -> None:
        line = call("run", "97", "-o", tmp_path / "o.mp4").line()
        assert "/dev/video97" in line

    def test_out_of_disk_while_writing(self, street: Path, tmp_path: Path) -> None:
        """A file-size limit stands for the full disk: the write fails the same way in the same place."""
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "from streamseg.cli import main;"
            "import streamseg; s = streamseg.load(size=(97, 129), precision='fp32'); s.close();"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
            "sys.exit(main(sys.argv[1:]))"
        )
        words = ["run", street, "-o", tmp_path / "o.mp4", *FAST]
        child = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            capture_output=True, text=True, timeout=90, env={**os.environ, "STREAMSEG_CACHE": "off"},
        )  # fmt: skip
        assert child.returncode == 1, child.stderr
        assert "streamseg: error: writing" in child.stderr
        assert "Traceback" not in child.stderr


def test_usage_errors_exit_with_2(call: Call) -> None:
    assert call("run").status == 2
    assert call("frobnicate").status == 2
    assert call().status == 2


def test_debug_log_level_shows_the_traceback(call: Call, tmp_path: Path) -> None:
    with pytest.raises(streamseg.SourceError):
        call("run", tmp_path / "no.mp4", "--log-level", "debug")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_closes_a_playable_file(
    street: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The stream is endless (a real-time source would be): a folder of many images, stopped half way."""
    import cv2

    from streamseg.sample import render_street

    frames = tmp_path / "frames"
    frames.mkdir()
    picture = next(render_street(seconds=0.1, size=(96, 128), fps=25, seed=1)).image
    for index in range(2000):
        cv2.imwrite(str(frames / f"{index}.png"), picture)
    out = tmp_path / "o.mp4"
    child = subprocess.Popen(
        [sys.executable, "-m", "streamseg", "run", str(frames), "-o", str(out), *FAST],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    part = tmp_path / "o.part.mp4"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert child.poll() is None, child.communicate()
    time.sleep(0.5)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert 0 < len(pts_seconds(out)) < 2000
