"""The `encode` stage. Comes in: painted frames. Goes out: files. Runs on one thread (encoders add
their own). `video_writer` writes each file.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av

from streamseg.errors import SinkError
from streamseg.frames import Painted
from streamseg.reading.source import Source
from streamseg.writing.video_writer import ENCODERS, VideoWriter

Kind = Literal["overlay", "labels", "color"]
KINDS: tuple[Kind, ...] = ("overlay", "labels", "color")

LABEL_SUFFIX = ".mkv"
"""Label maps are written as FFV1 in Matroska: lossless, 8-bit gray, class id = gray value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Which files to write. `labels` and `color` lie beside `overlay`: drive.mp4, drive_labels.mkv,
    drive_color.mp4; and so they do beside drive_overlay.mp4.
    """

    path: Path
    save: tuple[str, ...] = ("overlay",)
    overwrite: bool = False

    def files(self) -> dict[Kind, Path]:
        """The file of every kind that is saved."""
        stem = self.path.stem.removesuffix("_overlay") or self.path.stem
        names: dict[Kind, Path] = {
            "overlay": self.path,
            "labels": self.path.with_name(f"{stem}_labels{LABEL_SUFFIX}"),
            "color": self.path.with_name(f"{stem}_color{self.path.suffix}"),
        }
        return {kind: names[kind] for kind in KINDS if kind in self.save}

    def check(self, source: str) -> None:
        """Refuse what could not be written, before any work is done.

        Raises:
            SinkError: unknown suffix, a folder that is missing or read-only, an existing file
                without `overwrite`, or the source itself.
            ValueError: nothing, or an unknown kind, to save.
        """
        unknown = [kind for kind in self.save if kind not in KINDS]
        if unknown or not self.save:
            got = ", ".join(map(repr, unknown)) or "nothing"
            raise ValueError(f"expected save from {', '.join(KINDS)}, got {got}")
        if self.path.is_dir():
            raise SinkError(f"expected a file name for the output, {self.path} is a folder")
        if self.path.suffix.lower() not in ENCODERS:
            raise SinkError(
                f"expected an output ending in {', '.join(ENCODERS)}, got {self.path.name!r}"
            )
        for file in self.files().values():
            _check_output(file, source, self.overwrite)


def _check_output(file: Path, source: str, overwrite: bool) -> None:
    folder = file.parent
    if not folder.is_dir():
        raise SinkError(f"expected a folder at {folder} for the output {file.name}; there is none")
    if file.is_dir():
        raise SinkError(f"expected a file name for the output, {file} is a folder")
    if file.exists():
        if os.path.exists(source) and os.path.samefile(source, file):
            raise SinkError(f"the output {file} is the input; choose another name")
        if not overwrite:
            raise SinkError(f"{file} exists; pass -y to overwrite it, or choose another name")
    if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise SinkError(f"cannot write into {folder}: permission denied")


class FileSink:
    """The `encode` stage: writes every file of `outputs`.

    Raises:
        SinkError, ValueError: see `Outputs.check`; or a file cannot be opened.
    """

    name = "encode"

    def __init__(self, outputs: Outputs, source: Source) -> None:
        outputs.check(source.info.name)
        self._writers: dict[Kind, VideoWriter] = {}
        try:
            for kind, path in outputs.files().items():
                self._writers[kind] = VideoWriter(
                    path,
                    source.info,
                    audio=source if kind == "overlay" else None,
                    lossless_gray=kind == "labels",
                )
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What the files could not keep."""
        return [note for writer in self._writers.values() for note in writer.notes]

    @property
    def files(self) -> dict[Kind, Path]:
        """The files being written."""
        return {kind: writer.path for kind, writer in self._writers.items()}

    def process(self, painted: Painted) -> Painted:
        """Write one frame to every file."""
        for kind, writer in self._writers.items():
            writer.write(_image(painted, kind))
        return painted

    def close(self) -> None:
        """Close all files; the first failure is raised after the last is closed."""
        failures = []
        for writer in self._writers.values():
            try:
                writer.close()
            except SinkError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def _image(painted: Painted, kind: Kind) -> av.VideoFrame:
    if kind == "labels":
        source = painted.frame.image
        gray = av.VideoFrame.from_ndarray(painted.labels, "gray")
        gray.pts, gray.time_base, gray.duration = source.pts, source.time_base, source.duration
        return gray
    image = painted.overlay if kind == "overlay" else painted.color
    assert image is not None, f"{kind} was not painted"
    return image
