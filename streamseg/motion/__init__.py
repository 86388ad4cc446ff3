"""How pictures move, in cells of 8 pixels, still without a stream around them.

cells.py    the luma that motions are judged by
vectors.py  codec vectors -> cells; codec.py: which pictures they lead to, and the step of each picture
flow.py     two pictures -> step, by optical flow
chain.py    steps put together
cut.py      where another scene begins
"""
