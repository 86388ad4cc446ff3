"""Write lossless label maps and read them back: python examples/write_and_read_labels.py drive.mp4 out.mp4"""

import sys

import numpy as np

import streamseg


def main(video: str, out: str) -> None:
    with streamseg.load("icnet-camvid") as segmenter:
        stream = segmenter.run(video, out, save=("labels",), overwrite=True)
        stream.finish()
        road = segmenter.labels.class_names.index("road")
    shares = [
        float(np.mean(labels == road)) for labels in streamseg.read_labels(stream.files["labels"])
    ]
    print(f"{stream.files['labels']}: {len(shares)} label maps, {100 * np.mean(shares):.1f} % road")


if __name__ == "__main__":
    main(*sys.argv[1:3])
