"""Whether a command behaved: it may do its work or refuse in one clear line, and nothing else."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from fuzz.corpus import HEALTHY, Case
from fuzz.sandbox import LIMIT_BYTES, LIMIT_SECONDS, Ended

Outcome = Literal["ok", "refused", "failed"]

ERROR = "streamseg: error: "
MAY_STAND_BESIDE = ("streamseg: ", "note: ")
"""Beginnings of lines on standard error besides the one error."""
LONGEST_LINE = 1000
"""Characters of an error that a person still reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a case, and what is wrong with that."""

    outcome: Outcome
    problem: str = ""


def judge(case: Case, ended: Ended, folder: Path) -> Verdict:
    """Judge a case that ran in `folder`."""
    problem = _problem_of_end(ended) or _problem_of_words(ended)
    if not problem and ended.status == 0 and case.out is not None:
        problem = problem_of_video(folder / case.out)
    if ended.status != 0 and case.mutation == HEALTHY:
        problem = problem or f"a healthy file was refused: {ended.err.strip()[:200]}"
    if problem:
        return Verdict(outcome="failed", problem=problem)
    return Verdict(outcome="ok" if ended.status == 0 else "refused")


def _problem_of_end(ended: Ended) -> str:
    if ended.killed == "hang":
        return f"hang: not done after {LIMIT_SECONDS:g} s ({ended.cpu_seconds:.1f} s of processor)"
    if ended.killed == "memory":
        return f"memory: {ended.peak_bytes >> 20} MB resident, above {LIMIT_BYTES >> 20}"
    if ended.status < 0:
        return f"crash: signal {-ended.status}"
    if "Traceback (most recent call last)" in ended.err:
        return f"traceback: {ended.err.strip().splitlines()[-1][:200]}"
    if "(a bug?" in ended.err:
        return f"bug: {ended.err.strip()[:300]}"
    if ended.status not in (0, 1, 2):
        return f"exit status {ended.status}"
    return ""


def _problem_of_words(ended: Ended) -> str:
    lines = [line for line in ended.err.splitlines() if line.strip()]
    strange = [line for line in lines if not line.startswith(MAY_STAND_BESIDE)]
    if strange and ended.status != 2:  # of a wrong command line, argparse tells the usage
        return f"chatter: {strange[0][:200]}"
    errors = [line for line in lines if line.startswith(ERROR)]
    if ended.status == 1 and len(errors) != 1:
        return f"words: {len(errors)} error lines with exit status 1"
    if errors and ended.status == 0:
        return f"words: exit status 0 with {errors[0][:200]}"
    if errors and len(errors[0]) > LONGEST_LINE:
        return f"words: an error of {len(errors[0])} characters, {errors[0][:100]}..."
    if errors and re.search(r"[\x00-\x08\x0b-\x1f\x7f]", errors[0]):
        return f"words: control characters in {errors[0][:200]!r}"
    return ""


def problem_of_video(path: Path) -> str:
    """What is wrong with an output: it must be there and its first picture readable."""
    if not path.exists():
        return f"output: exit status 0 without {path.name}"
    try:
        with av.open(str(path)) as container:
            next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        return f"output: {path.name} cannot be read: {error}"
    return ""
