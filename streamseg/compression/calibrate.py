"""Post-training quantisation: measure activations on training images, then score int8 beside fp32."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamseg.datasets import LabelledImages
from streamseg.engine.engine import EngineInfo, network_size
from streamseg.engine.entry import Entry
from streamseg.engine.graph_cache import file_digest
from streamseg.engine.openvino_engine import OpenVINOEngine
from streamseg.engine.processor import weight_bits
from streamseg.errors import ModelError
from streamseg.evaluation.evaluate import evaluate
from streamseg.models.calibration import Calibration, WeightBits, calibration_path
from streamseg.models.card import ModelFile
from streamseg.models.find import find_model
from streamseg.models.int8 import measure_maxima
from streamseg.models.weights import load_for_inference
from streamseg.picture.pixels import Packed
from streamseg.segmenter import Segmenter

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is, and of how much."""


def calibrate(
    model: str | Path,
    images: LabelledImages,
    scored: LabelledImages,
    *,
    count: int = 64,
    limit: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Write the calibration beside the weights of `model`, scored.

    Args:
        model: weights of our own: a shipped name or a path.
        images: what to measure activations on: training images, `count` of them, evenly spread.
        scored: what to score fp32 and int8 on.
        limit: only the first so many of `scored`.

    Returns:
        "calibration" (the file's path), "activations" (their number), "images", and the scores of `evaluate`
        under "fp32", "int8" (8-bit weights; where this processor can), and "int8_7" (7-bit weights).

    Raises:
        ModelError: not weights of our own, or the file cannot be written.
        DataError, ValueError: see `evaluate`.
    """
    file = find_model(model)
    if not file.is_torch:
        raise ModelError(f"expected streamseg's own weights to calibrate, got {file.path.name}")
    if count < 1:
        raise ValueError(f"expected at least one image to calibrate with, got {count}")
    chosen = sorted({round(i * (len(images) - 1) / max(count - 1, 1)) for i in range(count)})
    maxima = measure_maxima(load_for_inference(file), _inputs(file, images, chosen, progress))
    data = f"{images.name} {images.split}, {len(chosen)} images"
    path = calibration_path(file.path)
    calibration = Calibration(maxima=maxima, weights=file_digest(file.path), data=data)
    calibration.write(path)
    scores = {}
    for name, bits in runs().items():
        info = EngineInfo(backend="openvino", device="cpu", precision="int8" if bits else "fp32")
        engine = OpenVINOEngine(file, info, "auto", calibration if bits else None, bits)
        with Segmenter(engine, file.card.labels) as segmenter:
            report = partial(progress, f"scoring {name}")
            scores[name] = evaluate(segmenter, scored, limit=limit, progress=report)
    miou = {name: round(score["miou"], 5) for name, score in scores.items()}
    on = f"{scored.name} {scored.split}, {scores['fp32']['frames']} images"
    Calibration(
        maxima=maxima, weights=calibration.weights, data=data, miou={**miou, "data": on}
    ).write(path)
    return {
        "calibration": str(path),
        "activations": len(maxima),
        "images": data,
        **scores,
    }


def runs() -> dict[str, WeightBits | None]:
    """What is scored here, by its name in `Calibration.miou`: bits of the weights, None for fp32.

    Weights of 7 bits can be scored on any processor.
    """
    coarse: dict[str, WeightBits | None] = {"fp32": None, "int8_7": 7}
    return coarse if weight_bits() == 7 else {"fp32": None, "int8": 8, "int8_7": 7}


def _inputs(
    file: ModelFile, images: LabelledImages, chosen: list[int], progress: Progress
) -> Iterator[Tensor]:
    """Network input at the card's size, as engines make it."""
    for done, index in enumerate(chosen):
        picture = Packed(pixels=images.load(index)[0])
        size = network_size(file.card.input, "auto", picture.size)
        x = torch.from_numpy(Entry(picture, file.card.input, size)(picture))
        yield x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        progress("measuring activations", done + 1, len(chosen))
