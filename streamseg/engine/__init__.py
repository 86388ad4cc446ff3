"""Engines: the seam between the stream and the networks.

    pixels ──prepare──▶ network input, on the device ──infer──▶ Logits, on the CPU

Nothing above knows a network's structure; nothing below knows video. `openvino_engine` and `torch_engine`
implement `Engine`; `choose.open_engine` picks one. `proposal_engine` does, for networks that look at one object at a
time, and `ensemble_engine`, by several others.
"""

import sys

# Importing OpenVINO reports that to its makers over the network, unless this module is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
