"""Engines: the seam between the stream and the networks.

    pixels ──prepare──▶ network input, on the device ──infer──▶ Logits, on the CPU

Nothing above knows a network's structure; nothing below knows video. `openvino_engine` and `torch_engine`
implement `Engine`; `choose.open_engine` picks one.
"""
