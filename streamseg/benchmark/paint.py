"""From logits to the overlaid picture: streamseg's painter against cv2 and numpy, on the same numbers."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from streamseg.benchmark.baselines import blended, resized_argmax
from streamseg.benchmark.records import Paint, Size
from streamseg.benchmark.rounds import compare, take_turns
from streamseg.benchmark.session import Session
from streamseg.frames import Logits
from streamseg.labels import LabelSet
from streamseg.result import to_bgr
from streamseg.stream.paint import blend_packed, label_map

OURS, CV2 = "streamseg", "cv2"
REPEATS = 5
"""Pictures in a round."""

Picture = NDArray[np.uint8]


def paint(session: Session, size: Size) -> Paint | None:
    """Paint the first frame of the video at `size` with what the network says of it."""
    frame = session.first_frame(size)
    with session.engine("openvino", "auto", "native") as engine:
        if engine is None:
            return None
        scores = engine.infer(engine.prepare(frame.pixels)).scores
        labels = engine.card.labels
    # cv2 resizes with half-pixel centres. Where the logits really lie makes no difference to the work.
    logits = Logits(scores=scores, align_corners=False)
    return compare_painters(
        logits, to_bgr(frame.image), labels, session.plan.rounds, session.progress
    )


def compare_painters(
    logits: Logits,
    picture: Picture,
    labels: LabelSet,
    rounds: int,
    progress: Callable[[str], None],
) -> Paint:
    """Time both on the same logits and H x W x 3 uint8 BGR picture, and compare what they made."""
    size = (picture.shape[0], picture.shape[1])
    palette = np.ascontiguousarray(labels.palette_rgb()[:, ::-1])
    channels_first = np.ascontiguousarray(logits.scores.transpose(2, 0, 1))

    def ours() -> tuple[Picture, Picture]:
        found = label_map(logits, size)
        return found, blend_packed(picture, found, palette, 0.5)

    def theirs() -> tuple[Picture, Picture]:
        found = resized_argmax(channels_first, size)
        return found, blended(picture, found, palette)

    (our_labels, our_overlay), (their_labels, their_overlay) = ours(), theirs()
    turns = {OURS: lambda: _speed(ours), CV2: lambda: _speed(theirs)}
    speeds = take_turns(turns, rounds, lambda text: progress(f"painting, {text}"))
    same = our_labels == their_labels
    difference = np.abs(our_overlay.astype(np.int16) - their_overlay)
    return Paint(
        size=size,
        grid=(logits.scores.shape[0], logits.scores.shape[1]),
        streamseg_ms=1000 / median(speeds[OURS]),
        cv2_ms=1000 / median(speeds[CV2]),
        ratio=compare(speeds, OURS, CV2),
        differing_labels=int(np.count_nonzero(~same)),
        differing_bytes=int(np.count_nonzero(difference)),
        greatest_difference=int(difference[same].max(initial=0)),
    )


def _speed(call: Callable[[], object]) -> float:
    """Calls a second, of the median of `REPEATS` calls."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1 / median(times)
