"""From `Painted` to files. Runs on the pipeline's last thread.

sink.py            which files; Painted -> each of them                     "encode"
encoders.py        container and wishes -> encoder and its settings
video_writer.py    one video that keeps its times, whatever happens
  partial.py         the unfinished file: its name, and how it stays playable
  timestamps.py      PTS in the file's own unit
  fit.py             pictures as encoder and container take them; palette.py: as GIF
  mastering.py       what HDR was mastered on
  side_streams.py    sound, subtitles, chapters, metadata: copied; adts.py unwraps AAC
label_files.py     label maps as a folder of PNG or as npz
"""
