"""Everything streamseg raises on purpose.

    StreamsegError                 one clear line for a user: expected, got, what to do
    ├── SourceError                the input cannot be opened or read
    ├── SinkError                  the output cannot be written
    ├── ModelError                 unknown model, wrong weights, unusable sidecar or checkpoint
    ├── BackendError               the backend, device or precision asked for is not there
    └── DataError                  a data set folder or label map is not what it should be

A wrong argument in Python is a plain `ValueError`, with the same kind of message.
"""


class StreamsegError(Exception):
    """Base of all. Its text is one line, fit to be shown without a traceback."""


class SourceError(StreamsegError):
    """The input cannot be opened or read."""


class SinkError(StreamsegError):
    """The output cannot be written."""


class ModelError(StreamsegError):
    """Unknown model, weights of another architecture, an unusable sidecar or checkpoint."""


class BackendError(StreamsegError):
    """The backend, device or precision that was asked for is not there."""


class DataError(StreamsegError):
    """A data set folder or label map is not what it should be."""


def reason(error: Exception) -> str:
    """FFmpeg's or the system's words, without the file name that may hold a password."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
