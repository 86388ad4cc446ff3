"""The stages between reading and writing, and the one file that makes threads.

transfer.py  Frame -> Prepared, through the engine                          "transfer"
motion.py    Prepared -> Prepared, with how it moved; for reuse alone       "motion"
infer.py     Prepared -> Inferred, through the engine                       "infer"
reuse.py     the same with keyframe reuse; keyframes.py says when           "infer"
paint.py     Inferred -> Painted: label map and overlay                     "overlay"
             cells.py has the label map's loops, blend.py those of the overlay

link.py joins two threads, pipeline.py runs the stages: each in a thread of its own, or, for the youngest results,
all in one. report.py says how it went.
"""
