"""The ICNet paper's studies, each by one command.

And ways to a smaller network, by scripts/compression:

compression.py       train, prune, score                      compression_plan.py   how long, which shares; the result
compression_table.py for people
"""
