"""The stages between reading and writing, and the one file that makes threads.

transfer.py  Frame -> Prepared, through the engine                          "transfer"
infer.py     Prepared -> Inferred, through the engine                       "infer"
paint.py     Inferred -> Painted: label map and overlay                     "overlay"

link.py joins two stages, pipeline.py runs them, report.py says how it went.
"""
