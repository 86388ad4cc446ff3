"""The ICNet paper's studies, each by one command: `streamseg study NAME`.

studies.py      the table of studies, and how one is run     session.py     data, schedule, shared networks
schedule.py     all of it, or the reduced schedule           records.py     what is trained and measured; the result
measure.py      scores and times                             memory.py      memory, in a process of its own
kept.py         what is measured already
table.py, plot.py, sheet.py   for people: Markdown, lines, pictures

cascade.py      what each branch costs and brings            region_size.py accuracy by the size of regions
diff_maps.py    what each branch changes                     downsampling.py smaller images, coarser features
fusion.py       deconvolutions in place of cascade feature fusion; no label guidance
compression.py  pruned in steps, at one blow, or never wide  (compression_plan.py, compression_table.py)

And of other papers:

attention.py    attention over scales against their mean     (training_cost.py)
distillation.py what a teacher brings ICNet                  (unlabelled.py, auto_labels.py, distilled.py,
                                                             distillation_table.py)
proposals.py    DeconvNet by the number of proposals         (activations.py)

held_out.py     a drive that no network shall have seen

A study is a module with `run(session) -> Findings`, and a line in `studies.STUDIES`.
"""
