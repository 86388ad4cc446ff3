"""A result made by hand."""

from streamseg.benchmark.records import (
    Accuracy,
    CeilingRow,
    EndToEnd,
    Latest,
    Network,
    NetworkRow,
    Paint,
    Pipeline,
    Program,
    Ratio,
    Result,
    Skipped,
    StageCost,
)


def ratio(of: str, to: str, median: float) -> Ratio:
    return Ratio(of=of, to=to, median=median, least=median / 2, greatest=median * 2)


def program(kind: str, name: str, size: tuple[int, int], speed: float) -> Program:
    networks = {"loop": "torch fp32, as published", "supervision": "openvino bf16, as published"}
    return Program(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        network=networks.get(kind, "openvino int8"),
        network_size=size,
        frames=9,
        frames_per_second=speed,
    )


END_TO_END = EndToEnd(
    video_size=(64, 96),
    programs=(
        program("loop", "loop, network 64x96", (64, 96), 1.0),
        program("loop", "loop, network 32x48", (32, 48), 4.0),
        program("supervision", "supervision, network 64x96", (64, 96), 3.0),
        program("supervision", "supervision, network 32x48", (32, 48), 9.0),
        program("streamseg", "streamseg run --size native", (65, 97), 20.0),
        program("streamseg", "streamseg run --size auto", (33, 49), 60.0),
    ),
    ratios=(
        ratio("streamseg run --size native", "loop, network 64x96", 20.0),
        ratio("streamseg run --size native", "loop, network 32x48", 5.0),
        ratio("streamseg run --size native", "supervision, network 64x96", 7.0),
        ratio("streamseg run --size native", "supervision, network 32x48", 2.0),
        ratio("streamseg run --size auto", "loop, network 64x96", 60.0),
        ratio("streamseg run --size auto", "loop, network 32x48", 15.0),
        ratio("streamseg run --size auto", "supervision, network 64x96", 21.0),
        ratio("streamseg run --size auto", "supervision, network 32x48", 6.0),
    ),
)

NETWORK = Network(
    size=(65, 97),
    gflop_published=2.0,
    gflop_executed=1.5,
    ceilings=(CeilingRow(name="ceiling int8", precision="int8", gflop_per_second=800.0),),
    rows=(
        NetworkRow(
            name="openvino int8",
            backend="openvino",
            precision="int8",
            form="streamseg",
            milliseconds=3.5,
            frames_per_second=320.0,
            gflop_per_second=640.0,
            of_ceiling=ratio("openvino int8", "ceiling int8", 0.8),
        ),
        NetworkRow(
            name="torch fp32",
            backend="torch",
            precision="fp32",
            form="streamseg",
            milliseconds=31.25,
            frames_per_second=32.0,
            gflop_per_second=64.0,
            of_ceiling=None,
        ),
    ),
    ratios=(
        ratio("openvino int8", "openvino bf16", 1.8),
        ratio("openvino int8", "torch fp32", 10.0),
    ),
)

RESULT = Result(
    streamseg="1.2.3",
    date="2026-11-30",
    command="streamseg bench",
    python="3.11.7",
    load_average=0.25,
    machine={
        "processor": "Abacus",
        "cores": 2,
        "bf16": ["avx512_vnni"],
        "packages": {"openvino": "2026.4.1"},
        "system": "Linux",
    },
    video="drive.mp4",
    model="icnet-camvid",
    accuracy=(
        Accuracy(
            name="openvino int8",
            backend="openvino",
            precision="int8",
            form="streamseg",
            dataset="camvid",
            split="val",
            images=5,
            of_images=101,
            network_size=(577, 769),
            miou=0.67654,
            pixel_accuracy=0.9,
        ),
    ),
    network=(NETWORK,),
    end_to_end=(END_TO_END,),
    stages=(
        Pipeline(
            video_size=(64, 96),
            network_size=(65, 97),
            precision="int8",
            cores=2,
            frames=9,
            stages=(StageCost(name="decode", core_ms=4.0, wall_ms=4.0),),
            core_ms=40.0,
            ideal_ms=20.0,
            wall_ms=25.0,
            wall_to_ideal=ratio("wall", "ideal", 1.25),
        ),
    ),
    paint=Paint(
        size=(64, 96),
        grid=(9, 13),
        streamseg_ms=8.0,
        cv2_ms=96.0,
        ratio=ratio("streamseg", "cv2", 12.0),
        differing_labels=3,
        differing_bytes=1000,
        greatest_difference=1,
    ),
    latest=(
        Latest(
            video_size=(720, 960),
            network_size=(577, 769),
            precision="int8",
            keyframe="off",
            segmentation_keyframes=4,
            source_fps=30,
            max_age_ms=100.0,
            results=300,
            p50_ms=40.0,
            p99_ms=60.0,
            max_ms=70.0,
            p99_to_p50=1.5,
            greatest_age_ms=75.0,
            decoded=310,
            written=304,
            dropped=6,
            unread=4,
            dropped_by_cause={"busy": 5, "stale": 1},
            machine_p99_to_p50=1.25,
        ),
    ),
    skipped=(Skipped(what="torch bf16", reason="no such units"),),
)
