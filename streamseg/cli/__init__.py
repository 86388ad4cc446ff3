"""The command line. One module per command, imported when that command is called, so `--help` is instant.

A command module has `EXAMPLES` (shown by its `--help`), `add_arguments(parser)` and `run(args) -> exit status`.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

COMMANDS = {
    "run": ("streamseg.cli.run", "segment a video or camera and write the overlay"),
    "live": ("streamseg.pipelines.live_camera", "show the live overlay in a window or a web page"),
    "batch": (
        "streamseg.pipelines.dashcam_batch",
        "segment a folder of videos, skipping finished ones",
    ),
    "loop": ("streamseg.pipelines.robotics_loop", "ask for the newest result at a fixed rate"),
    "eval": ("streamseg.cli.eval", "score a model on labelled images"),
    "train": ("streamseg.cli.train", "train a model by a recipe"),
    "compress": ("streamseg.cli.compress", "make a trained model smaller: prune and fine-tune"),
    "study": ("streamseg.cli.study", "reproduce one of the ICNet paper's studies on a data set"),
    "autolabel": (
        "streamseg.cli.autolabel",
        "make a data set of videos by a model's confident labels",
    ),
    "calibrate": ("streamseg.cli.calibrate", "make a trained model ready for int8"),
    "bench": (
        "streamseg.cli.bench",
        "time network, stages and whole videos against others, in one run",
    ),
    "sample": ("streamseg.cli.sample", "render a street clip with exact label maps"),
    "models": ("streamseg.cli.models", "list models, or show one's card"),
    "doctor": ("streamseg.cli.doctor", "what this machine offers, and what auto would pick"),
}

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status: 0 done, 1 failed, 2 usage, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "--version"):
        return _top(words)
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        print(f"streamseg: unknown command {name!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return EXIT_USAGE
    module = import_module(COMMANDS[name][0])
    parser = _parser(name, module)
    try:
        args = parser.parse_args(rest)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    logging.basicConfig(level=args.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    return _guarded(module, args)


def _guarded(module: Any, args: argparse.Namespace) -> int:
    """Run a command; turn what it raises into one line and an exit status."""
    from streamseg.arguments import check_json
    from streamseg.errors import StreamsegError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for flag in ("report", "json"):
            check_json(getattr(args, flag, None))
        status: int = module.run(args)
        return status
    except KeyboardInterrupt:
        print("streamseg: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_FAILED
    except Exception as error:
        if args.log_level == "debug":
            raise
        if isinstance(error, (StreamsegError, ValueError)):
            print(f"streamseg: error: {error}", file=sys.stderr)
        else:
            kind = type(error).__name__
            print(
                f"streamseg: error: {kind}: {error} (a bug? --log-level debug shows where)",
                file=sys.stderr,
            )
        return EXIT_FAILED


def _parser(name: str, module: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"streamseg {name}",
        description=(module.__doc__ or "").strip().splitlines()[0],
        epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="debug also shows tracebacks (default: warning)",
    )
    return parser


def _top(words: list[str]) -> int:
    from streamseg.version import __version__

    if words == ["--version"]:
        print(f"streamseg {__version__}")
        return EXIT_OK
    width = max(map(len, COMMANDS))
    print("usage: streamseg COMMAND ...\n\nReal-time semantic segmentation of video streams.\n")
    for name, (_, summary) in COMMANDS.items():
        print(f"  {name:<{width}}  {summary}")
    print(
        "\nexample:\n  streamseg run drive.mp4 -o drive_overlay.mp4\n\n"
        "`streamseg COMMAND --help` explains each."
    )
    return EXIT_OK if words else EXIT_USAGE
