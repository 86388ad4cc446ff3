"""Where to look: boxes that may hold an object, for networks that look at one object at a time.

    picture ──propose──▶ boxes ──squared, cropped──▶ network ──scores of each──▶ aggregate ──▶ scores of the picture

choice.py      `Proposals`: which boxes, how many, how their answers are put together
boxes.py       `Box`; what candidates are good for
windows.py, edge_boxes.py, previous.py   three sources of candidates
propose.py     `Proposer`: the source that was chosen, and what it cannot do
crops.py       the part of a picture in a box, padded by the mean
aggregate.py   answers of overlapping boxes made into one
"""
