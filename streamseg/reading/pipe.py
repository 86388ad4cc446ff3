"""A pipe that can be stopped. Read by FFmpeg on the thread that opens the source, then on the producer's."""

import os
import select
import threading
import time
from typing import BinaryIO

POLL_SECONDS = 0.1
"""How soon a reader notices that it was stopped."""


class PolledPipe:
    """A readable file whose reads can be stopped and time out, unlike a bare pipe's.

    Attributes:
        stop: set it from any thread, and reads return the end of the file.
        interrupted: Ctrl-C was pressed during a read. FFmpeg, which calls `read`, cannot pass a
            KeyboardInterrupt on, so whoever called FFmpeg must raise it.
        wait_seconds: time spent waiting for data so far.
    """

    def __init__(self, file: BinaryIO, timeout_seconds: float) -> None:
        self.stop = threading.Event()
        self.interrupted = False
        self.wait_seconds = 0.0
        self._descriptor = file.fileno()
        self._timeout_seconds = timeout_seconds

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the pipe, or once `stop` is set.

        Raises:
            TimeoutError: no data for as long as the timeout.
        """
        started = time.monotonic()
        try:
            while not self.stop.is_set():
                if select.select([self._descriptor], [], [], POLL_SECONDS)[0]:
                    return os.read(self._descriptor, size)
                if time.monotonic() - started >= self._timeout_seconds:
                    raise TimeoutError(f"no data for {self._timeout_seconds:g} s")
        except KeyboardInterrupt:
            self.interrupted = True
            self.stop.set()
        finally:
            self.wait_seconds += time.monotonic() - started
        return b""
