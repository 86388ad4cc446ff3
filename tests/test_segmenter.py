"""`Segmenter` and `Stream` over an engine whose labels are the picture's own brightness."""

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import (
    FakeEngine,
    FakeSource,
    ManualClock,
    fake_segmenter,
    label_of_luma,
    luma_of,
    streamseg_threads,
)
from media import picture, write_clip

import streamseg
from streamseg.errors import BackendError, SinkError, SourceError
from streamseg.labels import CAMVID, CITYSCAPES
from streamseg.picture.pixels import Packed
from streamseg.running import Stream
from streamseg.segmenter import Segmenter, _labels_with_palette
from streamseg.stream.pipeline import Policy
from streamseg.writing.sink import FileSink, Outputs

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = streamseg_threads()
    yield
    gc.collect()
    assert streamseg_threads() == before


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mp4", num_frames=20, options={"bf": "2", "crf": "8"})


# ---- one picture


@pytest.mark.parametrize("pixel_format", ["bgr24", "rgb24"])
def test_an_array_is_labelled_in_its_own_channel_order(pixel_format: str) -> None:
    image = picture(2, (33, 65))
    result = fake_segmenter()(image, pixel_format=pixel_format)
    assert np.array_equal(
        result.labels, label_of_luma(luma_of(Packed(pixels=image, order=pixel_format)))
    )
    assert (result.labels.dtype, result.labels.shape) == (np.uint8, (33, 65))
    palette = CAMVID.palette_rgb()
    if pixel_format == "bgr24":
        palette = palette[:, ::-1]
    overlay = result.overlay(alpha=0.25)
    exact = 0.75 * image + 0.25 * palette[result.labels]
    assert np.abs(overlay - exact).max() <= 1
    assert np.array_equal(result.overlay(alpha=0.0), image)
    assert result.image is image


def test_both_channel_orders_agree() -> None:
    image = picture(2, (40, 48))
    segmenter = fake_segmenter()
    rgb, bgr = segmenter(image, pixel_format="rgb24"), segmenter(image[:, :, ::-1])
    assert np.array_equal(rgb.labels, bgr.labels)
    assert np.array_equal(rgb.overlay(), bgr.overlay()[:, :, ::-1])


def test_a_video_frame_is_labelled_by_its_colors(clip: Path) -> None:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    result = fake_segmenter()(frame)
    shown = picture(0, (48, 64))[..., ::-1]
    assert np.abs(result.image.astype(int) - shown).mean() < 2
    assert np.array_equal(result.labels, label_of_luma(luma_of(Packed(pixels=result.image))))
    assert result.overlay().shape == shown.shape


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), "expected an image of height x width x 3, got shape"),
        (np.zeros((4, 4, 4), np.uint8), "expected an image of height x width x 3, got shape"),
        (np.zeros((4, 4, 3)), r"expected a non-empty uint8 image .*, got float64"),
        (np.zeros((0, 4, 3), np.uint8), r"expected a non-empty uint8 image .*, got uint8 \(0, 4"),
        ([[1, 2, 3]], "expected an image of height x width x 3, got shape"),
        (None, "expected an image of height x width x 3"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fake_segmenter()(image)


def test_an_unknown_pixel_format_is_refused() -> None:
    with pytest.raises(ValueError, match='"bgr24" or "rgb24", got \'gray\''):
        fake_segmenter()(picture(0, (4, 4)), pixel_format="gray")


# ---- a stream


def test_results_come_in_order_with_times_and_labels(clip: Path) -> None:
    with av.open(str(clip)) as container:
        decoded = list(container.decode(video=0))
    stream = fake_segmenter().stream(clip)
    results = list(stream)
    assert [result.index for result in results] == list(range(20))
    assert [result.pts for result in results] == [frame.pts for frame in decoded]
    assert [result.time_seconds for result in results] == pytest.approx(
        [frame.time for frame in decoded]
    )
    for result, frame in zip(results, decoded, strict=True):
        assert np.array_equal(result.labels, label_of_luma(frame.to_ndarray()[:48, :64]))
        assert result.is_keyframe
    assert results[3].overlay().shape == (48, 64, 3)
    assert np.abs(results[3].image[..., ::-1].astype(int) - picture(3, (48, 64))).mean() < 2
    assert stream.ended
    assert stream.read() is None


def test_the_report_adds_up(clip: Path) -> None:
    stream = fake_segmenter().stream(clip)
    report = stream.finish()
    assert report["frames"] == {
        "decoded": 20, "segmented": 20, "written": 20, "dropped": 0,
        "dropped_by_cause": {"busy": 0, "stale": 0}, "unread": 0, "corrupt": 0, "interlaced": 0,
    }  # fmt: skip
    assert report["segmentation_keyframes"] == 20
    assert (report["source"], report["model"]) == (str(clip), "fake")
    assert (report["backend"], report["device"], report["precision"]) == ("torch", "cpu", "fp32")
    assert report["size"] == [48, 64]
    assert report["streamseg"] == streamseg.__version__
    assert report["fallbacks"] == ["a, b, because"]
    assert [stage["name"] for stage in report["stages"]] == [
        "decode", "transfer", "infer", "overlay",
    ]  # fmt: skip
    running = report["wall_seconds"] - report["warmup_seconds"]
    assert report["warmup_seconds"] > 0
    assert report["fps"] == pytest.approx(20 / running, rel=0.05)
    assert report["cores_busy"] == pytest.approx(report["cpu_seconds"] / running, rel=0.05)
    for stage in report["stages"]:
        times = [value for key, value in stage.items() if key != "name"]
        assert sum(times) == pytest.approx(1000 * running / 20, abs=0.02)  # rounded to 0.1 ms / 20
    latency = report["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert stream.report()["wall_seconds"] == report["wall_seconds"]  # time stops at the end


def test_a_file_run_reports_its_encoder_stage(clip: Path, tmp_path: Path) -> None:
    stream = fake_segmenter().run(clip, tmp_path / "out.mp4")
    assert stream.files == {"overlay": tmp_path / "out.mp4"}
    assert stream.finish()["stages"][-1]["name"] == "encode"


def test_leaving_the_loop_ends_the_stream(clip: Path) -> None:
    stream = fake_segmenter().stream(clip)
    for result in stream:
        if result.index == 2:
            break
    gc.collect()
    assert stream.ended
    assert streamseg_threads() == []


def test_a_stream_that_is_dropped_ends(clip: Path) -> None:
    stream = fake_segmenter().stream(clip)
    assert streamseg_threads()
    del stream
    gc.collect()
    assert streamseg_threads() == []


def test_closing_and_leaving_with(clip: Path) -> None:
    with fake_segmenter().stream(clip) as stream:
        assert stream.read() is not None
    assert stream.ended
    assert streamseg_threads() == []
    stream.close()


def test_read_gives_up_in_time_and_the_stream_goes_on() -> None:
    stream = Stream(FakeEngine(), CAMVID, FakeSource(1, hang=True))
    first = stream.read(10.0)
    assert first is not None
    with pytest.raises(TimeoutError, match=r"no result within 0.01 s"):
        stream.read(0.01)
    assert not stream.ended
    stream.close()


def test_finish_early_lets_through_what_was_read() -> None:
    stream = Stream(FakeEngine(), CAMVID, FakeSource(100_000))
    assert stream.read() is not None
    stream.finish_early()
    report = stream.finish()
    assert report["frames"]["decoded"] == report["frames"]["written"] < 100_000


def test_errors_of_source_and_network_reach_the_caller(clip: Path) -> None:
    stream = Stream(FakeEngine(), CAMVID, FakeSource(3, error=SourceError("cut short")))
    came = []
    with pytest.raises(SourceError, match="cut short"):
        came.extend(stream)
    assert stream.report()["frames"]["written"] == 3
    calls = iter(range(100))

    def fails() -> None:
        if next(calls) == 4:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(fake_segmenter(fails).stream(clip))


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_warm_up_and_frames_take_the_same_path(policy: Policy) -> None:
    engine = FakeEngine()
    stream = Stream(engine, CAMVID, FakeSource(1), policy=policy)
    assert stream.finish()["frames"]["written"] == 1
    assert engine.calls == (["submit"] * 3 if policy == "every" else ["infer"] * 2)


def test_leaving_early_ends_the_pictures_that_run() -> None:
    engine = FakeEngine()
    for result in Stream(engine, CAMVID, FakeSource(1000)):
        if result.index == 1:
            break
    gc.collect()
    assert engine.running == 0
    assert engine.most_running == engine.parallel + 1


def test_a_failing_warm_up_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no such device")

    out = tmp_path / "out.mp4"
    with pytest.raises(RuntimeError, match="no such device"):
        fake_segmenter(fails).run(clip, out)
    assert sorted(tmp_path.iterdir()) == [clip]
    source = FakeSource()
    with pytest.raises(RuntimeError, match="no such device"):
        Stream(FakeEngine(fails), CAMVID, source)
    assert source.num_closed == 1


def test_an_unfinished_file_is_an_error_of_close_but_hides_no_other(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfinished() -> Stream:
        stream = fake_segmenter().run(clip, tmp_path / "out.mp4", overwrite=True)
        finish = stream._sink.close  # type: ignore[union-attr]

        def close() -> None:
            finish()
            raise SinkError("disk full")

        monkeypatch.setattr(stream._sink, "close", close)
        return stream

    stream = unfinished()
    assert stream.read() is not None
    with pytest.raises(SinkError, match="disk full"):
        stream.close()

    def fails_inside() -> None:
        with unfinished() as stream:
            assert stream.read() is not None
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        fails_inside()


# ---- the newest result


def test_latest_returns_the_newest_and_then_the_same_again() -> None:
    hold = threading.Semaphore(0)
    clock = ManualClock()
    calls = iter(range(1000))

    entered = threading.Event()

    def wait() -> None:
        if next(calls):  # not in the warm-up
            entered.set()
            assert hold.acquire(timeout=10)

    def after_the_first(index: int) -> None:
        assert index == 0 or entered.wait(10)

    source = FakeSource(50, hang=True, before=after_the_first)
    stream = Stream(FakeEngine(wait), CAMVID, source, policy="latest", clock=clock)
    assert stream.latest(timeout_ms=0) is None
    hold.release()
    first = stream.latest(timeout_ms=10_000)
    assert first is not None
    assert first.index == 0
    while stream.report()["frames"]["decoded"] < 50:
        time.sleep(0.001)
    hold.release(100)  # for the frames that had been taken on, and the newest
    while stream.report()["frames"]["written"] + stream.report()["frames"]["dropped"] < 50:
        time.sleep(0.001)
    newest = stream.latest(timeout_ms=10_000)
    assert newest is not None
    assert newest.index == 49
    assert stream.latest(timeout_ms=1) is newest
    clock.advance(0.5)
    assert newest.age_ms == pytest.approx(500)
    assert stream.report()["frames"]["dropped"] > 40
    stream.close()
    assert stream.latest() is None


@pytest.mark.parametrize("timeout_ms", [0.0, 50.0])
def test_latest_never_waits_longer_than_asked(timeout_ms: float) -> None:
    stream = Stream(FakeEngine(), CAMVID, FakeSource(0, hang=True), policy="latest")
    started = time.monotonic()
    assert stream.latest(timeout_ms=timeout_ms) is None
    waited = 1000 * (time.monotonic() - started)
    assert timeout_ms <= waited + 1
    assert waited < timeout_ms + 500  # a loaded machine; a hang would be for ever
    stream.close()


def test_latest_reports_the_error_of_the_stream() -> None:
    source = FakeSource(1, error=SourceError("camera gone"))
    stream = Stream(FakeEngine(), CAMVID, source, policy="latest")

    def poll() -> None:
        while True:
            stream.latest(timeout_ms=100)

    with pytest.raises(SourceError, match="camera gone"):
        poll()
    assert stream.ended


def test_latest_is_refused_where_every_result_is_kept(clip: Path) -> None:
    with (
        fake_segmenter().stream(clip) as stream,
        pytest.raises(ValueError, match=r'latest\(\) expects .*policy="latest"'),
    ):
        stream.latest()


# ---- no result older than ...


def test_latest_returns_nothing_older_than_the_max_age() -> None:
    clock = ManualClock()
    ask = threading.Semaphore(0)

    def when_asked(index: int) -> None:
        assert index == 0 or ask.acquire(timeout=10)

    source = FakeSource(2, hang=True, before=when_asked, clock=clock)
    stream = Stream(FakeEngine(), CAMVID, source, policy="latest", max_age_ms=100, clock=clock)
    first = stream.latest(timeout_ms=10_000)
    assert first is not None
    clock.advance(0.1)
    assert stream.latest() is first
    clock.advance(0.001)
    assert stream.latest() is None  # the last one again, but too old by now
    ask.release()
    second = stream.latest(timeout_ms=10_000)
    assert second is not None
    assert second.index == 1
    stream.close()


def test_a_result_that_ages_unread_is_never_returned() -> None:
    clock = ManualClock()
    source = FakeSource(1, hang=True, clock=clock)
    stream = Stream(FakeEngine(), CAMVID, source, policy="latest", max_age_ms=100, clock=clock)
    while stream.report()["frames"]["written"] < 1:
        time.sleep(0.001)
    clock.advance(0.101)
    while stream.report()["frames"]["unread"] < 1:
        assert stream.latest() is None
    assert stream.report()["frames"]["dropped"] == 0
    stream.close()


def slow_second_frame() -> tuple[ManualClock, FakeSource, FakeEngine]:
    """Three frames, each captured when the network has the one before; the network is slow with the second."""
    clock = ManualClock()
    taken = threading.Semaphore(0)
    calls = iter(range(10))

    def answer() -> None:
        call = next(calls)  # of which 0 is the warm-up
        if call == 2:
            clock.advance(0.2)
        if call:
            taken.release()

    def before(index: int) -> None:
        assert index == 0 or taken.acquire(timeout=10)

    return clock, FakeSource(3, before=before, clock=clock), FakeEngine(answer)


def test_iteration_skips_what_is_too_old() -> None:
    clock, source, engine = slow_second_frame()
    stream = Stream(engine, CAMVID, source, policy="latest", max_age_ms=100, clock=clock)
    came = [result.index for result in stream]
    assert 1 not in came
    assert came[-1] == 2
    frames = stream.report()["frames"]
    assert frames["dropped_by_cause"] == {"busy": 0, "stale": 1}
    assert (frames["segmented"], frames["written"]) == (3, 2)


def test_what_is_too_old_is_not_written(tmp_path: Path) -> None:
    clock, source, engine = slow_second_frame()
    out = tmp_path / "out.mkv"
    sink = FileSink(Outputs(path=out), source, CAMVID)
    stream = Stream(engine, CAMVID, source, policy="latest", sink=sink, max_age_ms=100, clock=clock)
    frames = stream.finish()["frames"]
    assert (frames["written"], frames["dropped_by_cause"]["stale"]) == (2, 1)
    with av.open(str(out)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.08], abs=0.001)


def test_latency_is_from_capture_until_the_result_is_there_and_not_until_it_is_taken() -> None:
    clock = ManualClock()
    calls = iter(range(10))
    engine = FakeEngine(lambda: clock.advance(0.25) if next(calls) else None)
    source = FakeSource(1, hang=True, clock=clock)
    stream = Stream(engine, CAMVID, source, policy="latest", clock=clock)
    while stream.report()["frames"]["written"] < 1:
        time.sleep(0.001)
    clock.advance(9.0)
    assert stream.latest(timeout_ms=10_000) is not None
    assert stream.report()["latency_ms"]["max"] == 250
    stream.close()


@pytest.mark.parametrize("name", ["stream", "run"])
def test_a_max_age_is_refused_where_every_frame_counts(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'no max age with policy "every".*use policy "latest"'):
        getattr(fake_segmenter(), name)(tmp_path / "missing.mp4", max_age_ms=50)


# ---- arguments


def test_an_unknown_policy_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    for call in (fake_segmenter().stream, fake_segmenter().run):
        with pytest.raises(ValueError, match='"every" or "latest", got \'newest\''):
            call(tmp_path / "missing.mp4", policy="newest")  # type: ignore[operator]


def test_palettes_replace_colors_and_nothing_else() -> None:
    labels = _labels_with_palette(CAMVID, "cityscapes")
    assert labels.class_names == CAMVID.class_names
    assert labels.colors == CITYSCAPES.colors[: len(CAMVID)]
    assert _labels_with_palette(CAMVID, None) is CAMVID
    with pytest.raises(ValueError, match="unknown palette 'gold'; known: camvid, cityscapes"):
        _labels_with_palette(CAMVID, "gold")
    with pytest.raises(ValueError, match="palette 'camvid' has 11 colours, the model 19 classes"):
        _labels_with_palette(CITYSCAPES, "camvid")


@pytest.mark.parametrize("asked", [{"keyframe": "sometimes"}, {"motion": "vectors"}])
def test_load_refuses_unknown_ways_to_reuse_features(asked: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"got '(sometimes|vectors)'"):
        streamseg.load("icnet-camvid", **asked)  # type: ignore[arg-type]


def test_a_network_that_does_not_split_refuses_keyframe_reuse(clip: Path) -> None:
    with pytest.raises(BackendError, match="keyframe fixed:4 needs a network in two parts"):
        fake_segmenter().stream(clip, keyframe="fixed:4")
    assert len(list(fake_segmenter().stream(clip, motion="flow"))) == 20


def test_load_passes_compile_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def open_engine(file: Any, **options: Any) -> FakeEngine:
        asked.update(options)
        return FakeEngine()

    monkeypatch.setattr("streamseg.engine.ensemble_engine.open_engine", open_engine)
    streamseg.load("icnet-camvid")
    assert asked["compile"] is False
    streamseg.load("icnet-camvid", backend="torch", compile=True)
    assert (asked["compile"], asked["backend"]) == (True, "torch")


def test_a_segmenter_closes_its_engine() -> None:
    engine = FakeEngine()
    with Segmenter(engine, CAMVID) as segmenter:
        assert segmenter.card.name == "fake"
        assert segmenter.network_size((3, 4)) == (3, 4)
    assert engine.closed
