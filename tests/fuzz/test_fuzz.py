"""Does the command stand damaged and hostile files? A share of what `scripts/fuzz` runs, and the judge's own tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import sandbox as limits
from fuzz.corpus import HEALTHY, Case, Corpus
from fuzz.sandbox import ROOT, Ended, Sandbox
from fuzz.sweep import sweep
from fuzz.verdict import judge, problem_of_video
from media import write_clip

COUNT, SEED = 100, 1
"""What runs here of the corpus; `scripts/fuzz --count 1000` runs more."""


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The damaged files."""
    return Corpus(SEED)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_healthy_files_are_processed_and_damaged_ones_do_no_harm(
    corpus: Corpus, tmp_path: Path
) -> None:
    cases = [*corpus.healthy_cases(), *(corpus.case(index) for index in range(COUNT))]
    findings = list(sweep(corpus, cases, tmp_path))
    assert len(findings) == len(cases)
    assert [str(finding) for finding in findings if finding.failed] == []
    outcomes = [finding.verdict.outcome for finding in findings]
    assert outcomes.count("ok") > COUNT // 4
    assert outcomes.count("refused") > COUNT // 4


class TestCorpus:
    """Which case has which number."""

    def test_a_number_names_one_case(self, corpus: Corpus) -> None:
        for index in (0, 57, len(corpus.deck) + 3):
            assert corpus.case(index) == corpus.case(index)

    def test_a_round_has_every_pair_once(self, corpus: Corpus) -> None:
        deck = sorted((seed.kind, seed.name, mutation) for seed, mutation in corpus.deck)
        for first in (0, len(deck)):
            cases = (corpus.case(first + index) for index in range(len(deck)))
            assert sorted((case.kind, case.file, case.mutation) for case in cases) == deck

    def test_seeds_and_rounds_differ(self, corpus: Corpus) -> None:
        def names(seed: int, first: int) -> list[str]:
            corpus.seed = seed
            return [
                f"{case.file} {case.mutation}"
                for case in map(corpus.case, range(first, first + 20))
            ]

        try:
            orders = [names(SEED, 0), names(SEED, len(corpus.deck)), names(SEED + 1, 0)]
        finally:
            corpus.seed = SEED
        assert len({tuple(order) for order in orders}) == 3


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all tests here: it takes a second or two to start."""
    with Sandbox(tmp_path_factory.mktemp("home")) as opened:
        yield opened


class TestSandbox:
    """It sees how a command ends, and ends one that goes too far."""

    @pytest.mark.parametrize(
        ("program", "status"),
        [
            ("pass", 0),
            ("raise SystemExit(2)", 2),
            ("import sys; sys.exit('streamseg: error: x')", 1),
            ("import os; os.abort()", -signal.SIGABRT),
            ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ],
    )
    def test_exit_status_and_signals_are_seen(
        self, sandbox: Sandbox, tmp_path: Path, program: str, status: int
    ) -> None:
        ended = sandbox.run(tmp_path, (), program)
        assert (ended.status, ended.killed) == (status, None)

    def test_standard_error_and_arguments_arrive(self, sandbox: Sandbox, tmp_path: Path) -> None:
        program = "import os, sys; print(sys.argv[1:], os.getcwd(), file=sys.stderr)"
        assert sandbox.run(tmp_path, ("a", "b"), program).err == f"['a', 'b'] {tmp_path}\n"

    def test_hang_is_ended(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LIMIT_SECONDS", 0.2)
        ended = sandbox.run(tmp_path, (), "import threading; threading.Event().wait()")
        assert (ended.status, ended.killed) == (-signal.SIGKILL, "hang")
        assert 0.2 < ended.seconds < 5

    def test_waiting_for_a_processor_is_no_hang(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LIMIT_SECONDS", 0.2)
        monkeypatch.setattr(limits, "queued_seconds", lambda pid: 10.0)
        program = "import threading; threading.Event().wait(0.5)"
        assert sandbox.run(tmp_path, (), program).killed is None

    def test_thread_that_outlives_the_command_is_a_hang(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LIMIT_SECONDS", 0.2)
        program = "import threading; threading.Thread(target=threading.Event().wait).start()"
        assert sandbox.run(tmp_path, (), program).killed == "hang"

    def test_memory_is_bounded(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LIMIT_BYTES", 700 << 20)
        program = "kept = [b'x' * (1 << 20) for _ in range(4000)]; print(len(kept))"
        ended = sandbox.run(tmp_path, (), program)
        assert (ended.status, ended.killed) == (-signal.SIGKILL, "memory")
        assert 700 << 20 < ended.peak_bytes < 3 << 30

    def test_the_command_is_the_real_one(self, sandbox: Sandbox, tmp_path: Path) -> None:
        ended = sandbox.run(tmp_path, ("run", "absent.mp4"))
        command = [sys.executable, "-m", "streamseg", "run", "absent.mp4"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        direct = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        assert (ended.status, ended.err) == (direct.returncode, direct.stderr)


class TestJudge:
    """What is put up with, and what is not."""

    @pytest.mark.parametrize(
        ("changes", "outcome", "words"),
        [
            ({}, "ok", ""),
            ({"err": "note: a, b, c\nstreamseg: warning\n"}, "ok", ""),
            ({"status": 1, "err": "streamseg: error: x\n"}, "refused", ""),
            ({"status": 2, "err": "usage: streamseg\nerror: x\n"}, "refused", ""),
            ({"killed": "hang", "status": -9}, "failed", "hang: not done after 20 s"),
            ({"killed": "memory", "status": -9}, "failed", "memory: 100 MB"),
            ({"status": -11}, "failed", "crash: signal 11"),
            ({"status": 130}, "failed", "exit status 130"),
            ({"status": 1}, "failed", "0 error lines"),
            ({"status": 1, "err": "streamseg: error: x\n" * 2}, "failed", "2 error lines"),
            ({"err": "streamseg: error: x\n"}, "failed", "exit status 0 with"),
            ({"err": "[h264 @ 0x5581] error while decoding\n"}, "failed", "chatter: [h264"),
            ({"status": 1, "err": "streamseg: error: x\nx.py:1: UserWarning: y"}, "failed", "chatter: x.py"),
            ({"status": 1, "err": "streamseg: error: " + "x" * 9999}, "failed", "10017 characters"),
            ({"status": 1, "err": "streamseg: error: \x1b[2J"}, "failed", "control characters"),
            (
                {"status": 1, "err": "streamseg: error: KeyError: 'x' (a bug? --log-level debug)"},
                "failed",
                "bug: ",
            ),
            (
                {"status": 1, "err": "Traceback (most recent call last):\n  File\nKeyError: 'x'\n"},
                "failed",
                "traceback: KeyError",
            ),
        ],
    )  # fmt: skip
    def test_endings(
        self, tmp_path: Path, changes: dict[str, object], outcome: str, words: str
    ) -> None:
        verdict = judge(made_case(), ended(**changes), tmp_path)
        assert verdict.outcome == outcome
        assert verdict.problem.startswith(words) or words in verdict.problem

    def test_healthy_files_must_not_be_refused(self, tmp_path: Path) -> None:
        refused = ended(status=1, err="streamseg: error: x\n")
        verdict = judge(made_case(mutation=HEALTHY), refused, tmp_path)
        assert verdict.problem == "a healthy file was refused: streamseg: error: x"

    def test_success_needs_a_readable_output(self, tmp_path: Path) -> None:
        case = made_case(words=("run", "a.mp4", "-o", "out.mp4"))
        assert judge(case, ended(), tmp_path).problem == "output: exit status 0 without out.mp4"
        (tmp_path / "out.mp4").write_bytes(b"nothing")
        assert "out.mp4 cannot be read" in problem_of_video(tmp_path / "out.mp4")
        write_clip(tmp_path / "out.mp4", num_frames=2)
        assert judge(case, ended(), tmp_path).outcome == "ok"


def ended(**changes: object) -> Ended:
    values = {
        "status": 0, "killed": None, "seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 100 << 20, "err": "",
    }  # fmt: skip
    return Ended(**{**values, **changes})  # type: ignore[arg-type]


def made_case(mutation: str = "few flips", words: tuple[str, ...] = ("a.npz",)) -> Case:
    return Case(
        seed=1, index=0, kind="labels", file="a.npz", mutation=mutation, files={}, words=words
    )
