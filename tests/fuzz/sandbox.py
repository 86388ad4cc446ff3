"""One command in a process of its own, watched: how it ended, how long it took, how much memory it had at most."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

LIMIT_SECONDS = 20.0
"""Of wall clock, less the time in which others had the processor: a busy machine makes nothing hang."""
LIMIT_BYTES = 2 << 30
POLL_SECONDS = 0.05

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status, or less than 0 for a signal.
        killed: why the sandbox ended it, if it did: "hang" or "memory".
        seconds, cpu_seconds: of wall clock and of processors.
        peak_bytes: greatest resident memory.
        err: what it wrote to standard error.
    """

    status: int
    killed: str | None
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    err: str


class Sandbox:
    """Runs commands one after the other, each forked from a process that has imported all they need.

    Args:
        home: a folder for caches.
    """

    def __init__(self, home: Path) -> None:
        paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "XDG_CACHE_HOME": str(home),
            "PYTHONFAULTHANDLER": "1",  # where it crashed, if it does
            # A pool of threads does not survive a fork.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        self._server: Any = subprocess.Popen(
            [sys.executable, "-m", "fuzz.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def run(self, folder: Path, words: tuple[str, ...], program: str | None = None) -> Ended:
        """Run `streamseg WORDS...`, or `program` with these arguments, in `folder`."""
        request = {"folder": str(folder), "words": words, "program": program}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        started = time.monotonic()
        pid = self._answer()["pid"]
        process = os.pidfd_open(pid)
        try:
            killed = self._watch(pid, process, started)
        except BaseException:
            _kill(process)
            raise
        finally:
            os.close(process)
        seconds = time.monotonic() - started
        answer = self._answer()
        err = (
            (folder / "stderr").read_text(errors="replace") if (folder / "stderr").exists() else ""
        )
        if answer["peak_bytes"] > LIMIT_BYTES:  # between two looks
            killed = killed or "memory"
        return Ended(
            status=answer["status"],
            killed=killed,
            seconds=seconds,
            cpu_seconds=answer["cpu_seconds"],
            peak_bytes=answer["peak_bytes"],
            err=err,
        )

    def close(self) -> None:
        """End the server."""
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(timeout=10)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("the fork server ended; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _watch(self, pid: int, process: int, started: float) -> str | None:
        """Look until it has ended; end it for what it does too much of."""
        killed: str | None = None
        # A process's descriptor can be read once it has ended.
        while not select.select([process], [], [], POLL_SECONDS)[0]:
            if killed is not None:
                continue
            seconds = time.monotonic() - started
            if seconds > LIMIT_SECONDS and seconds - queued_seconds(pid) > LIMIT_SECONDS:
                killed = "hang"
            elif peak_bytes(pid) > LIMIT_BYTES:
                killed = "memory"
            if killed:
                _kill(process)
        return killed


def peak_bytes(pid: int) -> int:
    """Greatest resident memory so far; 0 of a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def queued_seconds(pid: int) -> float:
    """For how long the thread that waited most was ready to run and had no processor; 0 where Linux does not
    count that.
    """
    longest = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            longest = max(longest, int(file.read_text().split()[1]))
        except (OSError, IndexError):  # the thread has ended
            continue
    return longest / 1e9


def _kill(process: int) -> None:
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return
