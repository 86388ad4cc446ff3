"""From `Painted` to files. Runs on the pipeline's last thread.

sink.py            which files; Painted -> each of them                     "encode"
video_writer.py    one video: pictures with their PTS, whatever happens
"""
