"""`load` and `Segmenter`: the Python API over engine and pipeline."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2  # noqa: F401  (see Note "cv2 before av" in view.py)

# isort: split
import av
import numpy as np
from numpy.typing import NDArray

from streamseg.crf.parameters import CRF
from streamseg.engine.engine import EngineInfo, SizeChoice
from streamseg.errors import BackendError
from streamseg.frames import Logits
from streamseg.labels import LABEL_SETS, LabelSet
from streamseg.models.card import ModelCard
from streamseg.models.find import find_model
from streamseg.picture.pixels import Packed, Pixels
from streamseg.reading.limits import MAX_PIXELS, READ_TIMEOUT_SECONDS
from streamseg.reading.open_source import open_source
from streamseg.reading.source import Cut, OnCorrupt
from streamseg.result import Result, to_bgr
from streamseg.running import Stream
from streamseg.stream.keyframes import KeyframeReuse
from streamseg.stream.pipeline import Policy, check_policy

if TYPE_CHECKING:
    from streamseg.engine.engine import Engine, PaintingEngine, Progress
    from streamseg.frames import Labelled
    from streamseg.writing.sink import LabelForm


def load(
    model: str | Path = "icnet-camvid",
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    size: SizeChoice = "auto",
    keyframe: str = "off",
    motion: str = "auto",
    features: str = "auto",
    palette: str | None = None,
    compile: bool = False,
    branch: str | None = None,
    scales: str | None = None,
    proposals: str | None = None,
    aggregate: str | None = None,
    edge_model: str | Path | None = None,
    ensemble: str | Path | Sequence[str | Path] = (),
    ensemble_by: str | None = None,
    progress: "Progress | None" = None,
    crf: str | None = None,
) -> "Segmenter":
    """Load a network, ready to label pictures.

    Args:
        model: a shipped name, or a path to a `.safetensors`, `.onnx` or OpenVINO `.xml` file.
        backend: "auto", "openvino" or "torch".
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "fp32", "bf16", "int8", or "fp16" on GPUs.
        size: network input as (height, width); "native" for the source's own size; "auto" for the number of
            pixels that the model's card was measured at, in the source's aspect ratio.
        keyframe: of streams: "off" runs the whole network on every frame; "fixed:N" on every Nth, "adaptive" or
            "adaptive:Q" where much changed, with Q from 0 (fast) to 1 (accurate). Frames between take the deep
            features of such frames, moved to where their contents are. See docs/keyframes.md.
        motion: what moves them: "codec" (the video's own vectors), "flow" (optical flow), "none", or "auto": codec
            where there are vectors, else flow.
        features: "propagate" those of the last such frame, "interpolate" between the last and the next one, or
            "auto": interpolate with policy "every", propagate with "latest", which waits for nothing.
        palette: colours of a known label set ("camvid", "cityscapes") in place of the model's own.
        compile: torch.compile the network (torch backend only): slower start, faster frames.
        branch: where to stop ICNet's cascade: "sub4", "sub24", or "sub124" (all of it). Needs weights with auxiliary
            heads, as `streamseg train` writes them.
        scales: at which a network of several scales (hrnet-ocr-ms) looks: "0.5,1,2", "0.5,1,2,flip" for mirror images,
            too, or "average:0.5,1" to combine them in another way. Default: its card's.
        proposals: where a network that runs by proposals (deconvnet) looks, and at how many: "edges", "windows",
            "previous" or "auto", with ":N" behind it. Default: "auto:50". See docs/deconvnet.md.
        aggregate: how it makes one answer of all: "max" (the default) or "sum".
        edge_model: OpenCV's file of structured edges, for "edges" to follow instead of gradients; one that you trust.
        ensemble: one or more networks of the same classes, which answer together with `model`.
        ensemble_by: how: "mean" of their probabilities (the default), or "product" of their scores above 0.
        progress: told (done, total) while the proposals of one picture are worked at; 0 first, from the thread that
            runs the network.
        crf: refine every answer with a fully connected CRF: "deconvnet", "pydensecrf", or changes to these, like
            "iterations=5,bilateral=80:13:10". See docs/crf.md.

    Raises:
        ModelError: unknown model or unusable weights; or a network that cannot stop there, looks at one scale, or does
            not run by proposals; or an ensemble of other classes.
        BackendError: what was asked for is not there.
        ValueError: an argument has no meaning.
    """
    from streamseg.engine.ensemble_engine import open_ensemble
    from streamseg.proposals.choice import Proposals

    started = time.monotonic()
    reuse = KeyframeReuse(keyframe=keyframe, motion=motion, features=features)
    asked = any(value is not None for value in (proposals, aggregate, edge_model))
    if ensemble_by is not None and not ensemble:
        raise ValueError(
            f"expected --ensemble with --ensemble-by {ensemble_by}: one network is none"
        )
    parameters = None if crf is None else CRF.parse(crf)
    file = find_model(model, branch=branch, scales=scales)
    others = [ensemble] if isinstance(ensemble, str | Path) else ensemble
    labels = _labels_with_palette(file.card.labels, palette)
    engine = open_ensemble(
        [file, *map(find_model, others)],
        ensemble_by or "mean",
        backend=backend,
        device=device,
        precision=precision,
        size=size,
        compile=compile,
        proposals=Proposals.parse(proposals, aggregate=aggregate, edge_model=edge_model)
        if asked
        else None,
        progress=progress,
    )
    if parameters is not None:
        from streamseg.engine.crf_engine import CRFEngine

        engine = CRFEngine(engine, parameters)
    return Segmenter(
        engine,
        labels,
        reuse=reuse,
        load_seconds=time.monotonic() - started,
    )


class Segmenter:
    """A loaded network. Use it from one thread at a time; one stream at a time.

    Attributes:
        card: the model's name, classes, input and notes.
        labels: classes and the colours in use.
        info: backend, device, precision and what had to be replaced.
        reuse: whether and how streams carry features from frame to frame, when they are not told otherwise.
        load_seconds: time that loading took.

    Raises:
        BackendError: features are to be carried, and the network cannot be split.
    """

    def __init__(
        self,
        engine: "Engine",
        labels: LabelSet,
        *,
        reuse: KeyframeReuse | None = None,
        load_seconds: float = 0.0,
    ) -> None:
        self.labels = labels
        self.load_seconds = load_seconds
        self._engine = engine
        self.reuse = self._checked(reuse or KeyframeReuse())

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._engine.card

    @property
    def info(self) -> EngineInfo:
        """Where and how the network runs."""
        return self._engine.info

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Network input (height, width) for pictures of `size` (height, width)."""
        return self._engine.network_size(size)

    def __call__(
        self, image: "NDArray[np.uint8] | av.VideoFrame", *, pixel_format: str = "bgr24"
    ) -> Result:
        """Label one picture.

        Args:
            image: H x W x 3 uint8 in `pixel_format`, or a PyAV frame.
            pixel_format: "bgr24" (as cv2 gives it) or "rgb24"; of arrays only.

        Raises:
            ValueError: not an image of that kind.
        """
        captured = time.monotonic()
        if isinstance(image, av.VideoFrame):
            picture = Packed(pixels=to_bgr(image))
        else:
            picture = Packed(pixels=image, order=pixel_format)
        return Result(
            self._label(picture),
            picture,
            self.labels,
            captured_seconds=captured,
            clock=time.monotonic,
        )

    def logits(self, pixels: Pixels) -> Logits:
        """The network's answer to one picture, at the network's own resolution; `label_map` makes labels of it."""
        logits: Logits = self._engine.infer(self._engine.prepare(pixels))
        return logits

    def _label(self, pixels: Pixels) -> NDArray[np.uint8]:
        from streamseg.stream.paint import LABELS_ALONE, label_map

        if self._engine.paints:
            engine = cast("PaintingEngine", self._engine)
            labelled: Labelled = engine.infer(engine.prepare_drawn(pixels, LABELS_ALONE))
            return labelled.labels
        return label_map(self.logits(pixels), pixels.size)

    def stream(
        self,
        source: str | int | Path,
        *,
        policy: Policy = "every",
        max_age_ms: float | None = None,
        start: float | None = None,
        end: float | None = None,
        limit: int | None = None,
        on_corrupt: OnCorrupt = "keep",
        max_pixels: int = MAX_PIXELS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        keyframe: str | None = None,
        motion: str | None = None,
        features: str | None = None,
    ) -> Stream:
        """Label a stream in the background; iterate for results, or poll `latest`.

        Args:
            source: video file, folder or glob of images, camera index, device, address, or "-".
            policy: "every" frame, as many a second as can be, waiting for the consumer; or "latest", where the
                newest frame wins, has the machine to itself, and files run at the pace of their timestamps.
            max_age_ms: with "latest": frames that were captured longer ago are dropped, and no result that is
                older is ever given out, nor written when its writing would begin later.
            start, end: seconds; the part to read.
            limit: most frames to read.
            on_corrupt: damaged pictures are processed like any other ("keep"; `Result.corrupt` tells),
                left out ("skip"), or end the stream with an error ("stop"). All are counted.
            max_pixels: greater pictures are refused: memory is reserved by what a header claims.
            read_timeout_seconds: a network source that is silent for longer has failed.
            keyframe, motion, features: see `load`, whose they replace for this stream.

        Raises:
            SourceError: the source cannot be opened.
            BackendError: see `Segmenter`.
            ValueError: an argument has no meaning, such as `max_age_ms` with "every".
        """
        check_policy(policy, max_age_ms)
        reuse = self._reuse_of(policy, keyframe, motion, features)
        opened = open_source(
            source,
            cut=Cut(start_seconds=start, end_seconds=end, limit=limit),
            real_time=policy == "latest",
            on_corrupt=on_corrupt,
            max_pixels=max_pixels,
            read_timeout_seconds=read_timeout_seconds,
            motion_vectors=reuse.wants_vectors,
        )
        return Stream(
            self._engine,
            self.labels,
            opened,
            policy=policy,
            max_age_ms=max_age_ms,
            reuse=reuse,
            load_seconds=self.load_seconds,
        )

    def run(
        self,
        source: str | int | Path,
        out: str | Path | None = None,
        *,
        save: tuple[str, ...] = ("overlay",),
        alpha: float = 0.5,
        audio: bool = True,
        overwrite: bool = False,
        encoder: str = "auto",
        quality: float | None = None,
        labels_as: "LabelForm" = "mkv",
        policy: Policy = "every",
        max_age_ms: float | None = None,
        start: float | None = None,
        end: float | None = None,
        limit: int | None = None,
        on_corrupt: OnCorrupt = "keep",
        max_pixels: int = MAX_PIXELS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        keyframe: str | None = None,
        motion: str | None = None,
        features: str | None = None,
    ) -> Stream:
        """Label a stream and write it to files; iterate to follow, or call `finish` on what comes back.

        Args:
            source, policy, max_age_ms, start, end, limit, on_corrupt, max_pixels, read_timeout_seconds, keyframe,
                motion, features: see `stream`.
            out: the overlay's file; default NAME_overlay.mp4 in the current folder.
            save: any of "overlay", "labels" (lossless, for `read_labels`) and "color".
            alpha: share of colour in the overlay, 0..1.
            audio: copy the source's audio into the overlay; subtitles, chapters and metadata always are.
            overwrite: replace existing files.
            encoder: of overlay and color: "auto", "h264", "hevc", "av1", "vp9", "mpeg4" or "ffv1".
            quality: on the encoder's own scale (CRF, or quantiser for mpeg4): lower is better and larger.
            labels_as: "mkv" (lossless video), "png" (a folder of palette images) or "npz".

        Raises:
            SourceError, SinkError: input or output cannot be opened.
            ValueError: an argument has no meaning.
        """
        from streamseg.stream.paint import fixed_point_alpha
        from streamseg.writing.sink import FileSink, Outputs

        check_policy(policy, max_age_ms)
        fixed_point_alpha(alpha)
        reuse = self._reuse_of(policy, keyframe, motion, features)
        opened = open_source(
            source,
            cut=Cut(start_seconds=start, end_seconds=end, limit=limit),
            real_time=policy == "latest",
            keep=_streams_kept(audio) if "overlay" in save else (),
            on_corrupt=on_corrupt,
            max_pixels=max_pixels,
            read_timeout_seconds=read_timeout_seconds,
            motion_vectors=reuse.wants_vectors,
        )
        try:
            outputs = Outputs(
                path=Path(out) if out is not None else Path(f"{opened.info.stem}_overlay.mp4"),
                save=save,
                overwrite=overwrite,
                encoder=encoder,
                quality=quality,
                labels_as=labels_as,
            )
            sink = FileSink(outputs, opened, self.labels)
        except BaseException:
            opened.close()
            raise
        return Stream(
            self._engine,
            self.labels,
            opened,
            policy=policy,
            sink=sink,
            alpha=alpha,
            max_age_ms=max_age_ms,
            reuse=reuse,
            load_seconds=self.load_seconds,
        )

    def _reuse_of(
        self, policy: Policy, keyframe: str | None, motion: str | None, features: str | None
    ) -> KeyframeReuse:
        given = {"keyframe": keyframe, "motion": motion, "features": features}
        changes = {name: value for name, value in given.items() if value is not None}
        reuse = self._checked(replace(self.reuse, **changes))
        reuse.interpolates(waits=policy == "every")  # may refuse, before anything is opened
        return reuse

    def _checked(self, reuse: KeyframeReuse) -> KeyframeReuse:
        if reuse.on and not self._engine.splits:
            raise BackendError(
                f"keyframe {reuse.keyframe} needs a network in two parts, as icnet is; {self.card.name} runs as a "
                f"whole (keyframe off)"
            )
        return reuse

    def close(self) -> None:
        """Free the network. Idempotent."""
        self._engine.close()

    def __enter__(self) -> "Segmenter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _streams_kept(audio: bool) -> tuple[str, ...]:
    beside = ("subtitle", "data", "attachment")
    return ("audio", *beside) if audio else beside


def _labels_with_palette(labels: LabelSet, palette: str | None) -> LabelSet:
    if palette is None:
        return labels
    if palette not in LABEL_SETS:
        raise ValueError(f"unknown palette {palette!r}; known: {', '.join(sorted(LABEL_SETS))}")
    colors = LABEL_SETS[palette].colors
    if len(colors) < len(labels):
        raise ValueError(
            f"palette {palette!r} has {len(colors)} colours, the model {len(labels)} classes"
        )
    return LabelSet(name=labels.name, class_names=labels.class_names, colors=colors[: len(labels)])
