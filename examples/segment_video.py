"""Label a video and keep what is in front of the car, as a table: python examples/segment_video.py drive.mp4"""

import csv
import sys

import streamseg


def main(video: str) -> None:
    with streamseg.load("icnet-camvid") as segmenter:
        table = csv.writer(sys.stdout)
        table.writerow(["seconds", *segmenter.labels.class_names])
        for result in segmenter.stream(video):
            shares = result.shares().values()
            table.writerow([f"{result.time_seconds:.3f}", *(f"{share:.4f}" for share in shares)])


if __name__ == "__main__":
    main(sys.argv[1])
