"""One picture's pixels, still without a stream around it.

pixels.py       Planar and Packed: what engines take and painters paint on
format.py       what a picture is made of: depth, colour tags, orientation, aspect
planes.py       numpy views of a decoder's planes; the Y'CbCr matrices
convert.py      any picture -> 8-bit planar, upright, standard dynamic range: what the network sees
orientation.py  display matrices: turning for the network, and back for what is written
hdr.py          PQ and HLG: tone mapping, and colours for painting on them
"""
