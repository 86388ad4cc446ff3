"""The result of a benchmark: records, and, by `to_json`, the JSON of `streamseg bench --json`.

    {"streamseg", "date", "command", "python", "load_average", "machine", "video", "model",
     "accuracy":   [Accuracy ...],      "network":  [Network ...],   "end_to_end": [EndToEnd ...],
     "stages":     [Pipeline ...],      "paint":    Paint | null,    "latest":     [Latest ...],
     "skipped":    [Skipped ...]}

Keys are the attributes below. Sizes are [height, width]. Speeds and times are medians over rounds; every `Ratio`
is taken within rounds. A section that was not asked for, or could not be run, is empty or null.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Size = tuple[int, int]
"""(height, width)."""

Form = Literal["streamseg", "published"]
"""How a network is run: by an engine of streamseg; or as published, fed and painted by cv2 and numpy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times faster one contestant is than another.

    Attributes:
        of, to: names of the two.
        median, least, greatest: over the rounds, each round's speeds divided by each other.
    """

    of: str
    to: str
    median: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that could not be measured, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Scores of one way to run the network.

    Attributes:
        name: "openvino int8", or "openvino bf16, as published": like the rows of `Network`.
        backend, precision, form: how it was run.
        dataset, split, images: what was scored, at the label maps' own size; images of the split's `of_images`.
        network_size: its input.
        miou, pixel_accuracy: fractions in 0..1, as of `streamseg eval`.
    """

    name: str
    backend: str
    precision: str
    form: Form
    dataset: str
    split: str
    images: int
    of_images: int
    network_size: Size
    miou: float
    pixel_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One way to run the network, input ready in memory, logits out.

    Attributes:
        name, backend, precision, form: see `Accuracy`.
        milliseconds: of one picture alone, all cores on it.
        frames_per_second: of many pictures, as many side by side as the engine takes.
        gflop_per_second: multiplications and additions of the network *as published*, whatever is executed.
        of_ceiling: `gflop_per_second` over the ceiling of this precision; null where no ceiling was measured.
    """

    name: str
    backend: str
    precision: str
    form: Form
    milliseconds: float
    frames_per_second: float
    gflop_per_second: float
    of_ceiling: Ratio | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingRow:
    """What this machine reaches on large convolutions of one precision, in the same rounds.

    Attributes:
        name: "ceiling int8".
        gflop_per_second: multiplications and additions, all cores.
    """

    name: str
    precision: str
    gflop_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network alone, at one size of its input.

    Attributes:
        size: of its input.
        gflop_published: 1e9 multiplications and additions of the convolutions of one picture, as published.
        gflop_executed: the same of the rearranged network that streamseg's engines run; null if there is none.
        ratios: int8 to bf16, and every row to torch fp32.
    """

    size: Size
    gflop_published: float
    gflop_executed: float | None
    ceilings: tuple[CeilingRow, ...]
    rows: tuple[NetworkRow, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program from a video file to an overlaid video file.

    Attributes:
        kind: "loop" is the script that people write, one thing after the other, around torch fp32 as published;
            "supervision" is `supervision.process_video` around OpenVINO, as published; both paint with cv2.
        network: name of the row of `Accuracy` and `Network` that it runs.
        network_size: its input.
        frames: timed in each round.
        keyframe: "off" where every frame goes through the whole network; else what `--keyframe` was given.
    """

    name: str
    kind: Literal["loop", "supervision", "streamseg"]
    network: str
    network_size: Size
    frames: int
    frames_per_second: float
    keyframe: str = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """All programs on one video. Loading, compiling and the first frame are left out of each.

    Attributes:
        video_size: of the video in and out.
        ratios: every streamseg program to every other one.
    """

    video_size: Size
    programs: tuple[Program, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """One stage alone, over the same decoded frames.

    Attributes:
        name: as in the report of a stream.
        core_ms: processor time a frame, of all threads of the process together.
        wall_ms: time a frame.
    """

    name: str
    core_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How near the stages together come to what the cores could do.

    Attributes:
        frames: end to end, in each round.
        core_ms: processor time a frame of all stages, each measured alone.
        ideal_ms: `core_ms` / cores: a frame's time if no core ever idled.
        wall_ms: a frame's time end to end.
        wall_to_ideal: 1 is perfect; 1.25 wastes a fifth. `of` and `to` name the two times; here less is better.
    """

    video_size: Size
    network_size: Size
    precision: str
    cores: int
    frames: int
    stages: tuple[StageCost, ...]
    core_ms: float
    ideal_ms: float
    wall_ms: float
    wall_to_ideal: Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """From logits to the overlaid picture: streamseg against cv2, on the same logits and BGR picture.

    Attributes:
        size: of the picture.
        grid: of the logits, classes left out. They lie as cv2's pixels do (corners not aligned).
        streamseg_ms, cv2_ms: a picture's time.
        ratio: of their speeds.
        differing_labels: pixels whose labels differ, of height x width.
        differing_bytes: bytes of the overlay that differ, of height x width x 3.
        greatest_difference: between overlays' bytes where labels are equal, 0..255.
    """

    size: Size
    grid: Size
    streamseg_ms: float
    cv2_ms: float
    ratio: Ratio
    differing_labels: int
    differing_bytes: int
    greatest_difference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest result of a source in real time, polled: ages from capture to the moment of delivery.

    Attributes:
        video_size, network_size, precision: of the source and the network.
        keyframe: see `Program`; segmentation_keyframes: how many of the frames labelled were some.
        source_fps: frames a second that come in.
        max_age_ms: older results were not wanted.
        results: how many different ones were delivered.
        p50_ms, p99_ms, max_ms: ages of these when delivered first.
        p99_to_p50: their ratio.
        machine_p99_to_p50: the same of plain arithmetic on all cores, as often and about as long, right afterwards:
            the part of the tail that is the machine's own. 0 where it was not measured.
        greatest_age_ms: of anything delivered, repeated results included.
        decoded, written: frames read, and frames labelled.
        dropped, unread: frames that were dropped in all, and labelled ones that nobody asked for.
        dropped_by_cause: as in the report of a stream.
    """

    video_size: Size
    network_size: Size
    precision: str
    keyframe: str
    segmentation_keyframes: int
    source_fps: float
    max_age_ms: float
    results: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    p99_to_p50: float
    greatest_age_ms: float
    decoded: int
    written: int
    dropped: int
    unread: int
    dropped_by_cause: dict[str, int]
    machine_p99_to_p50: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything measured in one run.

    Attributes:
        streamseg, python: versions.
        date: of the run, ISO.
        command: that made it.
        load_average: processes that were busy when the run began (of the last minute): near 0 on a quiet machine;
            null where the system does not say.
        machine: "processor", "cores", "bf16" (the units for small numbers that it has), "packages" and
            "system", as `streamseg doctor` names them.
        video: name of the file that all copies were made of.
        model: name on its card.
    """

    streamseg: str
    date: str
    command: str
    python: str
    load_average: float | None
    machine: dict[str, Any]
    video: str
    model: str
    accuracy: tuple[Accuracy, ...] = ()
    network: tuple[Network, ...] = ()
    end_to_end: tuple[EndToEnd, ...] = ()
    stages: tuple[Pipeline, ...] = ()
    paint: Paint | None = None
    latest: tuple[Latest, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and objects alone."""
        return dataclasses.asdict(self)
