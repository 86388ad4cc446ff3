"""Which numbers a network trains in."""

import pytest

from streamseg.training import precision
from streamseg.training.precision import in_bf16


@pytest.mark.parametrize(
    ("asked", "device", "native", "expected"),
    [
        ("auto", "cpu", True, True),
        ("auto", "cpu", False, False),
        ("auto", "cuda:0", False, True),
        ("bf16", "cpu", False, True),
        ("fp32", "cuda:0", True, False),
    ],
)
def test_auto_takes_bf16_where_it_is_native(monkeypatch, asked, device, native, expected):
    monkeypatch.setattr(precision, "torch_has_bf16", lambda: native)
    assert in_bf16(asked, device) == expected


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'fp16'; known: auto, bf16, fp32"):
        in_bf16("fp16", "cpu")
