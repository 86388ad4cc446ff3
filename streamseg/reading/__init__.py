"""From what a user named to `Frame`s. Runs on the pipeline's first thread.

open_source.py   what a user named -> a source
source.py        what a source is, and says of itself; limits.py: how far it is trusted
video_source.py  file, address, camera, pipe (pipe.py) -> Frame, and packets that are only copied
  container.py     an opened file: its streams, and what its header promises
  codec_motion.py  what its decoder tells of how pictures move
  timeline.py      one clock that never goes back; gaps.py finds what is missing
image_source.py  folder or glob of images -> Frame
read_labels.py   label maps back from what `writing` wrote; matroska.py finds damage in them
"""
