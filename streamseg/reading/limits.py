"""How far a source is trusted. Apart from `source.py`, so that a command's `--help` needs no FFmpeg."""

READ_TIMEOUT_SECONDS = 10.0
"""A network source or pipe that is silent for longer has failed."""

MAX_PIXELS = 4096 * 4096
"""Pictures with more pixels are refused unless the user allows them: a damaged or hostile header may
claim any size, and memory is reserved by it. 4K video and pictures of 16 megapixels pass; 8K takes gigabytes."""
