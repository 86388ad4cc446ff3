"""Bars over whatever a long command is doing: images scored, epochs of training, parts of one picture."""

from typing import Any

SHOWN_AFTER_SECONDS = 0.5
"""Of one picture; sooner, a bar would only flicker."""


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


class PictureBar:
    """`engine.Progress`, drawn below the bar of frames, for pictures that take a while."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> "PictureBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def __call__(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if done == 0 or self._bar is None:
            self._close()
            self._bar = tqdm(
                desc="picture", unit="proposal", total=total, position=1, delay=SHOWN_AFTER_SECONDS,
                disable=self._quiet or None, leave=False,
            )  # fmt: skip
        self._bar.update(done - self._bar.n)
        if done == total:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
