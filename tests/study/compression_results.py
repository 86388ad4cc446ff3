"""A comparison of ways to compress, with round numbers."""

from dataclasses import replace

from study.study_results import TRAINED

from streamseg.study.compression_plan import Compressed

FULL = Compressed(
    way="uncompressed",
    keep=1.0,
    width=1.0,
    parameters=26_000_000,
    gmac=40.0,
    epochs=100,
    pruned_miou=None,
    network_size=(577, 769),
    backend="openvino",
    precision="fp32",
    miou=0.7,
    pixel_accuracy=0.9,
    milliseconds=200.0,
)
HALF = replace(FULL, keep=0.5, width=0.5, parameters=6_500_000, gmac=10.0, milliseconds=60.0)
THREE_QUARTERS = replace(FULL, keep=0.75, width=0.75, parameters=14_600_000, gmac=22.0)

ROWS = (
    FULL,
    replace(
        THREE_QUARTERS, way="progressive", epochs=140, pruned_miou=0.25, miou=0.69, milliseconds=120.0
    ),
    replace(HALF, way="progressive", epochs=180, pruned_miou=0.125, miou=0.68),
    replace(HALF, way="one-shot", epochs=180, pruned_miou=0.05, miou=0.66),
    replace(HALF, way="from scratch", epochs=180, miou=0.65),
)  # fmt: skip

NETWORK = replace(TRAINED, name="icnet-width1", width=1.0, epochs=100)
