import numpy as np
import pytest

from streamseg.labels import CAMVID, CITYSCAPES, IGNORE, LABEL_SETS, VOC, LabelSet, generic_labels


def test_camvid_classes_are_in_the_tutorials_order() -> None:
    words = "sky building pole road pavement tree sign fence car pedestrian bicyclist"
    assert CAMVID.class_names == tuple(words.split())


def test_cityscapes_has_its_official_colors() -> None:
    assert len(CITYSCAPES) == 19
    colors = dict(zip(CITYSCAPES.class_names, CITYSCAPES.colors, strict=True))
    assert colors["road"] == (128, 64, 128)
    assert colors["sky"] == (70, 130, 180)
    assert colors["person"] == (220, 20, 60)
    assert colors["car"] == (0, 0, 142)
    assert colors["bicycle"] == (119, 11, 32)


def test_voc_begins_with_background_and_has_its_official_colors() -> None:
    assert len(VOC) == 21
    assert VOC.background == 0
    assert (CAMVID.background, CITYSCAPES.background) == (None, None)
    colors = dict(zip(VOC.class_names, VOC.colors, strict=True))
    assert colors["background"] == (0, 0, 0)
    assert colors["aeroplane"] == (128, 0, 0)
    assert colors["person"] == (192, 128, 128)
    assert colors["tvmonitor"] == (0, 64, 128)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_names_and_colors_tell_classes_apart(labels: LabelSet) -> None:
    assert len(set(labels.class_names)) == len(labels)
    assert len(set(labels.colors)) == len(labels)
    assert LABEL_SETS[labels.name] is labels


def test_palette_is_black_where_no_class_is() -> None:
    palette = CAMVID.palette_rgb()
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert palette[:11].tolist() == [list(color) for color in CAMVID.colors]
    assert not palette[11:].any()
    assert not palette[IGNORE].any()


@pytest.mark.parametrize("num_classes", [1, 2, 19, 255])
def test_generic_labels_name_and_color_any_number_of_classes(num_classes: int) -> None:
    labels = generic_labels(num_classes)
    assert len(labels) == num_classes
    assert labels.class_names[-1] == f"class {num_classes - 1}"
    assert len(set(labels.colors)) == num_classes


def test_generic_labels_of_neighbouring_ids_differ_plainly() -> None:
    colors = np.array(generic_labels(32).colors, np.int64)
    assert np.abs(np.diff(colors, axis=0)).sum(1).min() > 100


@pytest.mark.parametrize("num_classes", [0, 256])
def test_generic_labels_refuse_what_uint8_cannot_hold(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 255 classes, got {num_classes}"):
        generic_labels(num_classes)


def test_label_set_refuses_no_classes() -> None:
    with pytest.raises(ValueError, match="expected 1 to 255 classes, got 0"):
        LabelSet(name="none", class_names=(), colors=())


def test_label_set_refuses_a_missing_color() -> None:
    with pytest.raises(ValueError, match=r"one color per class \(2\), got 1"):
        LabelSet(name="two", class_names=("a", "b"), colors=((0, 0, 0),))


@pytest.mark.parametrize("color", [(0, 0, 256), (-1, 0, 0)])
def test_label_set_refuses_impossible_colors(color: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"three values in 0\.\.255"):
        LabelSet(name="one", class_names=("a",), colors=(color,))
