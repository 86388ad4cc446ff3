"""Smaller and quicker networks from trained ones. May use models, data sets and evaluation; never the stream.

calibrate.py   trained weights + images -> the ranges that 8-bit inference rounds activations in
"""
