"""A number of frames comes in; a folder of rendered labelled frames, laid out as CamVid is, goes out."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from streamseg.errors import SinkError
from streamseg.sample.render import SampleFrame, render_street
from streamseg.sample.write import png

FRAMES_A_STREET = 4
"""One second, nine meters apart."""
HEIGHTS = (288, 480)
"""Least and greatest height, pixels: things of one distance come in other sizes."""
ASPECTS = (4 / 3, 16 / 9)
ASKED = "rendered.txt"
"""In the folder: what it was made of."""
MAX_STREETS = 1 << 20
"""Of one seed."""


def write_rendered(
    folder: str | Path,
    *,
    frames: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render a training set of streets of many seeds and sizes, for `open_dataset(folder, "train")`.

    The folder grows under another name and takes its own once complete, so one that exists is
    complete: if it is of the same arguments, nothing is left to do.

    Args:
        folder: where to; its parents are made if missing.
        frames: how many.
        seed: of the set; frames of equal arguments are equal to the byte on one machine.
        progress: called after every frame with (frames written, frames in all).

    Returns:
        `folder`.

    Raises:
        ValueError: no frames at all, or a negative seed.
        SinkError: the folder exists and holds something else, or a file cannot be written.
    """
    if frames < 1 or seed < 0:
        raise ValueError(f"expected frames >= 1 and seed >= 0, got {frames} and {seed}")
    folder = Path(folder)
    asked = f"{frames} frames, seed {seed}"
    if folder.exists():
        _check(folder, asked)
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.part", dir=folder.parent) as name:
            part = Path(name) / "rendered"
            for inner in ("train", "trainannot"):
                (part / inner).mkdir(parents=True)
            for number, frame in enumerate(_frames(frames, seed)):
                file = f"street{number // FRAMES_A_STREET:05d}_{number % FRAMES_A_STREET}.png"
                (part / "train" / file).write_bytes(png(frame.image))
                (part / "trainannot" / file).write_bytes(png(frame.labels))
                if progress is not None:
                    progress(number + 1, frames)
            (part / ASKED).write_text(asked, encoding="utf-8")
            if not folder.exists():  # another process may have been quicker
                part.rename(folder)
    except OSError as error:
        raise SinkError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    _check(folder, asked)
    return folder


def _check(folder: Path, asked: str) -> None:
    try:
        found = (folder / ASKED).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        found = "something else"
    if found != asked:
        raise SinkError(
            f"expected {asked} rendered in {folder}, it holds {found}; delete it or name another"
        )


def _frames(frames: int, seed: int) -> Iterator[SampleFrame]:
    for street in range(-(-frames // FRAMES_A_STREET)):
        rng = np.random.default_rng((seed, street))
        height = int(rng.integers(HEIGHTS[0] // 2, HEIGHTS[1] // 2 + 1)) * 2
        width = round(height * rng.uniform(*ASPECTS) / 2) * 2
        number = min(FRAMES_A_STREET, frames - street * FRAMES_A_STREET)
        yield from render_street(
            seconds=number, size=(height, width), fps=1, seed=seed * MAX_STREETS + street
        )
