"""The table of architectures: what it names can be built, what it does not name is refused."""

import subprocess
import sys

import pytest

from streamseg.errors import ModelError
from streamseg.models.icnet import ICNet
from streamseg.models.registry import ARCHITECTURES, SHIPPED, build


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_entry_builds_its_constructor(name: str) -> None:
    import torch

    with torch.device("meta"):
        model = build(name, 11)
    assert type(model).__name__ == ARCHITECTURES[name].constructor
    assert ARCHITECTURES[name].summary


def test_entries_differ_in_width_and_overrides_win() -> None:
    import torch

    with torch.device("meta"):
        half, full, narrow = (
            build("icnet", 11),
            build("icnet-full", 11),
            build("icnet", 3, width=0.25),
        )
    assert isinstance(half, ICNet) and isinstance(full, ICNet) and isinstance(narrow, ICNet)
    assert half.classify.weight.shape == (11, 128, 1, 1)
    assert full.classify.weight.shape == (11, 256, 1, 1)
    assert narrow.classify.weight.shape == (3, 64, 1, 1)
    assert ARCHITECTURES["icnet"].arguments == {"width": 0.5}  # overrides did not leak into it


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match=r"unknown architecture 'unet'; known: deconvnet, .*icnet-full"
    ):
        build("unet", 11)


def test_shipped_weights_are_safetensors_of_plain_names() -> None:
    assert all(file == f"{name}.safetensors" for name, file in SHIPPED.items())


def test_import_loads_no_torch() -> None:
    code = "import sys, streamseg.models.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
