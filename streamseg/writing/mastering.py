"""What an HDR picture was mastered on, from the source's side data into an encoder's options.

FFmpeg's own encoders of it read a field that PyAV does not give, hence the detour over text.
"""

import struct
from collections.abc import Mapping
from fractions import Fraction

from streamseg.picture.format import PictureFormat

_DISPLAY_BYTES = 88
"""AVMasteringDisplayMetadata: 10 AVRationals (x and y of red, green, blue, white; least and greatest
luminance), then two ints: whether it has primaries, and luminance."""


def with_mastering(
    codec: str, options: Mapping[str, str], format: PictureFormat
) -> tuple[dict[str, str], list[str]]:
    """Add mastering display and content light level to an encoder's options.

    Args:
        codec: FFmpeg's name of the encoder.
        options: its options.
        format: the source's.

    Returns:
        The options, and what they cannot carry: "what was asked, what was used, why".
    """
    display = _display(format.mastering_display or b"")
    light = _light(format.content_light or b"")
    added = dict(options)
    if display is None and light is None:
        return added, []
    if codec == "libx265":
        shown = _text(display, 50_000, 10_000) if display else None
        return _join(added, "x265-params", {"master-display": shown, "max-cll": light}), []
    if codec == "libsvtav1":
        shown = _text(display, 1, 1) if display else None
        named = {"mastering-display": shown, "content-light": light}
        return _join(added, "svtav1-params", named), []
    return added, [
        f"HDR mastering metadata kept, left out, {codec} does not write it (hevc and av1 do)"
    ]


def _join(options: dict[str, str], key: str, named: Mapping[str, str | None]) -> dict[str, str]:
    texts = [f"{name}={text}" for name, text in named.items() if text]
    return options | {key: ":".join([options[key], *texts] if key in options else texts)}


def _display(data: bytes) -> list[Fraction] | None:
    """x and y of red, green, blue and white, least and greatest luminance in cd/m2; None when unknown
    or nonsense.
    """
    if len(data) < _DISPLAY_BYTES:
        return None
    numbers = struct.unpack("=22i", data[:_DISPLAY_BYTES])
    if not (numbers[20] and numbers[21]) or 0 in numbers[1:20:2]:
        return None
    values = [Fraction(*numbers[k : k + 2]) for k in range(0, 20, 2)]
    in_range = all(0 <= value <= 1 for value in values[:8]) and 0 <= values[8] < values[9] <= 10_000
    return values if in_range else None


def _light(data: bytes) -> str | None:
    """Greatest light level of a pixel and of a frame's mean, in cd/m2."""
    if len(data) < 8:
        return None
    pixel, mean = struct.unpack("=2I", data[:8])
    return f"{pixel},{mean}" if max(pixel, mean) < 1 << 16 else None


def _text(values: list[Fraction], color_unit: int, light_unit: int) -> str:
    """As both encoders read it; x265 wants whole multiples of its units, SVT-AV1 decimals."""
    whole = color_unit > 1

    def number(value: Fraction, unit: int) -> str:
        return str(round(value * unit)) if whole else f"{float(value):.6f}"

    def point(at: int) -> str:
        return f"({number(values[at], color_unit)},{number(values[at + 1], color_unit)})"

    least, greatest = (number(value, light_unit) for value in values[8:])
    return f"G{point(2)}B{point(4)}R{point(0)}WP{point(6)}L({greatest},{least})"
