"""The `encode` stage. Comes in: painted frames. Goes out: files. Runs on one thread (encoders add
their own). `video_writer` and `label_files` write them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av

from streamseg.errors import SinkError
from streamseg.frames import Painted
from streamseg.labels import LabelSet
from streamseg.reading.source import Source
from streamseg.writing.encoders import FORMATS, Encoding, choose_encoding
from streamseg.writing.label_files import LabelArchive, LabelFolder, is_label_folder, part_folder
from streamseg.writing.partial import part_path
from streamseg.writing.video_writer import VideoWriter

Kind = Literal["overlay", "labels", "color"]
KINDS: tuple[Kind, ...] = ("overlay", "labels", "color")

LabelForm = Literal["mkv", "png", "npz"]
LABEL_FORMS: dict[LabelForm, str] = {"mkv": ".mkv", "png": "", "npz": ".npz"}
"""What label maps are written as, and the suffix of that: FFV1 in Matroska (lossless 8-bit gray, class
id = gray value), a folder of palette PNGs, or numpy arrays."""

LABEL_ENCODING = Encoding(codec="ffv1", options={"level": "3"}, pix_fmt="gray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Which files to write. `labels` and `color` lie beside `overlay`: drive.mp4, drive_labels.mkv,
    drive_color.mp4; and so they do beside drive_overlay.mp4.

    Attributes:
        path: of the overlay; its suffix decides the container of `color` too.
        save: any of `KINDS`.
        overwrite: existing files are replaced, each when the new one is whole.
        encoder: of overlay and color; "auto" goes by the suffix.
        quality: of overlay and color, in the encoder's own measure; None for its default.
        labels_as: any of `LABEL_FORMS`.
    """

    path: Path
    save: tuple[str, ...] = ("overlay",)
    overwrite: bool = False
    encoder: str = "auto"
    quality: float | None = None
    labels_as: LabelForm = "mkv"

    def files(self) -> dict[Kind, Path]:
        """The file (of `labels` as PNG: the folder) of every kind that is saved."""
        stem = self.path.stem.removesuffix("_overlay") or self.path.stem
        names: dict[Kind, Path] = {
            "overlay": self.path,
            "labels": self.path.with_name(f"{stem}_labels{LABEL_FORMS[self.labels_as]}"),
            "color": self.path.with_name(f"{stem}_color{self.path.suffix}"),
        }
        return {kind: names[kind] for kind in KINDS if kind in self.save}

    def check(self, source: str) -> None:
        """Refuse what could not be written, before any work is done.

        Raises:
            SinkError: unknown suffix; a folder that is missing or read-only; an existing file, or the
                unfinished one of another run, without `overwrite`; with it, a folder of label maps
                that holds other files too; or the source itself.
            ValueError: nothing, or an unknown kind, to save; an unknown form of label maps.
        """
        unknown = [kind for kind in self.save if kind not in KINDS]
        if unknown or not self.save:
            got = ", ".join(map(repr, unknown)) or "nothing"
            raise ValueError(f"expected save from {', '.join(KINDS)}, got {got}")
        if self.labels_as not in LABEL_FORMS:
            raise ValueError(
                f"expected labels_as from {', '.join(LABEL_FORMS)}, got {self.labels_as!r}"
            )
        if self.path.is_dir():
            raise SinkError(f"expected a file name for the output, {self.path} is a folder")
        if self.path.suffix.lower() not in FORMATS:
            raise SinkError(
                f"expected an output ending in {', '.join(FORMATS)}, got {self.path.name!r}"
            )
        for kind, file in self.files().items():
            folder = file.parent
            if not folder.is_dir():
                raise SinkError(
                    f"expected a folder at {folder} for the output {file.name}; there is none"
                )
            if kind == "labels" and self.labels_as == "png":
                self._check_folder(file, source)
            else:
                self._check_file(file, source)
            if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise SinkError(f"cannot write into {folder}: permission denied")

    def _check_file(self, file: Path, source: str) -> None:
        part = part_path(file)
        for taken in (file, part):
            if taken.is_dir():
                raise SinkError(f"expected a file name for the output, {taken} is a folder")
            if taken.exists() and os.path.exists(source) and os.path.samefile(source, taken):
                raise SinkError(f"the output {taken} is the input; choose another name")
        self._check_free(file, part)

    def _check_folder(self, folder: Path, source: str) -> None:
        part = part_folder(folder)
        for taken in (folder, part):
            if not taken.exists():
                continue
            if not taken.is_dir():
                raise SinkError(f"expected a folder or nothing at {taken}; there is a file")
            for inside in (source, Path(source).parent):
                if os.path.exists(inside) and os.path.samefile(inside, taken):
                    raise SinkError(f"the output {taken} holds the input; choose another name")
            if self.overwrite and not is_label_folder(taken):
                raise SinkError(
                    f"{taken} holds more than label maps of streamseg; remove it, or choose another name"
                )
        self._check_free(folder, part)

    def _check_free(self, path: Path, part: Path) -> None:
        if self.overwrite:
            return
        if path.exists():
            raise SinkError(f"{path} exists; pass -y to overwrite it, or choose another name")
        if part.exists():
            raise SinkError(
                f"{part} exists: another run is writing it, or one was killed; rename it to keep "
                f"it, or pass -y"
            )


class FileSink:
    """The `encode` stage: writes every file of `outputs`.

    Args:
        outputs: which.
        source: of the frames, and of what is copied beside them into the overlay.
        labels: the classes, for colours and names in label files.

    Attributes:
        files: being written, by kind.
        canvas: pixel format that overlay and color are to be painted in, yuv420p or yuv420p10le.

    Raises:
        SinkError, ValueError: see `Outputs.check`; no such encoder; or a file cannot be opened.
    """

    name = "encode"

    def __init__(self, outputs: Outputs, source: Source, labels: LabelSet) -> None:
        outputs.check(source.info.name)
        self.canvas: str = "yuv420p"
        self.files = outputs.files()
        self._encoding_notes: tuple[str, ...] = ()
        self._videos: dict[Kind, VideoWriter] = {}
        self._maps: LabelFolder | LabelArchive | None = None
        self._report: list[dict[str, str]] = []
        encodings: dict[Kind, Encoding] = {"labels": LABEL_ENCODING}
        if self.files.keys() & {"overlay", "color"}:
            drawn = choose_encoding(
                outputs.path.suffix.lower(),
                source.info.format,
                encoder=outputs.encoder,
                quality=outputs.quality,
            )
            self.canvas = drawn.pix_fmt
            self._encoding_notes = drawn.notes
            encodings |= {"overlay": drawn, "color": drawn}
        try:
            for kind, path in self.files.items():
                if kind == "labels" and outputs.labels_as != "mkv":
                    form = LabelFolder if outputs.labels_as == "png" else LabelArchive
                    self._maps = form(path, labels)
                    made = self._maps.encoder, self._maps.pix_fmt
                else:
                    encoding = encodings[kind]
                    self._videos[kind] = VideoWriter(
                        path, source.info, encoding, source=source if kind == "overlay" else None
                    )
                    made = encoding.codec, encoding.pix_fmt
                self._report.append(
                    {"kind": kind, "file": str(path), "encoder": made[0], "pix_fmt": made[1]}
                )
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What the files could not keep."""
        lost = [note for writer in self._videos.values() for note in writer.notes]
        return [*self._encoding_notes, *lost]

    def outputs_report(self) -> list[dict[str, str]]:
        """What is written: "kind", "file", "encoder" (FFmpeg's name, or npz), "pix_fmt"."""
        return self._report

    def process(self, painted: Painted) -> Sequence[Painted]:
        """Write one frame to every file."""
        for kind, video in self._videos.items():
            video.write(_image(painted, kind))
        if self._maps is not None:
            self._maps.write(painted)
        return [painted]

    def drain(self) -> Sequence[Painted]:
        """Nothing is held back: `close` writes what encoders still hold."""
        return ()

    def close(self) -> None:
        """Close all files; the first failure is raised after the last is closed."""
        failures = []
        for writer in (*self._videos.values(), self._maps):
            try:
                if writer is not None:
                    writer.close()
            except SinkError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def _image(painted: Painted, kind: Kind) -> av.VideoFrame:
    if kind == "labels":
        source = painted.frame.decoded
        gray = av.VideoFrame.from_ndarray(painted.labels, "gray")
        gray.pts, gray.time_base, gray.duration = source.pts, source.time_base, source.duration
        return gray
    image = painted.overlay if kind == "overlay" else painted.color
    assert image is not None, f"{kind} was not painted"
    return image
