"""Show the live overlay of a camera, address or file in a window or on a web page; the newest frame wins."""

import argparse
import sys

import streamseg

EXAMPLES = (
    "streamseg live 0",
    "streamseg live rtsp://192.0.2.7/stream --page --max-age 500",
    "streamseg live drive.mp4 --page --port 8080   # played in real time",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="camera index, /dev/videoN, rtsp://, http(s)://, or a file")
    parser.add_argument("--page", action="store_true", help="a web page instead of a window")
    parser.add_argument("--port", type=int, default=8000, help="of the page (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address the page listens on (default: loopback alone)"
    )
    parser.add_argument("--alpha", type=float, default=0.5, help="share of colour, 0..1")
    parser.add_argument(
        "--max-age", type=float, metavar="MS", help="show no frame that is older (default: any)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after reading N frames")
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON (- for stdout)")
    streamseg.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    segmenter = streamseg.load_from_arguments(args)
    with segmenter.stream(
        args.source, policy="latest", max_age_ms=args.max_age, limit=args.limit
    ) as stream:
        screen: streamseg.Page | streamseg.Window
        if args.page:
            screen = streamseg.Page(stream.report, port=args.port, host=args.host)
            print(f"open {screen.url} in a browser; Ctrl-C ends", file=sys.stderr, flush=True)
        else:
            screen = streamseg.Window("streamseg live")
        try:
            for result in stream:
                if not screen.show(result.overlay(args.alpha)):
                    break
        finally:
            screen.close()
            report = stream.report()
            streamseg.write_json(args.report, report)
    frames, latency = report["frames"], report["latency_ms"]
    causes = ", ".join(f"{n} {cause}" for cause, n in frames["dropped_by_cause"].items())
    print(
        f"{frames['written'] - frames['unread']} frames shown, {frames['dropped']} dropped ({causes}), "
        f"{report['fps']:.1f} frames/s, latency p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms"
    )
    return 0
