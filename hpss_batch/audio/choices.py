"""In which ways may a recording be read? The words of a job, of records, and of Python's arguments."""

from typing import Literal

Channels = Literal["mono", "all"]
"""Which channels of a track are kept: their mean, or each of them."""

Decoding = Literal["libsndfile", "ffmpeg"]
"""What reads a recording."""

Choice = Literal["auto", "libsndfile", "ffmpeg"]
"""What may: with auto, FFmpeg reads what libsndfile does not know, where PyAV is installed."""
