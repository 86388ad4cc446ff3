"""Segment a video, camera, address or folder of images, and write the overlay."""

import argparse
import sys
from typing import TYPE_CHECKING

from streamseg.arguments import (
    add_model_arguments,
    add_video_arguments,
    load_from_arguments,
    video_options,
    write_json,
)
from streamseg.cli.progress import PictureBar

if TYPE_CHECKING:
    from streamseg.running import Stream

EXAMPLES = (
    "streamseg run drive.mp4",
    "streamseg run drive.mp4 -o out.mp4 --save overlay,labels --report report.json",
    "streamseg run drive.mp4 --keyframe adaptive --size native",
    "streamseg run rtsp://192.0.2.7/stream -o street.mkv --policy latest --max-age 500",
    "streamseg run 'frames/*.png' -o frames.mp4 --size 720x960 --precision fp32",
    "streamseg run phone.mov -o phone.mkv --encoder hevc --quality 18 --save overlay,labels --labels-as png",
    "streamseg run damaged.ts -o rest.mp4 --on-corrupt skip --start 60 --end 90.5",
    "streamseg run street.jpg -o street.mkv --model mine/deconvnet.safetensors --proposals windows:20",
    "cat drive.mp4 | streamseg run - -o out.mp4 --limit 100",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        help="video file, folder or glob of images, camera index, /dev/videoN, rtsp://, http(s)://, or -",
    )
    parser.add_argument(
        "-o",
        "--out",
        help="overlay video: .mp4 .mov .mkv .webm .avi .gif (default: NAME_overlay.mp4 here)",
    )
    parser.add_argument("-y", "--overwrite", action="store_true", help="replace existing files")
    add_video_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--policy",
        default="every",
        choices=("every", "latest"),
        help="every frame, as many a second as can be; or the newest wins, each as quickly as can be, and "
        "files play in real time (default: %(default)s)",
    )
    parser.add_argument(
        "--max-age",
        type=float,
        metavar="MS",
        help="with --policy latest: leave out frames that were captured more than MS milliseconds ago",
    )
    parser.add_argument("--view", action="store_true", help="also show a window (q closes it)")
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON (- for stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    with PictureBar(quiet=args.quiet) as parts:
        segmenter = load_from_arguments(args, progress=parts)
        stream = segmenter.run(
            args.source,
            args.out,
            overwrite=args.overwrite,
            policy=args.policy,
            max_age_ms=args.max_age,
            **video_options(args),
        )
        try:
            with stream:
                interrupted = follow(stream, quiet=args.quiet, view=args.view)
        finally:
            write_json(args.report, stream.report())
    if not args.quiet:
        print_summary(stream)
    return 130 if interrupted else 0


def follow(stream: "Stream", *, quiet: bool = False, view: bool = False) -> bool:
    """Consume `stream` with a progress bar; the first Ctrl-C lets what was read go through to the end.

    Returns:
        Whether it was interrupted.
    """
    from tqdm import tqdm

    window = None
    if view:
        from streamseg.view import Window

        window = Window("streamseg")
    interrupted = False
    bar = tqdm(total=stream.info.num_frames, unit="frame", disable=quiet or None, leave=False)
    with bar:
        while True:
            try:
                result = stream.read()
                if result is None:
                    break
                bar.update()
                if window is not None and not window.show(result.overlay()):
                    stream.finish_early()
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                stream.finish_early()
    if window is not None:
        window.close()
    return interrupted


def print_summary(stream: "Stream") -> None:
    """Where the files are, how fast it went and what was dropped: one line each, on standard output."""
    report = stream.report()
    frames, latency = report["frames"], report["latency_ms"]
    for path in stream.files.values():
        print(path)
    causes = ", ".join(f"{n} {cause}" for cause, n in frames["dropped_by_cause"].items() if n)
    drops = f", {frames['dropped']} dropped ({causes})" if causes else ""
    print(
        f"{frames['written']} frames in {report['wall_seconds'] - report['warmup_seconds']:.1f} s{drops}: "
        f"{report['fps']:.1f} frames/s end to end, latency p50 {latency['p50']:.0f} ms, "
        f"p95 {latency['p95']:.0f} ms ({report['backend']} {report['precision']} on {report['device']}, "
        f"network {report['size'][0]}x{report['size'][1]})"
    )
    for fallback in report["fallbacks"]:
        print(f"note: {fallback}", file=sys.stderr)
