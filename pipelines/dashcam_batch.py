"""Segment many videos into a folder: overlays and label maps. Finished ones are skipped, so it can be run again."""

import argparse
import sys
from pathlib import Path
from typing import Any

import streamseg

EXAMPLES = (
    "streamseg batch drives/ --out overlays",
    "streamseg batch monday.mp4 tuesday.mp4 --out overlays --save labels",
)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".m4v", ".mpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="video files, and folders of them")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for everything")
    parser.add_argument("--force", action="store_true", help="do finished videos again")
    streamseg.add_video_arguments(parser, save="overlay,labels")
    streamseg.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    videos = find_videos(args.inputs)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    segmenter = streamseg.load_from_arguments(args)
    failed = 0
    for number, video in enumerate(videos, 1):
        done = out / f"{video.stem}.json"
        heading = f"[{number}/{len(videos)}] {video.name}"
        if done.exists() and not args.force:
            print(f"{heading}: finished before, skipped")
            continue
        try:
            report = segment(segmenter, video, out, args)
        except streamseg.StreamsegError as error:
            print(f"{heading}: {error}", file=sys.stderr)
            failed += 1
            continue
        # Written last: its presence says that the video is finished.
        streamseg.write_json(str(done), report)
        print(f"{heading}: {report['frames']['written']} frames, {report['fps']:.1f} frames/s")
    if failed:
        print(f"{failed} of {len(videos)} videos failed; run again to retry them", file=sys.stderr)
    return 1 if failed else 0


def segment(
    segmenter: streamseg.Segmenter, video: Path, out: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Segment one video to `out`; its report."""
    stream = segmenter.run(
        video,
        out / f"{video.stem}_overlay.mp4",
        overwrite=True,
        **streamseg.video_options(args),
    )
    with stream:
        return stream.finish()


def find_videos(inputs: list[str]) -> list[Path]:
    """Video files named or lying in the folders named, each once; outputs are named by their stems.

    Raises:
        SourceError: none, or two with the same stem.
    """
    found: dict[str, Path] = {}
    for name in inputs:
        path = Path(name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir() and file.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if found.setdefault(file.stem, file) != file:
                raise streamseg.SourceError(
                    f"expected different names, got {found[file.stem]} and {file}: their outputs would collide"
                )
    if not found:
        raise streamseg.SourceError(f"expected videos in {', '.join(inputs)}; found none")
    return list(found.values())
