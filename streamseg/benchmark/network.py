"""The network alone: input ready in memory, logits out. In every precision, on both backends, against the ceiling."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from streamseg.benchmark.baselines import Script, baseline_networks
from streamseg.benchmark.ceiling import Ceiling
from streamseg.benchmark.records import CeilingRow, Form, Network, NetworkRow, Ratio, Size
from streamseg.benchmark.rounds import compare, take_turns
from streamseg.benchmark.session import PRECISIONS, Session, network_name
from streamseg.benchmark.timing import Timing, call_timer, engine_timer
from streamseg.models.operations import gflop
from streamseg.result import to_bgr

if TYPE_CHECKING:
    from streamseg.frames import Frame

REFERENCE = network_name("torch", "fp32")
"""Every row is compared with it."""

Speeds = Mapping[str, Sequence[float]]
"""1e9 operations a second, of every contestant in every round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run the network: a `NetworkRow` before it ran."""

    name: str
    backend: str
    precision: str
    form: Form
    measure: Callable[[], Timing]


def network(session: Session, size: Size) -> Network:
    """Time all ways to run the network at the size that `--size native` takes for pictures of `size`."""
    spec = session.model.card.input
    network_size = spec.size if spec.fixed else spec.good_size(*size)
    published, executed = operations(session, network_size)
    frame = session.first_frame(size)
    with ExitStack() as stack:
        ways = [
            *_engines(session, frame, published, stack, compile=size == session.plan.largest),
            *_published(session, frame, network_size, published),
        ]
        timings = take_turns(
            _with_ceilings(session, ways),
            session.plan.rounds,
            lambda text: session.progress(f"network {network_size[0]}x{network_size[1]}, {text}"),
        )
    return summary(ways, timings, network_size, published, executed)


def summary(
    ways: Sequence[Way],
    timings: Mapping[str, Sequence[Timing]],
    size: Size,
    published: float,
    executed: float | None,
) -> Network:
    """Put the rounds together: of `ways`, and of ceilings by `ceiling_name`. Other arguments as in `Network`."""
    speeds = {name: [one.gflop_per_second for one in found] for name, found in timings.items()}
    return Network(
        size=size,
        gflop_published=published,
        gflop_executed=executed,
        ceilings=tuple(
            CeilingRow(name=name, precision=precision, gflop_per_second=median(speeds[name]))
            for precision in PRECISIONS
            if (name := ceiling_name(precision)) in speeds
        ),
        rows=tuple(_row(way, timings[way.name], speeds, published) for way in ways),
        ratios=_ratios(ways, speeds),
    )


def operations(session: Session, size: Size) -> tuple[float, float | None]:
    """1e9 operations of one picture: of the network as published, and of what engines run instead, if they do."""
    from streamseg.models.weights import load_model

    published: Any = load_model(session.model)
    rearranged = published.rearranged() if hasattr(published, "rearranged") else None
    return gflop(published, size), None if rearranged is None else gflop(rearranged, size)


def ceiling_name(precision: str) -> str:
    """What results call the ceiling of a precision."""
    return f"ceiling {precision}"


def _engines(
    session: Session, frame: "Frame", published: float, stack: ExitStack, *, compile: bool
) -> list[Way]:
    asked = [("openvino", precision, False) for precision in PRECISIONS]
    asked += [("torch", "fp32", False), ("torch", "bf16", False)]
    if compile and session.plan.compile:
        asked.append(("torch", "bf16", True))
    ways = []
    for backend, precision, compiled in asked:
        name = network_name(backend, precision, compile=compiled)
        session.progress(f"compiling {name}")
        engine = stack.enter_context(session.engine(backend, precision, "native", compile=compiled))
        if engine is None:
            continue
        seconds = session.plan.timing_seconds
        try:
            measure = engine_timer(engine, engine.prepare(frame.pixels), published, seconds)
        except Exception as error:
            if not compiled:
                raise
            # torch.compile needs a C++ compiler, and says so in one of many ways.
            session.skip(
                name, f"torch.compile failed: {(str(error).splitlines() or [''])[0][:200]}"
            )
            continue
        ways.append(
            Way(name=name, backend=backend, precision=precision, form="streamseg", measure=measure)
        )
    return ways


def _published(session: Session, frame: "Frame", size: Size, published: float) -> list[Way]:
    ways = []
    for backend, precision in baseline_networks().values():
        name = network_name(backend, precision, "published")
        plain = session.published(backend, precision, size)
        x = Script(plain, session.model.card, size).network_input(to_bgr(frame.image))
        measure = call_timer(
            lambda plain=plain, x=x: plain(x),  # type: ignore[misc]
            published,
            session.plan.timing_seconds,
        )
        ways.append(
            Way(name=name, backend=backend, precision=precision, form="published", measure=measure)
        )
    return ways


def _with_ceilings(session: Session, ways: Sequence[Way]) -> dict[str, Callable[[], Timing]]:
    """Turns: all ways of one precision, then its ceiling, that they meet the machine in the same mood."""
    turns: dict[str, Callable[[], Timing]] = {}
    for precision in PRECISIONS:
        same = {way.name: way.measure for way in ways if way.precision == precision}
        if same:
            turns |= same | {ceiling_name(precision): Ceiling(precision, session.plan.ceiling)}
    return turns


def _row(way: Way, timings: Sequence[Timing], speeds: Speeds, published: float) -> NetworkRow:
    speed = median(speeds[way.name])
    ceiling = ceiling_name(way.precision)
    return NetworkRow(
        name=way.name,
        backend=way.backend,
        precision=way.precision,
        form=way.form,
        milliseconds=median(timing.milliseconds for timing in timings),
        frames_per_second=speed / published,
        gflop_per_second=speed,
        of_ceiling=compare(speeds, way.name, ceiling) if ceiling in speeds else None,
    )


def _ratios(ways: Sequence[Way], speeds: Speeds) -> tuple[Ratio, ...]:
    """int8 to bf16, and every row to `REFERENCE`."""
    pairs = [(network_name("openvino", "int8"), network_name("openvino", "bf16"))]
    pairs += [(way.name, REFERENCE) for way in ways]
    return tuple(
        compare(speeds, of, to) for of, to in pairs if of in speeds and to in speeds and of != to
    )
