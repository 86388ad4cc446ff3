"""`Kept`: what a study has measured already, in one JSON file, so that a command called again does not repeat it."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from streamseg.errors import ModelError, SinkError

Record = TypeVar("Record")


class Kept:
    """Records by all that they depend on.

    Args:
        path: of the file; it need not be there yet.

    Raises:
        ModelError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path.exists():
            try:
                self._known = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, TypeError, ValueError) as error:
                raise ModelError(
                    f"expected measurements of an earlier run at {path}: {error}. Delete it to measure anew"
                ) from error

    def get(
        self, key: tuple[object, ...], kind: type[Record], make: Callable[[], Record]
    ) -> Record:
        """The record of `key`; made, and kept, if there is none.

        Args:
            key: all that decides what comes out; its `repr` is looked up.
            kind: a dataclass of numbers, texts and tuples.

        Raises:
            SinkError: the file cannot be written.
        """
        name = f"{kind.__name__} {key!r}"
        try:
            return kind(**{field: _tuples(value) for field, value in self._known[name].items()})
        except (KeyError, TypeError, AttributeError):  # not there, or of an older version
            record: Any = make()
        self._known[name] = dataclasses.asdict(record)
        write_text(self._path, json.dumps(self._known, indent=1) + "\n")
        return record  # type: ignore[no-any-return]


def write_text(path: Path, text: str) -> None:
    """Write a neighbour of `path`, then rename.

    Raises:
        SinkError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def _tuples(value: Any) -> Any:
    """JSON knows lists alone."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
