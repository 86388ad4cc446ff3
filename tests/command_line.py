"""What the command-line tests share besides fixtures."""

from dataclasses import dataclass

SMALL = "--size 97x129 --precision fp32"
"""A network input small enough for tests."""


@dataclass(frozen=True)
class Outcome:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    def line(self) -> str:
        """The one line of a failure: exit status 1, no traceback, nothing else on standard error."""
        assert self.status == 1, (self.status, self.out, self.err)
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("streamseg: error: ")
        return lines[0]
