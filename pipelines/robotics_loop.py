"""A control loop that asks for the newest label map at a fixed rate and is never held up by it."""

import argparse
import time

import streamseg

EXAMPLES = (
    "streamseg loop 0 --rate 50",
    "streamseg loop drive.mp4 --rate 20 --timeout-ms 10 --max-age 100",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="camera index, /dev/videoN, rtsp://, http(s)://, or a file")
    parser.add_argument(
        "--rate", type=float, default=50.0, help="ticks a second (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout-ms",
        type=float,
        default=5.0,
        help="longest wait in a tick (default: %(default)s)",
    )
    parser.add_argument(
        "--max-age",
        "--max-age-ms",
        dest="max_age_ms",
        type=float,
        default=200.0,
        metavar="MS",
        help="older results are stale and never acted upon (default: %(default)s)",
    )
    parser.add_argument("--ticks", type=int, help="stop after so many ticks")
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON (- for stdout)")
    streamseg.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.rate <= 0:
        raise ValueError(f"expected --rate above 0, got {args.rate}")
    segmenter = streamseg.load_from_arguments(args)
    blind = late = tick = 0
    with segmenter.stream(args.source, policy="latest", max_age_ms=args.max_age_ms) as stream:
        due = time.monotonic()
        while not stream.ended and tick != args.ticks:
            result = stream.latest(timeout_ms=args.timeout_ms)
            blind += result is None
            print(describe(result, args.max_age_ms), flush=True)
            tick += 1
            due += 1 / args.rate
            wait = due - time.monotonic()
            late += wait < 0
            time.sleep(max(wait, 0.0))
        report = stream.report()
        streamseg.write_json(args.report, report)
    print(
        f"{tick} ticks, {late} late, {blind} with nothing fresh; "
        f"{report['frames']['written']} frames labelled"
    )
    return 0


def describe(result: streamseg.Result | None, max_age_ms: float) -> str:
    """One line: the label map's age and what is in front, largest share first. Without a result that is
    young enough there is nothing to act upon.
    """
    if result is None:
        return f"stale: nothing younger than {max_age_ms:g} ms, do not act"
    shares = sorted(result.shares().items(), key=lambda item: -item[1])[:4]
    seen = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
    return f"frame {result.index}, {result.age_ms:.0f} ms old: {seen}"
