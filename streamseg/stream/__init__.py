"""The stream: everything that knows video. Stages are passive; only `pipeline` makes threads.

open_source.py   what a user named -> a source                              "decode"
  source.py        what a source is, and says of itself
  video_source.py  file, address, camera, pipe (pipe.py) -> Frame, and sound
  image_source.py  folder or glob of images -> Frame
  convert.py       any picture -> 8-bit planar (planes.py: its planes and colours)
transfer.py      Frame -> Prepared, through the engine                      "transfer"
infer.py         Prepared -> Inferred, through the engine                   "infer"
paint.py         Inferred -> Painted: label map and overlay                 "overlay"
sink.py          Painted -> files, each by video_writer.py                  "encode"

link.py joins two stages, pipeline.py runs them, report.py says how it went;
read_labels.py reads what the sink wrote.
"""
