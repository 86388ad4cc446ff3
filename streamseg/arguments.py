"""Command-line words shared by every program that loads a model; public, for programs of your own."""

import argparse
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import DataError, SinkError

if TYPE_CHECKING:
    from streamseg.engine.engine import Progress, SizeChoice
    from streamseg.segmenter import Segmenter


def let_threads_sleep() -> None:
    """Call before torch is loaded by a program that trains: its threads then sleep while they wait for each other.

    They would spin, each on a core of its own; where something else has a core, for as long as it keeps it: beside
    other work a step of training takes many times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, `--branch`, `--scales`, `--crf`, `--backend`, `--device`, `--precision`, `--size`, `--keyframe`,
    `--motion`, `--features`, `--palette`, `--compile`, and those of `add_proposal_arguments` and
    `add_ensemble_arguments`.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default="icnet-camvid",
        metavar="NAME|PATH",
        help="shipped model, or a .safetensors, .onnx or OpenVINO .xml file (default: %(default)s)",
    )
    add_branch_argument(group)
    group.add_argument(
        "--scales",
        metavar="S,S,...",
        help="of hrnet-ocr-ms and its like: look at these scales, 1 among them (0.5,1,2); with ,flip at mirror images, "
        "too; average: or max: before them combines them without attention (default: the card's)",
    )
    group.add_argument(
        "--crf",
        nargs="?",
        const="deconvnet",
        metavar="PARAMETERS",
        help="refine every answer by the picture's own edges, with a fully connected CRF: deconvnet (those of the "
        "paper's code, also without PARAMETERS), pydensecrf (its README's), or changes, like "
        "iterations=5,bilateral=80:13:10,gaussian=3:3 (pixels:steps of colour:weight). Takes seconds a frame",
    )
    group.add_argument(
        "--backend", default="auto", help="auto, openvino or torch (default: %(default)s)"
    )
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    group.add_argument(
        "--precision",
        default="auto",
        help="auto, fp32, bf16, int8, or fp16 on GPUs (default: %(default)s)",
    )
    group.add_argument(
        "--size",
        default="auto",
        metavar="auto|native|HxW",
        help="network input; auto keeps the card's number of pixels in the source's aspect ratio, "
        "native is the source's own size (default: %(default)s)",
    )
    group.add_argument(
        "--keyframe",
        default="off",
        metavar="off|fixed:N|adaptive[:Q]",
        help="of videos: run the whole network on every frame, on every Nth, or where much changed (Q from 0, "
        "fast, to 1, accurate; default 0.5), and carry its deep features over to the frames between "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--motion",
        default="auto",
        metavar="auto|codec|flow|none",
        help="what moves carried features: the video's own motion vectors, optical flow, or nothing; auto takes "
        "vectors where the codec gives them, else flow (default: %(default)s)",
    )
    group.add_argument(
        "--features",
        default="auto",
        metavar="auto|propagate|interpolate",
        help="whose: the last such frame's, or the last and the next one's, blended, which is more accurate and comes "
        "up to 16 frames later; auto interpolates unless --policy latest may not wait (default: %(default)s)",
    )
    group.add_argument(
        "--palette", default=None, metavar="NAME", help="colours of camvid or cityscapes"
    )
    group.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile the network (torch backend only): slower start, faster frames",
    )
    add_proposal_arguments(group)
    add_ensemble_arguments(group)


def add_branch_argument(group: "argparse._ActionsContainer") -> None:
    """Add `--branch`."""
    group.add_argument(
        "--branch",
        metavar="sub4|sub24|sub124",
        help="of ICNet: stop the cascade after its 1/32 branch or after the first fusion, or run it whole; needs "
        "weights with auxiliary heads, as `streamseg train` writes them (default: whole)",
    )


def add_proposal_arguments(group: "argparse._ActionsContainer") -> None:
    """Add `--proposals`, `--aggregate` and `--edge-model`."""
    group.add_argument(
        "--proposals",
        metavar="SOURCE[:COUNT]",
        help="of deconvnet: where it looks, and at how many at most: edges (needs opencv-contrib-python), windows, "
        "previous (regions of the frame before), or auto: edges where they are there, else windows (default: auto:50)",
    )
    group.add_argument(
        "--aggregate",
        metavar="max|sum",
        help="of deconvnet: how the scores of its proposals become one (default: max)",
    )
    group.add_argument(
        "--edge-model",
        metavar="FILE",
        help="of --proposals edges: OpenCV's structured edges (model.yml.gz) in place of gradients; OpenCV reads it "
        "unchecked, so give one that you trust",
    )


def add_ensemble_arguments(group: "argparse._ActionsContainer") -> None:
    """Add `--ensemble` and `--ensemble-by`."""
    group.add_argument(
        "--ensemble",
        metavar="PATH[,PATH]",
        help="more networks of the same classes; all answer together",
    )
    group.add_argument(
        "--ensemble-by",
        metavar="mean|product",
        help="mean of their probabilities, or product of their scores above 0 (default: mean)",
    )


def load_from_arguments(
    args: argparse.Namespace, *, progress: "Progress | None" = None
) -> "Segmenter":
    """`streamseg.load` with the values of `add_model_arguments`.

    Args:
        progress: see `streamseg.load`.
    """
    from streamseg.segmenter import load

    return load(
        args.model,
        backend=args.backend,
        device=args.device,
        precision=args.precision,
        size=parse_size(args.size),
        keyframe=args.keyframe,
        motion=args.motion,
        features=args.features,
        palette=args.palette,
        compile=args.compile,
        branch=args.branch,
        scales=args.scales,
        proposals=args.proposals,
        aggregate=args.aggregate,
        edge_model=args.edge_model,
        ensemble=[path for path in (args.ensemble or "").split(",") if path],
        ensemble_by=args.ensemble_by,
        progress=progress,
        crf=args.crf,
    )


def add_video_arguments(parser: argparse.ArgumentParser, save: str = "overlay") -> None:
    """Add what `Segmenter.run` takes beside its source: which part to read, what to write and how.

    Args:
        save: default of `--save`.
    """
    from streamseg.reading.limits import MAX_PIXELS, READ_TIMEOUT_SECONDS

    part = parser.add_argument_group("reading")
    part.add_argument("--limit", type=int, metavar="N", help="stop after N frames")
    part.add_argument("--start", type=float, metavar="S", help="begin at S seconds")
    part.add_argument("--end", type=float, metavar="S", help="end before S seconds")
    part.add_argument(
        "--on-corrupt",
        default="keep",
        choices=("keep", "skip", "stop"),
        help="damaged pictures: process them like any other, leave them out, or stop (default: %(default)s)",
    )
    part.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="refuse greater pictures, for a damaged header may claim any size (default: %(default)s)",
    )
    part.add_argument(
        "--timeout",
        type=float,
        default=READ_TIMEOUT_SECONDS,
        metavar="S",
        help="give up on an address or pipe that is silent for S seconds (default: %(default)s)",
    )
    files = parser.add_argument_group("writing")
    files.add_argument(
        "--save",
        default=save,
        help="comma-separated: overlay, labels (OUT_labels, lossless), color (OUT_color) "
        "(default: %(default)s)",
    )
    files.add_argument(
        "--labels-as",
        default="mkv",
        choices=("mkv", "png", "npz"),
        help="label maps as lossless video, a folder of palette images, or arrays (default: %(default)s)",
    )
    files.add_argument(
        "--alpha", type=float, default=0.5, help="share of colour, 0..1 (default: %(default)s)"
    )
    files.add_argument(
        "--encoder",
        default="auto",
        metavar="NAME",
        help="h264, hevc, av1, vp9, mpeg4 or ffv1 (default: auto, by container; hevc for HDR)",
    )
    files.add_argument(
        "--quality",
        type=float,
        metavar="Q",
        help="on the encoder's own scale (CRF; quantiser of mpeg4): lower is better and larger",
    )
    files.add_argument("--no-audio", action="store_true", help="do not copy the audio")


def video_options(args: argparse.Namespace) -> dict[str, Any]:
    """The values of `add_video_arguments` as keywords of `Segmenter.run`."""
    return {
        "save": tuple(part.strip() for part in args.save.split(",") if part.strip()),
        "labels_as": args.labels_as,
        "alpha": args.alpha,
        "encoder": args.encoder,
        "quality": args.quality,
        "audio": not args.no_audio,
        "start": args.start,
        "end": args.end,
        "limit": args.limit,
        "on_corrupt": args.on_corrupt,
        "max_pixels": args.max_pixels,
        "read_timeout_seconds": args.timeout,
    }


def parse_size(text: str) -> "SizeChoice":
    """ "auto", "native" or "720x960" (height first).

    Raises:
        ValueError: something else, or a side of 0.
    """
    if text == "auto" or text == "native":
        return text  # type: ignore[return-value]
    height, width = parse_height_width(text, "--size", "auto, native or ")
    return height, width


def parse_height_width(text: str, flag: str, also: str = "") -> tuple[int, int]:
    """ "HxW" as two positive numbers.

    Raises:
        ValueError: not of that form, or a side of 0.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError(
            f"expected {flag} {also}HxW with both above 0 (like 720x960), got {text!r}"
        )
    return int(match[1]), int(match[2])


def data_folder(given: str | None, name: str = "camvid") -> Path:
    """The data set folder: `given`, else NAME below `STREAMSEG_DATA`, else below ../shared/data.

    Raises:
        DataError: none of them exists.
    """
    if given is not None:
        return Path(given)
    places = [Path("../shared/data")]
    if root := os.environ.get("STREAMSEG_DATA"):
        places.insert(0, Path(root))
    for place in places:
        if (place / name).is_dir():
            return place / name
    raise DataError(f"expected --data DIR, or STREAMSEG_DATA naming a folder with {name}/ in it")


def check_json(path: str | None) -> None:
    """Refuse now what `write_json` could not write after hours of work.

    Raises:
        SinkError: no such folder, no right to write there, or the path is a folder.
    """
    if path is None or path == "-":
        return
    file = Path(path)
    if file.is_dir() or not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise SinkError(
            f"cannot write {path}: expected a file name in a folder that can be written"
        )


def write_json(path: str | None, values: dict[str, Any]) -> None:
    """Write `values` where asked (`-` is standard output); nothing for None.

    Raises:
        SinkError: the file cannot be written.
    """
    if path is None:
        return
    text = json.dumps(values, indent=1)
    if path == "-":
        print(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error
