"""Run a network of your own through the pipeline: python examples/own_network.py drive.mp4 out.mp4

Any ONNX file will do; this one is made on the spot (brighter or darker than gray), so that the example runs.
"""

import json
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

import streamseg


def write_network(path: Path) -> None:
    """Scores of two classes, dark and bright: a 1x1 convolution of the image."""
    weight = [-1.0] * 3 + [1.0] * 3
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["scores"])],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, "h", "w"])],
        [helper.make_tensor("weight", TensorProto.FLOAT, [2, 3, 1, 1], weight)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    card = {
        "classes": ["dark", "bright"],
        "palette": [[0, 0, 160], [255, 220, 0]],
        "input": {"size": [270, 480], "color": "rgb", "mean": [128, 128, 128], "std": [64, 64, 64],
                  "multiple": 2},
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(card))


def main(video: str, out: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "brightness.onnx"
        write_network(path)
        with streamseg.load(path) as segmenter:
            report = segmenter.run(video, out, overwrite=True).finish()
    print(f"{out}: {report['frames']['written']} frames, {report['fps']:.1f} frames/s")


if __name__ == "__main__":
    main(*sys.argv[1:3])
