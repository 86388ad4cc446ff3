"""High dynamic range: a picture for the network's eyes, and colours for painting on the original.

Comes in: a 10-bit BT.2020 frame in PQ or HLG, as decoded. Goes out: an 8-bit BT.709 frame in standard dynamic
range, which is what networks were trained on. Runs on the decoder's thread, without the GIL.

    Y'CbCr -> R'G'B' -> light, 1 = reference white -> BT.709 primaries -> tone curve -> R'G'B' -> Y'CbCr

Every pixel takes every step. A 3-D table over Y'CbCr would have to be very fine: PQ squeezes what a standard
picture holds into half of its codes, and colours bend sharply where BT.709 ends. So the curved steps are 1-D
tables, and what lies between them is arithmetic in loops of its own, which compile to vector instructions.
"""

from functools import partial
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from streamseg.compiled import compiled
from streamseg.picture.format import Transfer
from streamseg.picture.planes import (
    DEEP_FORMAT,
    LUMA_COEFFICIENTS,
    planar_view,
    ycbcr_to_rgb,
)

REFERENCE_WHITE_NITS = 203.0
"""HDR reference white, a sheet of paper in the light of the scene: ITU-R BT.2408. Light is 1.0 there."""

PEAK_NITS = 1000.0
"""What becomes SDR's white: the peak of HLG's nominal display (BT.2100), and what most PQ is mastered for."""

_PQ_PEAK_NITS = 10000.0
"""The light that PQ's highest code stands for."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
"""PQ: SMPTE ST 2084, and BT.2100, table 4."""

_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
"""HLG: ARIB STD-B67, and BT.2100, table 5."""

_SYSTEM_GAMMA = 1.2
"""Of HLG's OOTF on a display of 1000 nits: BT.2100, table 5."""

_DISPLAY_GAMMA = 2.4
"""BT.1886: what a display does with a BT.709 signal, so its inverse gives the signal for a light. (The curve in
BT.709 is a camera's.) FFmpeg's zscale has it so too."""

_D65 = (0.3127, 0.3290)
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
"""CIE 1931 x, y of red, green, blue and white: BT.709 and BT.2020."""

_TAGS_BT709 = 1
"""Of AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic."""

_CODES = 1024
"""Of a 10-bit sample."""

_FINE = 16
"""Steps of the EOTF's table per code of luma: R', G' and B' lie between the codes."""

_STEPS = 4096
"""Of the tables over light; they are entered with its square root, as dark needs finer steps than bright."""


def _pq_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ's EOTF: 0..1 to light, 1 = reference white."""
    root = signal ** (1 / _M2)
    light = np.maximum(root - _C1, 0) / (_C2 - _C3 * root)
    return np.asarray(light ** (1 / _M1) * (_PQ_PEAK_NITS / REFERENCE_WHITE_NITS))


def _pq_signal(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_pq_light`."""
    power = (light * (REFERENCE_WHITE_NITS / _PQ_PEAK_NITS)) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _hlg_scene(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """HLG's inverse OETF: 0..1 to light of the scene, 0..1; each channel by itself."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)


def _hlg_signal(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """... x 3 light of the display, BT.2020, 1 = reference white, to HLG's signal: inverse OOTF, then OETF."""
    shown = light * (REFERENCE_WHITE_NITS / PEAK_NITS)
    luminance = np.maximum(shown @ _luma("bt2020"), np.finfo(np.float64).tiny)
    scene = shown * (luminance ** (1 / _SYSTEM_GAMMA - 1))[..., None]
    bright = _A * np.log(np.maximum(12 * scene - _B, 1 - _B)) + _C
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def _luma(matrix: str) -> NDArray[np.float64]:
    """Weights of R, G and B in luma; of linear light, in luminance."""
    red, blue = LUMA_COEFFICIENTS[matrix]
    return np.array([red, 1 - red - blue, blue])


def _rgb_to_xyz(primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """3 x 3, linear light; white is (1, 1, 1) in RGB and has Y = 1."""
    x, y = np.array(primaries).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])


_XYZ_BT709, _XYZ_BT2020 = _rgb_to_xyz(_BT709), _rgb_to_xyz(_BT2020)
_FROM_BT2020 = np.linalg.solve(_XYZ_BT709, _XYZ_BT2020).astype(np.float64)
_TO_BT2020 = np.linalg.solve(_XYZ_BT2020, _XYZ_BT709).astype(np.float64)
"""Light in BT.2020 primaries to BT.709 primaries, and back: 3 x 3."""


def painted_colors(palette_rgb: NDArray[np.uint8], transfer: Transfer) -> NDArray[np.float64]:
    """A palette as signals that show the same colours on an HDR picture, white at reference white.

    Args:
        palette_rgb: N x 3 uint8, sRGB.
        transfer: of the picture.

    Returns:
        N x 3 R'G'B' in 0..255, not rounded: with BT.2020 primaries and `transfer`, or the palette for "sdr".
    """
    palette = palette_rgb.astype(np.float64)
    if transfer == "sdr":
        return palette
    signal = palette / 255
    # IEC 61966-2-1 (sRGB).
    light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    light = light @ _TO_BT2020.T  # all positive: BT.2020 holds BT.709
    return (_pq_signal(light) if transfer == "pq" else _hlg_signal(light)) * 255


def _mobius(knee: float, peak: float) -> tuple[float, float, float]:
    """(scale, a, b) of the tone curve above `knee`: scale (x + a) / (x + b).

    It leaves light below the knee alone, goes on smoothly from there, and meets 1 at `peak`.
    """
    a = -knee * knee * (peak - 1) / (knee * knee - 2 * knee + peak)
    b = (knee * knee - 2 * knee * peak + peak) / (peak - 1)
    return (b * b + 2 * b * knee + knee * knee) / (b - a), a, b


# Note [Tone curve]
# FFmpeg's "mobius" at its default knee, on the brightest of R, G and B, so that hues stay. Signals below 61 % of
# full scale (light of 0.3) are those of an SDR camera, reference white comes to 85 %, 1000 nits to 100 %.
# "reinhard" flattens the mid-tones, and "hable" takes a quarter to a third from everything (white comes to 68 %):
# a road in full sun turns to dusk, which is not what networks were trained on.
_KNEE_LIGHT = 0.3
_KNEE = np.float32(_KNEE_LIGHT)
_SCALE, _SHIFT_A, _SHIFT_B = map(np.float32, _mobius(_KNEE_LIGHT, PEAK_NITS / REFERENCE_WHITE_NITS))
_RR, _RG, _RB, _GR, _GG, _GB, _BR, _BG, _BB = map(np.float32, _FROM_BT2020.ravel())
_LUMA_R, _LUMA_G, _LUMA_B = map(np.float32, _luma("bt709"))
_LIGHT_R, _LIGHT_G, _LIGHT_B = map(np.float32, _luma("bt2020"))
# float32 by name: one plain number would turn the loops to float64, half as many in a vector.
_ZERO, _ONE, _HALF, _DARK = np.float32(0), np.float32(1), np.float32(0.5), np.float32(1e-6)
_TOP = np.float32(_STEPS)
# Limited range, with half a code for rounding; chroma is the mean of four pixels.
_SPAN, _BLACK, _GRAY = np.float32(219), np.float32(16.5), np.float32(128.5)
_CB = np.float32(224 / 4 / (2 * (1 - LUMA_COEFFICIENTS["bt709"][1])))
_CR = np.float32(224 / 4 / (2 * (1 - LUMA_COEFFICIENTS["bt709"][0])))


class ToneMapper:
    """HDR frames to standard dynamic range. Keeps nothing between frames, so threads may share it.

    A chroma sample is taken to be that of its four pixels, and given back so: wherever in the four it is
    sited, colours stay in their place.

    Args:
        transfer: "pq" or "hlg". Primaries and matrix are BT.2020's (non-constant luminance).
        full_range: luma spans 0..1023 rather than 64..940.

    Raises:
        ValueError: `transfer` is not HDR.
    """

    def __init__(self, transfer: Transfer, full_range: bool = False) -> None:
        if transfer not in ("pq", "hlg"):
            raise ValueError(f"expected transfer 'pq' or 'hlg', got {transfer!r}")
        self._tables = _tables(transfer, full_range)

    def planar(self, image: av.VideoFrame) -> av.VideoFrame:
        """A yuv420p10le frame as 8-bit yuv420p, BT.709, limited range, tagged so; PTS as they were.

        Raises:
            ValueError: another pixel format.
        """
        if image.format.name != DEEP_FORMAT:
            raise ValueError(f"expected a frame in {DEEP_FORMAT}, got {image.format.name}")
        mapped = av.VideoFrame(image.width, image.height, "yuv420p")
        planes, out = planar_view(image), planar_view(mapped)
        _tone_map(planes.y, planes.u, planes.v, *self._tables, out.y, out.u, out.v)
        mapped.pts, mapped.time_base, mapped.duration = image.pts, image.time_base, image.duration
        mapped.colorspace, mapped.color_range = _TAGS_BT709, int(ColorRange.MPEG)
        mapped.color_primaries, mapped.color_trc = _TAGS_BT709, _TAGS_BT709
        return mapped


def _tables(transfer: Transfer, full_range: bool) -> tuple[NDArray[Any], ...]:
    """All that depends on the stream, for `_tone_map`.

    Returns:
        places: 4 x 1024 int32. By code: what Cr adds to the place of R' in `light`, Cr to that of G', Cb to
            that of G', and Cb to that of B'. Luma adds `_FINE` a code to all.
        light: float32. Of R', G' or B' by itself.
        ootf: `_STEPS` + 1 float32. HLG's factor from light of the scene to light of the display; none for PQ.
        encoded: `_STEPS` + 1 float32. R', G' or B' in BT.709, 0..1.
    """
    linear, _ = ycbcr_to_rgb("bt2020", full_range)
    black, span = (0, _CODES - 1) if full_range else (64, 876)
    # By the matrix's columns, in codes of luma.
    chroma = (np.arange(_CODES) - _CODES / 2) * (_FINE / linear[0, 0])
    places = np.outer([linear[0, 2], linear[1, 2], linear[1, 1], linear[2, 1]], chroma)
    reach = np.abs(places).max(axis=1)
    below = int(max(reach[0], reach[1] + reach[2], reach[3])) + 1
    codes = np.arange(-below, _CODES * _FINE + below) / _FINE
    signal = ((codes - black) / span).clip(0, 1)
    places[[0, 1, 3]] += below
    steps = np.linspace(0, 1, _STEPS + 1)
    if transfer == "pq":
        light, ootf = _pq_light(signal), np.empty(0)
    else:
        light = _hlg_scene(signal)
        ootf = steps ** (2 * (_SYSTEM_GAMMA - 1)) * (PEAK_NITS / REFERENCE_WHITE_NITS)
    encoded = steps ** (2 / _DISPLAY_GAMMA)
    floats = (table.astype(np.float32) for table in (light, ootf, encoded))
    return (np.rint(places).astype(np.int32), *floats)


_vector = partial(compiled, error_model="numpy")
"""A check for division by zero would keep loops from becoming vector instructions."""


@_vector
def _light_row(y: Any, u: Any, v: Any, places: Any, light: Any, rgb: Any) -> None:
    """Light of one row's pixels into `rgb`: 3 x 2 len(u) float32; the last one of an odd row stands twice."""
    last = len(y) - 1
    most = np.uint16(_CODES - 1)  # a damaged file may hold more
    for column in range(len(u)):
        cb, cr = min(u[column], most), min(v[column], most)
        red = places[0, cr]
        green = places[1, cr] + places[2, cb]
        blue = places[3, cb]
        for x in range(2 * column, 2 * column + 2):
            luma = np.int32(min(y[min(x, last)], most)) * _FINE
            # Unsigned: a signed place is first looked at for being negative.
            rgb[0, x] = light[np.uint32(luma + red)]
            rgb[1, x] = light[np.uint32(luma + green)]
            rgb[2, x] = light[np.uint32(luma + blue)]


@_vector
def _ootf_row(rgb: Any, ootf: Any, steps: Any) -> None:
    """HLG's light of the scene to light of the display, in place. `steps` is working space."""
    red, green, blue, step = rgb[0], rgb[1], rgb[2], steps[0]
    for x in range(len(red)):
        luminance = _LIGHT_R * red[x] + _LIGHT_G * green[x] + _LIGHT_B * blue[x]
        step[x] = np.uint16(np.int32(np.sqrt(min(luminance, _ONE)) * _TOP + _HALF))
    for x in range(len(red)):
        factor = ootf[step[x]]
        red[x] *= factor
        green[x] *= factor
        blue[x] *= factor


@_vector
def _tone_row(rgb: Any, steps: Any) -> None:
    """Light in BT.2020 primaries to places in `encoded`: 3 x the row uint16. See Note [Tone curve]."""
    red, green, blue = rgb[0], rgb[1], rgb[2]
    red_step, green_step, blue_step = steps[0], steps[1], steps[2]
    for x in range(len(red)):
        r = _RR * red[x] + _RG * green[x] + _RB * blue[x]
        g = _GR * red[x] + _GG * green[x] + _GB * blue[x]
        b = _BR * red[x] + _BG * green[x] + _BB * blue[x]
        brightest = max(max(r, g), max(b, _DARK))
        curved = _SCALE * (brightest + _SHIFT_A) / ((brightest + _SHIFT_B) * brightest)
        factor = curved if brightest > _KNEE else _ONE
        r = np.sqrt(min(max(r * factor, _ZERO), _ONE))
        g = np.sqrt(min(max(g * factor, _ZERO), _ONE))
        b = np.sqrt(min(max(b * factor, _ZERO), _ONE))
        red_step[x] = np.uint16(np.int32(r * _TOP + _HALF))
        green_step[x] = np.uint16(np.int32(g * _TOP + _HALF))
        blue_step[x] = np.uint16(np.int32(b * _TOP + _HALF))


@_vector
def _encode_row(steps: Any, encoded: Any, rgb: Any, out_y: Any, sums: Any) -> None:
    """Write luma; add Y', R' and B' of every two neighbours to `sums`. `rgb` is working space."""
    red, luma, blue = rgb[0], rgb[1], rgb[2]
    for x in range(len(luma)):
        r, g, b = encoded[steps[0, x]], encoded[steps[1, x]], encoded[steps[2, x]]
        red[x], luma[x], blue[x] = r, _LUMA_R * r + _LUMA_G * g + _LUMA_B * b, b
    for x in range(len(out_y)):
        out_y[x] = np.uint8(np.int32(luma[x] * _SPAN + _BLACK))
    for column in range(sums.shape[1]):
        sums[0, column] += luma[2 * column] + luma[2 * column + 1]
        sums[1, column] += red[2 * column] + red[2 * column + 1]
        sums[2, column] += blue[2 * column] + blue[2 * column + 1]


@_vector
def _tone_map(
    y: Any, u: Any, v: Any, places: Any, light: Any, ootf: Any, encoded: Any,
    out_y: Any, out_u: Any, out_v: Any,
) -> None:  # fmt: skip
    """See `_tables`. Two rows of luma with their row of chroma at a time: they stay in the nearest cache."""
    height, width = y.shape[0], 2 * u.shape[1]
    rgb = np.empty((3, width), np.float32)
    steps = np.empty((3, width), np.uint16)
    sums = np.empty((3, u.shape[1]), np.float32)
    for row in range(u.shape[0]):
        sums[:] = 0
        for line in range(2 * row, 2 * row + 2):
            line = min(line, height - 1)
            _light_row(y[line], u[row], v[row], places, light, rgb)
            if len(ootf) > 0:
                _ootf_row(rgb, ootf, steps)
            _tone_row(rgb, steps)
            _encode_row(steps, encoded, rgb, out_y[line], sums)
        for column in range(u.shape[1]):
            cb = (sums[2, column] - sums[0, column]) * _CB
            cr = (sums[1, column] - sums[0, column]) * _CR
            out_u[row, column] = np.uint8(np.int32(cb + _GRAY))
            out_v[row, column] = np.uint8(np.int32(cr + _GRAY))
