"""What 8-bit inference rounds each activation to, and the file that says so. Needs no torch.

Weights: 255 steps per output channel, or 129 (`GREATEST`), symmetric around 0, from the channel's own greatest weight;
nothing to store.
Activations: 256 steps from 0 to the greatest value that the activation (`nn.ReLU`) usually takes, measured on
training frames by `streamseg calibrate`. That is one number per activation, so the file beside the weights is
a few kilobytes of JSON, and the weights themselves stay one file for every precision. Sums of a residual stage are
rounded once, behind their activation, so that the whole residual stream is 8 bits wide.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from streamseg.errors import ModelError

VERSION = 1
MAX_BYTES = 1 << 20
"""The file of ICNet's 57 activations has 3 KB."""
WORST_LOSS = 0.005
"""mIoU that int8 may cost before `--precision auto` leaves it alone."""

WeightBits = Literal[8, 7]
GREATEST: dict[WeightBits, int] = {8: 127, 7: 64}
"""A weight's greatest step. Processors without VNNI add two products of an activation and a weight in 16 bits, signed,
before they go on in 32. Two of 255 * 127 do not fit there and are cut off, without a word; two of 255 * 64 fit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Produced by `streamseg calibrate`, consumed by engines.

    Attributes:
        maxima: greatest usual value of each activation, by the name of its module in the network as engines
            run it (`weights.load_for_inference`).
        weights: digest of the weights that it was measured with.
        data: the images it was measured on, in words.
        miou: scores in "fp32", in "int8" with weights of 8 bits, with such of 7 ("int8_7"), and the images that they
            are of ("data"). What was not scored is missing: a processor that needs 7 bits cannot score 8.
    """

    maxima: Mapping[str, float]
    weights: str
    data: str
    miou: Mapping[str, Any] = field(default_factory=dict)

    def good(self, bits: WeightBits) -> bool:
        """Whether int8 with weights of so many bits was scored and costs no more than `WORST_LOSS`.

        Where 7 bits alone were scored, 8 are taken to be no worse.
        """
        score = self.miou.get("int8_7")
        if bits == 8:
            score = self.miou.get("int8", score)
        return score is not None and bool(self.miou["fp32"] - score <= WORST_LOSS)

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            ModelError: the file cannot be written.
        """
        text = json.dumps({"streamseg_int8": VERSION, **asdict(self)}, indent=1)
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ModelError(f"cannot write {path}: {error.strerror}") from error


def calibration_path(weights: Path) -> Path:
    """Where the calibration of a weights file lies: beside it, as NAME.int8.json."""
    return weights.with_suffix(".int8.json")


def read_calibration(weights: Path) -> Calibration | None:
    """The calibration beside a weights file; None if there is none. Read as untrusted text.

    Raises:
        ModelError: there is one, but it is something else.
    """
    path = calibration_path(weights)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    try:
        values = json.loads(data) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or values.pop("streamseg_int8", None) != VERSION:
        raise ModelError(
            f"expected a calibration (version {VERSION}) at {path}; `streamseg calibrate` makes one"
        )
    return _checked(values, path)


def _checked(values: dict[str, Any], path: Path) -> Calibration:
    maxima, miou = values.get("maxima"), values.get("miou", {})
    if not (
        set(values) <= {"maxima", "weights", "data", "miou"}
        and all(isinstance(values.get(key), str) for key in ("weights", "data"))
        and isinstance(maxima, dict)
        and all(_is_number(number) and 0 < number < 1e9 for number in maxima.values())
        and isinstance(miou, dict)
        and (not miou or _is_scored(miou))
    ):
        raise ModelError(
            f"expected positive maxima of activations, digest and data in {path}, got something else; "
            f"`streamseg calibrate` makes it anew"
        )
    return Calibration(**values)


def _is_scored(miou: dict[str, Any]) -> bool:
    """Whether there is fp32, and something to compare with it."""
    found = {key for key in ("fp32", "int8", "int8_7") if key in miou}
    return found > {"fp32"} and all(_is_number(miou[key]) for key in found)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
