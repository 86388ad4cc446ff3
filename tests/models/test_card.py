"""The model card: a round trip, good sizes, one clear error for every way to be wrong."""

import json
from typing import Any

import pytest

from streamseg.errors import ModelError
from streamseg.labels import CAMVID, CITYSCAPES
from streamseg.models.card import CAFFE_BGR_MEAN, InputSpec, ModelCard


def card(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "name": "icnet-camvid",
        "architecture": "icnet",
        "labels": CAMVID,
        "input": InputSpec(size=(353, 481)),
        "width": 0.5,
        "notes": {"data": "CamVid", "scores": {"miou": 0.6}, "epochs": [1, 2]},
    }
    return ModelCard(**{**values, **changes})


def document(**changes: Any) -> dict[str, Any]:
    """A minimal card as a dict; a change to None removes the key."""
    values = {"name": "a", "architecture": "onnx", "classes": "camvid", "input": {"size": [33, 65]}}
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


def parse(values: Any, **arguments: Any) -> ModelCard:
    text = values if isinstance(values, str) else json.dumps(values)
    return ModelCard.from_json(text, origin="some.onnx", **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"labels": CITYSCAPES, "width": None, "notes": {}},
        {
            "input": InputSpec(
                size=(256, 512),
                color="rgb",
                mean=(123.5, 116.25, 103.0),
                std=(58.5, 57.25, 57.0),
                align_corners=False,
                multiple=64,
                offset=0,
                fixed=True,
            )
        },
    ],
    ids=["bgr", "no width", "rgb"],
)
def test_round_trip(changes: dict[str, Any]) -> None:
    before = card(**changes)
    after = parse(before.to_json())
    assert (after.name, after.architecture) == (before.name, before.architecture)
    assert after.input == before.input
    assert after.width == before.width
    assert after.notes == before.notes
    assert after.labels.class_names == before.labels.class_names
    assert after.labels.colors == before.labels.colors
    assert after.to_json() == before.to_json()


def test_left_out_keys_have_caffe_s_defaults() -> None:
    read = parse(document())
    assert read.input == InputSpec(size=(33, 65))
    assert (read.input.color, read.input.mean, read.input.std) == (
        "bgr",
        CAFFE_BGR_MEAN,
        (1.0, 1.0, 1.0),
    )
    assert read.labels is CAMVID
    assert (read.width, read.notes) == (None, {})


def test_defaults_fill_only_missing_keys() -> None:
    defaults = {"name": "from the file name", "architecture": "openvino"}
    read = parse(document(architecture=None), defaults=defaults)
    assert (read.name, read.architecture) == ("a", "openvino")


def test_class_names_without_palette_get_colors() -> None:
    assert parse(document(classes=list(CAMVID.class_names))).labels is CAMVID
    labels = parse(document(classes=["cat", "dog", "mat"])).labels
    assert labels.class_names == ("cat", "dog", "mat")
    assert len(set(labels.colors)) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "expected JSON in the model card of some.onnx"),
        ("", "expected JSON in the model card of some.onnx"),
        ("[1, 2]", "expected a JSON object as model card of some.onnx"),
        (document(licence="MIT"), "unknown keys licence in .*some.onnx; known: architecture"),
        (document(input={"size": [33, 65], "gamma": 1}), "unknown keys gamma .*known: align_corn"),
        (document(name=None), "expected 'name' in the model card of some.onnx; it is missing"),
        (document(architecture=None), "expected 'architecture' .*missing"),
        (document(classes=None), "expected 'classes' .*missing"),
        (document(input=None), "expected 'input' .*missing"),
        (document(input={}), "some.onnx is unusable: .*size"),
        (document(input=[33, 65]), "some.onnx is unusable"),
        (document(input={"size": 33}), "some.onnx is unusable"),
        (document(input={"size": [33]}), r"expected size \[height, width\] .*got \(33,\)"),
        (document(input={"size": [33, 65, 3]}), r"expected size \[height, width\]"),
        (document(input={"size": [0, 65]}), r"expected size .*from 1 to 8192.*got \(0, 65\)"),
        (document(input={"size": [33, 8193]}), "expected size .*from 1 to 8192"),
        (document(input={"size": ["tall", 65]}), "some.onnx is unusable: .*tall"),
        (document(input={"size": [33, 65], "color": "yuv"}), 'expected color "bgr" or "rgb".*yuv'),
        (document(input={"size": [33, 65], "mean": [1, 2]}), "expected three finite .* as mean"),
        (document(input={"size": [33, 65], "std": [1, 2, float("inf")]}), "three finite .* as std"),
        (document(input={"size": [33, 65], "std": [1, 1, 0]}), "expected positive std"),
        (document(input={"size": [33, 65], "multiple": 0}), "expected multiple >= 1"),
        (document(input={"size": [33, 65], "offset": 32}), "expected multiple >= 1 and offset"),
        (document(input={"size": [33, 65], "multiple": "32"}), "some.onnx is unusable"),
        (document(classes="ade20k"), "unknown label set 'ade20k'; known: camvid, cityscapes"),
        (document(classes=[]), "expected 1 to 255 classes, got 0"),
        (document(classes=["x"] * 256), "expected 1 to 255 classes, got 256"),
        (document(classes=11), "some.onnx is unusable"),
        (document(classes=["a", "b"], palette=[[0, 0, 0]]), "one color per class .2., got 1"),
        (document(classes=["a"], palette=[[0, 0, 256]]), "expected palette colors in 0..255"),
        (document(classes=["a"], palette=[[0, 0]]), "some.onnx is unusable"),
        (document(width="wide"), "some.onnx is unusable: .*wide"),
        (document(notes=3), "some.onnx is unusable"),
    ],
)
def test_wrong_cards_have_one_clear_error(values: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        parse(values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"name": ' + '{"a":' * 100_000,
        json.dumps(document()).replace("33", "1e999"),
        json.dumps(document(input={"size": [33, 65], "mean": [10**400, 0, 0]})),
        json.dumps(document(classes=["a"], palette=[[0, 0, float("inf")]])),
        json.dumps(document(input={"size": "12"})),
        json.dumps(document(input={"size": [33.7, 65]})),
        json.dumps(document(input={"size": [33, 65], "align_corners": "no"})),
        json.dumps(document(input={"size": [33, 65], "multiple": 32.5})),
        json.dumps(document(width=float("nan"))),
        json.dumps(document(width=-1)),
    ],
    ids=[
        "deep list",
        "deep object",
        "infinite size",
        "huge mean",
        "infinite color",
        "size of digits",
        "fractional size",
        "text as flag",
        "fractional multiple",
        "nan width",
        "negative width",
    ],
)
def test_hostile_values_are_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse(text)


@pytest.mark.parametrize(
    ("height", "width"), [(1024, 2048), (720, 1280), (1080, 1920), (480, 640), (1920, 1080)]
)
@pytest.mark.parametrize("size", [(1025, 2049), (353, 481), (545, 961)])
def test_auto_size_keeps_area_and_aspect(size: tuple[int, int], height: int, width: int) -> None:
    chosen = InputSpec(size=size).size_for(height, width)
    assert all(side % 32 == 1 and side >= 33 for side in chosen)
    # Snapping moves each side by at most 16 pixels.
    slack = sum(16 / side for side in chosen)
    assert chosen[0] * chosen[1] == pytest.approx(size[0] * size[1], rel=1.1 * slack)
    assert chosen[0] / chosen[1] == pytest.approx(height / width, rel=1.1 * slack)


def test_auto_size_of_the_card_s_own_size_is_itself() -> None:
    assert InputSpec(size=(1025, 2049)).size_for(1025, 2049) == (1025, 2049)
    assert InputSpec(size=(353, 481)).size_for(353, 481) == (353, 481)


def test_fixed_size_stays() -> None:
    assert InputSpec(size=(300, 500), fixed=True).size_for(1080, 1920) == (300, 500)


def test_extreme_sources_stay_within_bounds() -> None:
    spec = InputSpec(size=(1025, 2049))
    for height, width in ((1, 100_000), (100_000, 1), (1, 1), (50_000, 50_000)):
        assert all(33 <= side <= 8192 and side % 32 == 1 for side in spec.size_for(height, width))


@pytest.mark.parametrize(("multiple", "offset"), [(1, 0), (1, 1), (8, 0), (32, 1), (64, 0)])
def test_good_sizes_have_the_card_s_form(multiple: int, offset: int) -> None:
    spec = InputSpec(size=(512, 512), multiple=multiple, offset=offset)
    for side in (1.0, 47.9, 48.1, 500.0, 9000.0):
        for good in spec.good_size(side, side):
            assert (good - offset) % multiple == 0
            assert multiple <= good <= 8192
