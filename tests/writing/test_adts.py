"""ADTS headers, against the standard's fields (ISO/IEC 13818-7) and FFmpeg's AAC encoder."""

from types import SimpleNamespace

import pytest

from streamseg.writing.adts import expected_config, parse


def header(
    *, kind: int = 1, rate: int = 3, channels: int = 2, size: int = 100, crc: bool = False,
    blocks: int = 1, sync: int = 0xFFF,
) -> bytes:  # fmt: skip
    """A packet of `size` bytes by the standard's fields, in their order."""
    bits = (
        f"{sync:012b}" f"000{not crc:b}" f"{kind:02b}{rate:04b}0{channels:03b}" "0000"
        f"{size:013b}{0x7FF:011b}{blocks - 1:02b}"
    )  # fmt: skip
    return int(bits, 2).to_bytes(7, "big") + bytes(size - 7)


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({}, "1190"),  # LC, 48 kHz, stereo: what encoders write for it
        ({"rate": 4}, "1210"),  # 44.1 kHz
        ({"rate": 8, "channels": 1}, "1408"),
        ({"channels": 6}, "11b0"),
        ({"kind": 0}, "0990"),  # Main
        ({"rate": 7, "channels": 7}, "13b8"),
    ],
)
@pytest.mark.parametrize("crc", [False, True])
def test_a_header_says_what_the_whole_stream_is(
    fields: dict[str, int], config: str, crc: bool
) -> None:
    found = parse(header(**fields, crc=crc))
    assert found is not None
    assert (found.config.hex(), found.size) == (config, 9 if crc else 7)


@pytest.mark.parametrize(
    "data",
    [
        b"", header()[:6], header(sync=0xFFE), header(rate=13), header(channels=0),
        header(blocks=2), b"\x21\x10\x04" + bytes(50), header(size=7),
    ],
)  # fmt: skip
def test_what_two_bytes_cannot_say_is_no_header(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize(
    ("profile", "rate", "layout", "config"),
    [
        ("LC", 48000, "stereo", "1190"), ("LC", 44100, "mono", "1208"), ("LC", 48000, "5.1", "11b0"),
        ("LC", 48000, "2.1", None), ("LC", 47000, "stereo", None), ("HE-AAC", 48000, "stereo", None),
    ],
)  # fmt: skip
def test_without_a_packet_only_what_is_certain_is_expected(
    profile: str, rate: int, layout: str, config: str | None
) -> None:
    context = SimpleNamespace(
        profile=profile, sample_rate=rate, layout=SimpleNamespace(name=layout)
    )
    found = expected_config(context)
    assert (found.hex() if found else None) == config
