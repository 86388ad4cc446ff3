import numpy as np
import pytest
from fakes import ManualClock, gray_frame

from streamseg.frames import Frame, Reuse
from streamseg.labels import CAMVID
from streamseg.picture.orientation import UPRIGHT
from streamseg.picture.pixels import Packed
from streamseg.picture.planes import planar_view
from streamseg.result import Result, to_bgr


def result(picture: Packed | Frame, labels: np.ndarray, clock: ManualClock | None = None) -> Result:
    return Result(
        labels.astype(np.uint8),
        picture,
        CAMVID,
        captured_seconds=1.0,
        clock=clock or ManualClock(),
        reuse=Reuse(is_keyframe=False, age=3, change=0.25),
    )


def test_shares_add_up_to_one() -> None:
    labels = np.array([[0, 0, 3, 3], [0, 0, 3, 8]])
    made = result(Packed(pixels=np.zeros((2, 4, 3), np.uint8)), labels)
    shares = made.shares()
    assert list(shares) == list(CAMVID.class_names) == list(made.class_names)
    assert (shares["sky"], shares["road"], shares["car"]) == (0.5, 0.375, 0.125)
    assert sum(shares.values()) == 1


def test_age_is_counted_from_the_capture() -> None:
    clock = ManualClock()
    made = result(Packed(pixels=np.zeros((1, 1, 3), np.uint8)), np.zeros((1, 1)), clock)
    clock.advance(1.25)
    assert made.age_ms == pytest.approx(250)


def test_a_single_image_has_no_time_and_says_what_it_is() -> None:
    made = result(Packed(pixels=np.zeros((2, 3, 3), np.uint8)), np.zeros((2, 3)))
    assert (made.index, made.pts, made.time_seconds, made.corrupt) == (0, 0, 0.0, False)
    assert (made.is_keyframe, made.feature_age, made.change) == (False, 3, 0.25)
    assert repr(made) == "Result(2x3, index=0, time_seconds=0.000)"


def test_a_frame_lends_its_index_time_and_damage() -> None:
    frame = gray_frame(5)
    frame = Frame(
        image=frame.image, pixels=frame.pixels, decoded=frame.image, orientation=UPRIGHT, index=5,
        time_seconds=0.2, captured_seconds=0, corrupt=True,
    )  # fmt: skip
    made = result(frame, np.zeros((32, 48)))
    assert (made.index, made.pts, made.time_seconds, made.corrupt) == (5, 5, 0.2, True)


@pytest.mark.parametrize(("full", "luma", "gray"), [(True, 200, 200), (False, 235, 255)])
def test_the_image_of_a_frame_follows_its_range(full: bool, luma: int, gray: int) -> None:
    image = gray_frame(0, luma=luma).image
    image.color_range = 2 if full else 1
    assert planar_view(image).full_range == full
    assert np.abs(to_bgr(image).astype(int) - gray).max() <= 1
