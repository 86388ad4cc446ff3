"""From what a user named to `Frame`s. Runs on the pipeline's first thread.

open_source.py   what a user named -> a source
source.py        what a source is, and says of itself
video_source.py  file, address, camera, pipe (pipe.py) -> Frame, and packets that are only copied
image_source.py  folder or glob of images -> Frame
read_labels.py   label maps back from what `writing` wrote
"""
