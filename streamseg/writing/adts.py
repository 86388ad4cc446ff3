"""AAC as MPEG-TS has it, with a header in every packet (ADTS). Comes in: packets. Goes out: what other
containers say once for the whole stream instead (AudioSpecificConfig), and where the sound begins. Called
on the sink's thread.

FFmpeg's own filter for this (aac_adtstoasc) knows the configuration only with the first packet, when the
header of an mp4 that grows in fragments is already made.
"""

from dataclasses import dataclass
from typing import Any

_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
"""Samples per second, by the number that stands for them."""

_LC = 2
"""The kind of AAC that nearly everything is ("low complexity"), as MPEG-4 numbers them."""

_CHANNELS = {"mono": 1, "stereo": 2, "3.0": 3, "4.0": 4, "5.0": 5, "5.1": 6, "7.1(wide)": 7}
"""FFmpeg's names of the layouts that have a number."""

TYPICAL = b"\x11\x90"
"""AudioSpecificConfig of 48 kHz, stereo; to try what takes AAC at all."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front of a packet's sound.

    Attributes:
        config: AudioSpecificConfig that says the same.
        size: bytes, before the sound.
    """

    config: bytes
    size: int


def parse(data: bytes) -> Header | None:
    """The header of a packet; None when it has none, or one that no AudioSpecificConfig of two bytes can
    say: channels that the sound itself describes, or several blocks in one packet.
    """
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    kind, rate = (data[2] >> 6) + 1, data[2] >> 2 & 0xF
    channels = (data[2] & 1) << 2 | data[3] >> 6
    blocks = (data[6] & 3) + 1
    size = 7 if data[1] & 1 else 9  # two bytes of checksum
    whole = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if not channels or rate >= len(_RATES) or blocks > 1 or whole <= size:
        return None
    return Header(_config(kind, rate, channels), size)


def expected_config(context: Any) -> bytes | None:
    """AudioSpecificConfig by what a decoder (PyAV's AudioCodecContext) saw when the source was opened, for
    want of a packet; None where it could be another.
    """
    channels = _CHANNELS.get(context.layout.name)
    if context.profile != "LC" or channels is None or context.sample_rate not in _RATES:
        return None
    return _config(_LC, _RATES.index(context.sample_rate), channels)


def _config(kind: int, rate: int, channels: int) -> bytes:
    return (kind << 11 | rate << 7 | channels << 3).to_bytes(2, "big")
