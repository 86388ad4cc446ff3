"""What a processor's flags come to: int8 or not, and how fine its weights."""

from pathlib import Path

import pytest

from streamseg.engine import processor


@pytest.mark.parametrize(
    ("flags", "int8", "bits"),
    [
        ({"avx2", "avx512_vnni"}, True, 8),
        ({"avx2", "avx_vnni"}, True, 8),
        ({"avx2", "amx_int8", "amx_tile"}, True, 8),
        ({"avx2", "avx512f"}, True, 7),
        ({"avx", "sse4_1"}, False, 7),
        (set(), False, 7),
    ],
)
def test_int8_is_what_the_processor_says(monkeypatch, flags, int8, bits):
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))
    assert processor.int8_is_fast() == int8
    assert processor.weight_bits() == bits


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
def test_flags_are_words():
    assert all(flag == flag.strip() and " " not in flag for flag in processor.cpu_flags())
    assert processor.cpu_flags() or "flags" not in Path("/proc/cpuinfo").read_text()
