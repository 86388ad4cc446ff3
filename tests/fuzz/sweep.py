"""Many cases on a few sandboxes: comes in, cases; goes out, one `Finding` each, as they end."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from fuzz.corpus import READ_LABELS, Case, Corpus
from fuzz.sandbox import Sandbox
from fuzz.verdict import Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A case, and what came of it."""

    case: Case
    verdict: Verdict
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    err: str

    @property
    def failed(self) -> bool:
        """Whether the command misbehaved."""
        return self.verdict.outcome == "failed"

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything but the files' contents."""
        case = asdict(self.case)
        case["files"] = {name: len(data) for name, data in self.case.files.items()}
        return {
            **case,
            **asdict(self.verdict),
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_mb": self.peak_bytes >> 20,
            "stderr": self.err[:2000],
        }

    def __str__(self) -> str:
        return f"{self.case}: {self.verdict.problem or self.verdict.outcome}"


def sweep(
    corpus: Corpus,
    cases: Iterable[Case],
    home: Path,
    *,
    jobs: int = 2,
    keep: Path | None = None,
) -> Iterator[Finding]:
    """Run every case.

    Args:
        home: an empty folder to work in.
        jobs: commands that run at the same time.
        keep: where the folders of failing cases go, with their recipes.

    Yields:
        Findings, in the order in which the commands end.
    """
    for name, data in corpus.shared_files().items():
        (home / name).write_bytes(data)
    todo: SimpleQueue[Case] = SimpleQueue()
    for case in cases:
        todo.put(case)
    done: SimpleQueue[Finding | None] = SimpleQueue()
    with ThreadPoolExecutor(jobs) as pool:
        workers = [pool.submit(_work, home, keep, todo, done.put) for _ in range(jobs)]
        try:
            for _ in range(jobs):
                while (finding := done.get()) is not None:
                    yield finding
        finally:
            while not todo.empty():  # the consumer left early, or a worker failed
                _next(todo)
        for worker in workers:
            worker.result()


def _work(
    home: Path,
    keep: Path | None,
    todo: "SimpleQueue[Case]",
    report: Callable[[Finding | None], None],
) -> None:
    """A thread with a sandbox of its own. Its last report is None."""
    try:
        with Sandbox(home / "cache") as sandbox:
            while (case := _next(todo)) is not None:
                report(run_case(case, sandbox, home, keep))
    finally:
        report(None)


def _next(todo: "SimpleQueue[Case]") -> Case | None:
    try:
        return todo.get_nowait()
    except Empty:
        return None


def run_case(case: Case, sandbox: Sandbox, home: Path, keep: Path | None = None) -> Finding:
    """Run one case in a folder of `home` that goes away, or to `keep` if the command misbehaves."""
    folder = home / f"case_{case.index}"
    folder.mkdir()
    case.write(folder)
    program = READ_LABELS if case.kind == "labels" else None
    ended = sandbox.run(folder, case.words, program)
    finding = Finding(
        case=case,
        verdict=judge(case, ended, folder),
        seconds=ended.seconds,
        cpu_seconds=ended.cpu_seconds,
        peak_bytes=ended.peak_bytes,
        err=ended.err,
    )
    if finding.failed and keep is not None:
        kept = keep / f"{case.seed}_{case.index}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        (kept / "recipe.json").write_text(json.dumps(finding.to_dict(), indent=1))
    shutil.rmtree(folder)
    return finding
