"""streamseg: real-time semantic segmentation of video streams.

    import streamseg
    segmenter = streamseg.load("icnet-camvid")
    for result in segmenter.stream("drive.mp4"):
        print(result.time_seconds, result.labels.shape)

How a frame travels (which threads carry it: see `streamseg.stream.pipeline`):

    source ──▶ decode ──Frame──▶ transfer ──Prepared──▶ infer ──Inferred──▶ overlay ──Painted──▶ encode

Importing this package loads nothing heavy: torch, OpenVINO and numba load with the first model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamseg.version import __version__ as __version__

_HOMES = {
    "BackendError": "streamseg.errors",
    "DataError": "streamseg.errors",
    "LabelSet": "streamseg.labels",
    "ModelError": "streamseg.errors",
    "Page": "streamseg.page",
    "Result": "streamseg.result",
    "Segmenter": "streamseg.segmenter",
    "SinkError": "streamseg.errors",
    "SourceError": "streamseg.errors",
    "Stream": "streamseg.running",
    "StreamsegError": "streamseg.errors",
    "Window": "streamseg.view",
    "add_model_arguments": "streamseg.arguments",
    "add_video_arguments": "streamseg.arguments",
    "load": "streamseg.segmenter",
    "load_from_arguments": "streamseg.arguments",
    "read_labels": "streamseg.reading.read_labels",
    "render_street": "streamseg.sample",
    "video_options": "streamseg.arguments",
    "write_json": "streamseg.arguments",
}
"""Public names and where they live; each is imported when it is first asked for."""

__all__ = [
    "BackendError",
    "DataError",
    "LabelSet",
    "ModelError",
    "Page",
    "Result",
    "Segmenter",
    "SinkError",
    "SourceError",
    "Stream",
    "StreamsegError",
    "Window",
    "add_model_arguments",
    "add_video_arguments",
    "load",
    "load_from_arguments",
    "read_labels",
    "render_street",
    "video_options",
    "write_json",
]

if TYPE_CHECKING:
    from streamseg.arguments import (
        add_model_arguments,
        add_video_arguments,
        load_from_arguments,
        video_options,
        write_json,
    )
    from streamseg.errors import (
        BackendError,
        DataError,
        ModelError,
        SinkError,
        SourceError,
        StreamsegError,
    )
    from streamseg.labels import LabelSet
    from streamseg.page import Page
    from streamseg.reading.read_labels import read_labels
    from streamseg.result import Result
    from streamseg.running import Stream
    from streamseg.sample import render_street
    from streamseg.segmenter import Segmenter, load
    from streamseg.view import Window


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamseg' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
