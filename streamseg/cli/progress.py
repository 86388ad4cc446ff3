"""A bar over whatever a long command is doing: images scored, epochs of training."""

from typing import Any


class ProgressBar:
    """`compression.compress.Progress`, drawn on standard error if that is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(disable=quiet or None, leave=False)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def __call__(self, what: str, done: float, total: float) -> None:
        self._bar.set_description_str(what, refresh=False)
        self._bar.total = total
        self._bar.n = round(done, 2)
        self._bar.refresh()
