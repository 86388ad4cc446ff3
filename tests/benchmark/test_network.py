from dataclasses import replace

import pytest
from fakes import FakeEngine

from streamseg.benchmark.network import Way, network, summary
from streamseg.benchmark.records import Ratio, Skipped
from streamseg.benchmark.session import Session
from streamseg.benchmark.timing import Timing
from streamseg.frames import Logits


def never() -> Timing:
    raise AssertionError("measured before")


def way(backend: str, precision: str) -> Way:
    return Way(
        name=f"{backend} {precision}",
        backend=backend,
        precision=precision,
        form="streamseg",
        measure=never,
    )


def timings(*gflop_per_second: float) -> list[Timing]:
    return [
        Timing(milliseconds=10.0 * (index + 1), gflop_per_second=speed)
        for index, speed in enumerate(gflop_per_second)
    ]


def test_rounds_become_medians_shares_and_ratios() -> None:
    found = summary(
        [way("openvino", "bf16"), way("openvino", "int8"), way("torch", "fp32")],
        {
            "openvino bf16": timings(100, 100, 100),
            "openvino int8": timings(200, 100, 300),
            "torch fp32": timings(20, 10, 20),
            "ceiling int8": timings(400, 400, 400),
        },
        (33, 65),
        published=2.0,
        executed=1.5,
    )
    assert (found.size, found.gflop_published, found.gflop_executed) == ((33, 65), 2.0, 1.5)
    assert [row.name for row in found.rows] == ["openvino bf16", "openvino int8", "torch fp32"]
    int8 = found.rows[1]
    assert (int8.milliseconds, int8.frames_per_second, int8.gflop_per_second) == (20, 100, 200)
    assert int8.of_ceiling == Ratio(
        of="openvino int8", to="ceiling int8", median=0.5, least=0.25, greatest=0.75
    )
    assert found.rows[0].of_ceiling is None
    assert [(one.name, one.gflop_per_second) for one in found.ceilings] == [("ceiling int8", 400)]
    assert found.ratios == (
        Ratio(of="openvino int8", to="openvino bf16", median=2.0, least=1.0, greatest=3.0),
        Ratio(of="openvino bf16", to="torch fp32", median=5.0, least=5.0, greatest=10.0),
        Ratio(of="openvino int8", to="torch fp32", median=10.0, least=10.0, greatest=15.0),
    )


def test_what_the_machine_lacks_is_skipped_with_its_reason(session: Session) -> None:
    found = network(session, (64, 96))
    assert found.size == (65, 97)
    ours = [row.name for row in found.rows if row.form == "streamseg"]
    assert ours == ["openvino fp32", "torch fp32"]
    published = [row.name for row in found.rows if row.form == "published"]
    assert published[0] == "torch fp32, as published"
    assert len(published) == 2
    assert {"openvino bf16", "openvino int8", "torch bf16"} == {one.what for one in session.skipped}
    assert {one.reason for one in session.skipped} == {"a, b, because"}
    assert "ceiling fp32" in [one.name for one in found.ceilings]
    assert "ceiling int8" not in [one.name for one in found.ceilings]
    assert found.gflop_executed is None or 0 < found.gflop_executed < found.gflop_published


def test_a_compiler_that_fails_is_skipped(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Session, "_open", lambda *asked: Uncompiled() if asked[-1] else FakeEngine()
    )
    session.plan = replace(session.plan, compile=True)
    found = network(session, (64, 96))
    assert "torch bf16" in [row.name for row in found.rows]
    assert session.skipped == [
        Skipped(what="torch bf16 compiled", reason="torch.compile failed: no C++ compiler")
    ]


def test_only_the_largest_size_is_compiled(session: Session) -> None:
    session.plan = replace(session.plan, compile=True)
    network(session, (48, 64))
    assert not [one for one in session.skipped if "compiled" in one.what]
    network(session, (64, 96))
    assert [one for one in session.skipped if "compiled" in one.what]


class Uncompiled(FakeEngine):
    """What `torch.compile` without a compiler is like."""

    def infer(self, network_input: object) -> Logits:
        raise RuntimeError("no C++ compiler\nand a long story")
