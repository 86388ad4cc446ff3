"""The three end-to-end programs, each short, on streamseg's public names alone: copy one and change it.

Installed as `streamseg.pipelines`, so that the command line can call them.
"""
