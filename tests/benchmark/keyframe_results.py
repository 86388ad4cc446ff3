"""A keyframe curve with round numbers."""

from streamseg.benchmark.keyframe_curve import (
    STILL,
    Clip,
    Curve,
    MotionCost,
    Point,
    ReuseTime,
    ReuseTimes,
    Way,
)
from streamseg.benchmark.records import Ratio

CODEC = Way("codec")


def ratio(name: str, median: float) -> Ratio:
    return Ratio(
        of=name, to="every frame", median=median, least=median - 0.01, greatest=median + 0.01
    )


def reuse_time(way: Way, interval: int, relative: float) -> ReuseTime:
    return ReuseTime(
        way=way,
        interval=interval,
        keyframe_share=1 / interval,
        milliseconds=100 * relative,
        relative=ratio(str(interval), relative),
    )


TIMES = ReuseTimes(
    video_size=(64, 96),
    network_size=(65, 97),
    backend="openvino",
    precision="int8",
    cores=2,
    rounds=3,
    frames=40,
    every_frame_ms=100.0,
    times=(
        *(reuse_time(STILL, interval, 0.2 + 0.8 / interval) for interval in (1, 4, 8)),
        *(reuse_time(CODEC, interval, 0.25 + 0.8 / interval) for interval in (1, 4, 8)),
    ),
)
"""Relative time is 0.2 + 0.8 * share without motion, and 0.05 more with it."""


def point(
    keyframe: str,
    way: Way,
    share: float,
    miou: float,
    average: float | None = None,
    minimum: float | None = None,
) -> Point:
    return Point(
        keyframe=keyframe,
        way=way,
        runs=1,
        keyframe_share=share,
        miou=miou,
        pixel_accuracy=0.9,
        miou_by_distance={"0": 0.67},
        miou_by_run=[miou - 0.002, miou + 0.002] if minimum else [miou],
        miou_average=average,
        miou_minimum=minimum,
        temporal_consistency=0.8 + (1 - share) / 10,
        vc8=0.9,
    )


CLIP = Clip(
    name="camvid val",
    frames=101,
    scored_from=7,
    size=(360, 480),
    network_size=(577, 769),
    rate=15.0,
    recipe="recipe camera",
    points=(
        point("off", STILL, 1, 0.67),
        point("fixed:1", STILL, 1, 0.67, 0.67, 0.67),
        point("fixed:4", STILL, 1 / 4, 0.62, 0.62, 0.57),
        point("fixed:8", STILL, 1 / 8, 0.57, 0.57, 0.50),
        point("fixed:1", CODEC, 1, 0.67, 0.67, 0.67),
        point("fixed:4", CODEC, 1 / 4, 0.665, 0.666, 0.66),
        point("fixed:8", CODEC, 1 / 8, 0.658, 0.658, 0.64),
        *(
            point(f"adaptive:{step / 10:g}", CODEC, 0.2 + step / 50, 0.660 + step / 1000)
            for step in range(6)
        ),
        point("adaptive:1", CODEC, 1.0, 0.67),
    ),
)
"""Adaptive without motion was not asked for."""

COST = MotionCost(
    recipe="default", motion="codec", video_size=(64, 96),
    decoding=0.5, stage=0.7, chaining=0.1, total=1.3, least=1.2, greatest=1.5, turning=0.4,
)  # fmt: skip

CURVE = Curve(
    streamseg="1.2.3",
    date="2026-01-02",
    command="scripts/keyframes",
    python="3.11.7",
    load_average=0.5,
    machine={
        "processor": "Some CPU", "cores": 2, "bf16": ["avx512_bf16"], "packages": {"numpy": "2.0"},
        "system": "Linux",
    },
    video="drive.mp4",
    model="icnet-camvid",
    times=(TIMES,),
    costs=(COST,),
    clips=(CLIP,),
)  # fmt: skip
