"""Speed and accuracy side by side, in one run on one machine: `streamseg bench`.

run.py          the sections in order, to one result          plan.py       which sizes, how often, how many frames
records.py      the result, and what its JSON means           session.py    what every section is given
rounds.py       A B C A B C ...: ratios that noise spares     copies.py     the video at other sizes

accuracy.py     mIoU of every precision                       network.py    from input in memory to logits
end_to_end.py   from file to overlaid file                    stages.py     each stage alone, and all together
paint.py        label map and blending against cv2            latency.py    the newest result of a 30 fps source

baselines.py    what people write: the loop, and supervision  ceiling.py    a large convolution: what the machine can do
timing.py       one picture alone, many side by side

table.py, chart.py   for people

And keyframe reuse, accuracy against time, by scripts/keyframes:

keyframe_run.py      the whole of it                          keyframe_plan.py   which settings, how often
keyframe_curve.py    the result, and what is read off it      reuse.py           times of fixed intervals
keyframe_table.py, keyframe_chart.py   for people

And which changes to a training recipe help on a drive that was not trained on, by scripts/ablate:

ablation_run.py      the whole of it                          ablation_plan.py   the small recipe, what is tried
ablation_records.py  runs, and what they come to              ablation_table.py  for people

And what a fully connected CRF takes and gives, by scripts/crf:

crf_run.py           the whole of it                          crf_records.py     the result, for people, too
"""
