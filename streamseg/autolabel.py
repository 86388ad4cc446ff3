"""Auto-labelling: a network's confident labels become a data set (Tao, Sapra, Catanzaro 2020, section on Cityscapes).

    source ──Frame──▶ network ──Logits──▶ label map ──where sure──▶ trainannot/, trainprob/, train/, a line

Comes in: videos or images and a `Segmenter`. Goes out: a folder that `open_dataset` and `train` take. Runs on the
caller's thread. A frame counts as written once its line is in frames.jsonl, and files get their names when they are
whole: a run that was stopped goes on where it was.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.datasets.autolabelled import RECORD, SPLIT, AutoLabels, read_record
from streamseg.engine.graph_cache import file_digest
from streamseg.errors import SinkError, SourceError
from streamseg.frames import Frame
from streamseg.labels import IGNORE
from streamseg.reading.image_source import list_images
from streamseg.reading.limits import MAX_PIXELS
from streamseg.reading.open_source import open_source
from streamseg.reading.source import Cut, Source
from streamseg.result import to_bgr
from streamseg.segmenter import Segmenter
from streamseg.stream.certainty import certainty_map
from streamseg.stream.paint import label_map

JOURNAL = "frames.jsonl"
FOLDERS = (f"{SPLIT}annot", f"{SPLIT}prob", SPLIT)
"""Label maps, probabilities, frames: in the order in which they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which frames are labelled, of each video or of the folder of images.

    Attributes:
        every: each so manieth frame.
        limit: at most so many, None for all.
        start_seconds, end_seconds: see `Cut`.
        max_pixels: greater pictures are refused.
    """

    every: int = 1
    limit: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"expected every >= 1 (each Nth frame), got {self.every}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"expected a limit of at least 1 frame, got {self.limit}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A frame to be labelled.

    Attributes:
        name: of its files, without suffix.
        source: name and size of the file that it is from.
    """

    frame: Frame
    name: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """One labelled frame. A line of frames.jsonl.

    Attributes:
        name, source: see `Chosen`.
        predicted, kept: pixels per class, before and after the threshold.
    """

    name: str
    source: str
    predicted: tuple[int, ...]
    kept: tuple[int, ...]

    def line(self) -> str:
        """JSON, with its end of line."""
        values = {"name": self.name, "source": self.source}
        counts = {"predicted": list(self.predicted), "kept": list(self.kept)}
        return json.dumps(values | counts) + "\n"


def record_of(
    segmenter: Segmenter, weights: Path, threshold: float, size: str = "auto"
) -> AutoLabels:
    """How `segmenter` labels.

    Args:
        weights: the file that it was loaded from.
        size: the network's input as it was asked for.
    """
    return AutoLabels(
        model=segmenter.card.name,
        weights=file_digest(weights),
        threshold=threshold,
        size=size,
        precision=segmenter.info.precision,
        labels=segmenter.card.labels,
    )


def autolabel(
    segmenter: Segmenter,
    sources: Sequence[str | Path],
    out: Path,
    record: AutoLabels,
    *,
    choice: Choice | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Label `sources` into the folder `out`, or go on with what is there.

    Args:
        sources: video files, or one folder or glob of images.
        record: how, by the very model that `segmenter` is; what is in `out` already must be of the same.
        progress: called after each frame with (done, expected or None), those written before among them.

    Returns:
        `statistics` of all frames in `out`, and "labelled", "found" and "corrupt_skipped": frames labelled now,
        labelled before, and left out as damaged.

    Raises:
        SourceError: a source cannot be read, or two have frames of one name.
        SinkError: `out` cannot be written, or is of another model or threshold, or something else.
        ModelError: the network answers with class ids or probabilities, of which there is no softmax.
        ValueError: the threshold is outside 0..1.
    """
    if not 0 <= record.threshold < 1:
        raise ValueError(f"expected a threshold from 0 to below 1, got {record.threshold}")
    choice = choice or Choice()
    counted = _begin(out, record)
    before, done, skipped = len(counted), 0, 0
    with _journal(out) as journal:
        for source in sources:
            with closing(_open(source, choice)) as opened:
                total = _expected(opened, choice) if len(sources) == 1 else None
                for chosen in _chosen(source, opened, choice):
                    known = counted.get(chosen.name)
                    if known is None:
                        frame = _label(segmenter, chosen, out, record.threshold)
                        _note(journal, frame, out)
                        counted[chosen.name] = frame
                    elif known.source != chosen.source:
                        raise SourceError(
                            f"expected different names, got frame {chosen.name} of {known.source} "
                            f"and of {chosen.source}; choose another --out"
                        )
                    done += 1
                    progress(done, total)
                skipped += opened.corrupt_skipped
    new = len(counted) - before
    told = {"labelled": new, "found": done - new, "corrupt_skipped": skipped}
    return {**statistics(counted.values(), record), **told}


def statistics(counted: Iterable[Counted], record: AutoLabels) -> dict[str, Any]:
    """Pixels per class before and after the threshold, and "coverage", the share that was kept, 0..1.

    It is None for a class that was predicted nowhere.
    """
    frames = list(counted)
    shape = (len(frames), len(record.labels))
    predicted = np.array([frame.predicted for frame in frames], np.int64).reshape(shape).sum(0)
    kept = np.array([frame.kept for frame in frames], np.int64).reshape(shape).sum(0)

    def values(before: int, after: int) -> dict[str, Any]:
        coverage = after / before if before else None
        return {"predicted": before, "kept": after, "coverage": coverage}

    of_classes = zip(record.labels.class_names, predicted.tolist(), kept.tolist(), strict=True)
    return {
        "model": record.model,
        "weights": record.weights,
        "threshold": record.threshold,
        "size": record.size,
        "precision": record.precision,
        "frames": len(frames),
        **values(int(predicted.sum()), int(kept.sum())),
        "classes": {name: values(before, after) for name, before, after in of_classes},
    }


def _begin(out: Path, record: AutoLabels) -> dict[str, Counted]:
    """Make the folder, or see that what is in it is of the same making; the frames that it holds."""
    try:
        if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
            raise SinkError(
                f"expected an empty folder or auto-labelled frames in {out}; name another --out"
            )
        out.mkdir(parents=True, exist_ok=True)
        if not (out / RECORD).is_file():
            text = json.dumps(record.to_values(), indent=1) + "\n"
            _write(out / RECORD, text.encode())
        for folder in FOLDERS:
            (out / folder).mkdir(exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot write {error.filename or out}: {error.strerror}") from error
    found, wanted = read_record(out).to_values(), record.to_values()
    differing = [key for key in wanted if found[key] != wanted[key]]
    if differing:
        key = differing[0]
        raise SinkError(
            f"{out} was labelled otherwise: expected {key} {found[key]} to go on, got {wanted[key]}; "
            f"choose another --out or delete it"
        )
    return {frame.name: frame for frame in _written(out, len(record.labels))}


def _written(out: Path, num_classes: int) -> Iterator[Counted]:
    """The frames whose line and files are whole; a killed run may leave half a line."""
    path = out / JOURNAL
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            values = json.loads(line)
            predicted, kept = (tuple(map(int, values[key])) for key in ("predicted", "kept"))
            frame = Counted(
                name=str(values["name"]),
                source=str(values["source"]),
                predicted=predicted,
                kept=kept,
            )
        except (KeyError, TypeError, ValueError, RecursionError):
            continue
        whole = all((out / folder / f"{frame.name}.png").is_file() for folder in FOLDERS)
        if whole and len(predicted) == len(kept) == num_classes:
            yield frame


def _journal(out: Path) -> TextIO:
    """frames.jsonl, to be added to line by line, behind what a killed run may have left of one."""
    path = out / JOURNAL
    try:
        content = path.read_bytes() if path.is_file() else b""
        journal = path.open("a", buffering=1, encoding="ascii", newline="\n")
        if content and not content.endswith(b"\n"):
            journal.write("\n")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error
    return journal


def _note(journal: TextIO, frame: Counted, out: Path) -> None:
    """The line by which the frame counts as written."""
    try:
        journal.write(frame.line())
    except OSError as error:
        raise SinkError(f"cannot write {out / JOURNAL}: {error.strerror}") from error


def _open(source: str | Path, choice: Choice) -> Source:
    cut = Cut(start_seconds=choice.start_seconds, end_seconds=choice.end_seconds)
    return open_source(source, cut=cut, on_corrupt="skip", max_pixels=choice.max_pixels)


def _expected(opened: Source, choice: Choice) -> int | None:
    total = opened.info.num_frames
    if total is None:
        return choice.limit
    return min(math.ceil(total / choice.every), choice.limit or total)


def _chosen(source: str | Path, opened: Source, choice: Choice) -> Iterator[Chosen]:
    """The frames to be labelled.

    Those of a video are named DRIVE_MILLISECONDS, images as their files are: what stands before the first "_" is
    the drive (see `LabelledImages.drives`).
    """
    images = list_images(str(source))
    stop = None if choice.limit is None else (choice.limit - 1) * choice.every + 1
    for frame in islice(opened, 0, stop, choice.every):
        path = Path(source) if images is None else images[frame.pts]
        drive = re.sub(r"[^\w.-]|_", "-", path.stem)
        milliseconds = round(1e3 * frame.time_seconds)
        yield Chosen(
            frame=frame,
            name=f"{drive}_{milliseconds:08d}" if images is None else path.stem,
            source=f"{path.name} ({path.stat().st_size} bytes)",
        )


def _label(segmenter: Segmenter, chosen: Chosen, out: Path, threshold: float) -> Counted:
    """Label one frame and write its three files."""
    frame = chosen.frame
    logits = segmenter.logits(frame.pixels)
    labels = label_map(logits, frame.pixels.size)
    certainty = certainty_map(logits, labels)
    sure = certainty > threshold
    pictures = (
        np.where(sure, labels, np.uint8(IGNORE)),
        np.rint(255 * certainty).astype(np.uint8),
        _picture(frame),
    )
    for folder, picture in zip(FOLDERS, pictures, strict=True):
        path = out / folder / f"{chosen.name}.png"
        done, png = cv2.imencode(".png", picture)
        if not done:
            raise SinkError(f"cannot write {path}: a picture of {picture.shape} is no PNG")
        try:
            _write(path, png.tobytes())
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from error
    classes = len(segmenter.labels)
    predicted = np.bincount(labels.reshape(-1), minlength=classes)
    kept = np.bincount(labels[sure], minlength=classes)
    return Counted(
        name=chosen.name,
        source=chosen.source,
        predicted=tuple(predicted.tolist()),
        kept=tuple(kept.tolist()),
    )


def _picture(frame: Frame) -> NDArray[np.uint8]:
    """H x W x 3 uint8 BGR, upright, with all of the colour that the source has."""
    stored = to_bgr(frame.decoded)
    if frame.orientation.upright_already:
        return stored
    turned = [frame.orientation.upright(stored[..., channel]) for channel in range(3)]
    return np.stack(turned, axis=2)


def _write(path: Path, content: bytes) -> None:
    """A neighbour first, then its name: a file is whole or not there."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
