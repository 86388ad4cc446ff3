"""Smaller and quicker networks from trained ones. May use models, data sets and evaluation; never the stream.

channels.py    a network -> which tensors share channels
prune.py       weights + who shares channels + a smaller network's shapes -> its weights
compress.py    trained weights -> prune, fine-tune, prune more, fine-tune again
calibrate.py   trained weights + images -> the ranges that 8-bit inference rounds activations in
"""
