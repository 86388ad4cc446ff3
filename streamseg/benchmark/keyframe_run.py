"""Measures keyframe reuse: accuracy of all settings on CamVid's validation clip and on a rendered one, and their times.

This is what scripts/keyframes runs: `python -m streamseg.benchmark.keyframe_run --help`.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from tqdm import tqdm

from streamseg.arguments import data_folder
from streamseg.benchmark.copies import scaled_copy
from streamseg.benchmark.keyframe_chart import draw
from streamseg.benchmark.keyframe_curve import OFF, STILL, Clip, Curve, Point, ReuseTimes
from streamseg.benchmark.keyframe_plan import QUICK, KeyframePlan, Settings, retimed
from streamseg.benchmark.keyframe_table import markdown
from streamseg.benchmark.motion_cost import motion_costs
from streamseg.benchmark.reuse import reuse_times
from streamseg.benchmark.rounds import Progress
from streamseg.datasets import open_dataset
from streamseg.engine.choose import open_engine
from streamseg.errors import StreamsegError
from streamseg.evaluation.labelled_video import LabelledVideo, encode_split, render_labelled
from streamseg.evaluation.video import evaluate_video
from streamseg.machine import examine
from streamseg.models.find import find_model
from streamseg.sample import write_sample
from streamseg.segmenter import Segmenter, load
from streamseg.version import __version__


def measure(
    video: Path | None,
    *,
    model: str,
    plan: KeyframePlan,
    data: Path,
    command: str,
    progress: Progress,
) -> Curve:
    """Measure what `plan` asks for, on the CPU.

    Args:
        video: copies of it are timed; None for a rendered street.
        data: CamVid's folder.
        command: how to run this again; goes into the result.

    Raises:
        DataError, ModelError, SourceError: no such data, model or video.
    """
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = examine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [
            (camvid_clip(data, folder, plan), plan.camvid),
            (retimed_clip(data, folder, plan), plan.retimed),
            (rendered_clip(folder, plan), plan.rendered),
        ]
        timed = video or _street(folder)
        times = time_network(timed, folder, model, plan, progress)
        costs = motion_costs(
            timed,
            folder,
            plan.timed_size,
            frames=plan.frames,
            rounds=3 * plan.rounds,  # turns are short, and what decoding adds is a small difference
            progress=progress,
        )
        with load(model, device="cpu") as segmenter:
            scored = [score(segmenter, clip, settings, progress) for clip, settings in clips]
    return Curve(
        streamseg=__version__,
        date=date.today().isoformat(),
        command=command,
        python=platform.python_version(),
        load_average=average,
        machine={key: machine[key] for key in ("processor", "cores", "bf16", "packages", "system")},
        video=video.name if video else "a rendered street",
        model=find_model(model).card.name,
        times=times,
        costs=tuple(costs),
        clips=tuple(scored),
    )


def camvid_clip(data: Path, folder: Path, plan: KeyframePlan) -> LabelledVideo:
    """CamVid's validation split, as a camera would have encoded it."""
    return encode_split(open_dataset(data, "val"), folder / "val.mp4", limit=plan.images)


def retimed_clip(data: Path, folder: Path, plan: KeyframePlan) -> LabelledVideo:
    """The same images, `retimed`."""
    images = open_dataset(data, "val")
    order = retimed(min(plan.images or len(images), len(images)))
    pairs = tuple(images.pairs[index] for index in order)
    return encode_split(
        replace(images, split="val, retimed", pairs=pairs), folder / "val_retimed.mp4"
    )


def rendered_clip(folder: Path, plan: KeyframePlan) -> LabelledVideo:
    """A rendered street, encoded with B-frames."""
    return render_labelled(
        folder, seconds=plan.rendered_seconds, size=plan.rendered_size, fps=plan.rendered_fps
    )


def score(
    segmenter: Segmenter, video: LabelledVideo, settings: Settings, progress: Progress
) -> Clip:
    """Every setting on the frames of `video` that the greatest interval can be scored on."""
    first = max(settings.intervals) - 1
    asked = [(OFF, STILL)]
    asked += [(word, way) for way in settings.ways for word in settings.keyframes(way)]
    points = []
    for keyframe, way in asked:
        progress(f"scoring {video.dataset}, {keyframe}, {way}")
        scores = evaluate_video(
            segmenter,
            video,
            keyframe=keyframe,
            motion=way.motion,
            features=way.features,
            scored_from=first,
        )
        points.append(Point.of(scores, way))
    size = (video.truth[0].shape[0], video.truth[0].shape[1])
    return Clip(
        name=f"{video.dataset} {video.split}",
        frames=len(video),
        scored_from=first,
        size=size,
        network_size=segmenter.network_size(size),
        rate=scores["video"]["rate"],
        recipe=f"recipe {video.recipe}" if video.recipe else "as rendered",
        points=tuple(points),
    )


def time_network(
    video: Path, folder: Path, model: str, plan: KeyframePlan, progress: Progress
) -> tuple[ReuseTimes, ...]:
    """Times of the network part on a copy of `video`, for each size of the network's input that is asked for."""
    copy = folder / "timed.mp4"
    scaled_copy(video, plan.timed_size, copy, plan.frames)
    found = []
    for choice in plan.network_sizes:
        engine = open_engine(
            find_model(model), backend="auto", device="cpu", precision="auto", size=choice
        )
        try:
            found.append(
                reuse_times(
                    engine,
                    copy,
                    ways=plan.camvid.ways,
                    intervals=plan.camvid.intervals,
                    frames=plan.frames,
                    rounds=plan.rounds,
                    progress=progress,
                )
            )
        finally:
            engine.close()
    return tuple(found)


def _street(folder: Path) -> Path:
    path = folder / "timed_street.mp4"
    write_sample(path, seconds=2, size=(540, 960), fps=25, seed=0)
    return path


def main(words: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/keyframes", description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, help="timed (default: a rendered street)")
    parser.add_argument("--model", default="icnet-camvid", help="(default: %(default)s)")
    parser.add_argument("--data", help="CamVid's folder (default: camvid below STREAMSEG_DATA)")
    parser.add_argument("--quick", action="store_true", help="to see that all runs; noisy")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of everything timed")
    parser.add_argument("--json", type=Path, required=True, help="all numbers")
    parser.add_argument("--markdown", type=Path, required=True, help="tables, as on stdout")
    parser.add_argument("--chart", type=Path, required=True, help="PNG")
    args = parser.parse_args(words)
    plan = QUICK if args.quick else KeyframePlan()
    with tqdm(leave=False, disable=None, unit="") as bar:

        def progress(text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update()

        try:
            curve = measure(
                args.video,
                model=args.model,
                plan=replace(plan, rounds=args.rounds) if args.rounds else plan,
                data=data_folder(args.data),
                command=command_of(args),
                progress=progress,
            )
        except StreamsegError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    args.json.write_text(json.dumps(curve.to_json(), indent=1) + "\n", encoding="utf-8")
    args.markdown.write_text(markdown(curve) + "\n", encoding="utf-8")
    draw(curve, args.chart)
    print(markdown(curve))
    return 0


def command_of(args: argparse.Namespace) -> str:
    """The command line that measures the same again; files by their names alone."""
    words = ["scripts/keyframes", *([args.video.name] if args.video else [])]
    if args.model != "icnet-camvid":
        words += ["--model", Path(args.model).name]
    words += ["--quick"] if args.quick else []
    return shlex.join([*words, *(["--rounds", str(args.rounds)] if args.rounds else [])])


if __name__ == "__main__":
    sys.exit(main())
