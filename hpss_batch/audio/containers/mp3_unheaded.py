"""How is an MP3 file read to its end whose bit rate varies and that does not say how long it is, as from a pipe?

mpg123 divides such a file's size by its first frame's, and libsndfile reads no further, which may be half of what there
is. So the frames are counted, and libsndfile is told of a file so large that it reads on until nothing comes.

That takes a look at the whole file. Whether it is needed is seen from some places in it, so that planning does not read
whole files of a constant rate.
"""

import io
import os
from typing import Any

from hpss_batch.audio.containers.extent import Rewritten
from hpss_batch.audio.containers.mp3 import Mp3Header, mp3_header, read_frames
from hpss_batch.audio.containers.mp3_frames import frame_length, next_frame
from hpss_batch.files import opened

_LOOKS = 16
_LOOK = 2**13
"""Bytes of a look: more than five of the largest frames."""

_LARGEST_FRAME = 2881
_TAG = 128
"""Bytes at the end that mpg123 wants to see, to know whether they are a tag."""


def samples_unannounced(path: str, estimated: int) -> int:
    """The samples of an MP3 file without a header, where they are more than was estimated, and else 0."""
    header = mp3_header(path)
    if header is None or header.announced or not _varies(path, header):
        return 0
    frames = read_frames(path, header)
    held = frames.count * frames.samples
    return held if held > estimated else 0


def _varies(path: str, header: Mp3Header) -> bool:
    """Whether frames here and there have different bit rates."""
    with opened(path) as file:
        size = file.size
        for start in range(header.start, size, max((size - header.start) // _LOOKS, _LOOK)):
            data = file.read(start, _LOOK)
            at = next_frame(data, 0)
            while 0 <= at <= len(data) - 4 and (head := int.from_bytes(data[at : at + 4])):
                length = frame_length(head)
                if not length:
                    break
                if (head ^ header.head) & 0xF000:
                    return True
                at += length
        return False


class Endless(Rewritten):
    """A file that seems to be as large as this many samples can be in an MP3 file.

    Where it ends in truth, nothing more is read.
    """

    def __init__(self, file: io.RawIOBase, n_samples: int) -> None:
        super().__init__(file)
        self.n_samples = n_samples
        self._size = file.seek(0, os.SEEK_END) + n_samples // 384 * _LARGEST_FRAME + _TAG
        file.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, counted from what seems to be the end where `whence` says so."""
        from_end = whence == os.SEEK_END
        return self.file.seek(offset + self._size * from_end, os.SEEK_SET if from_end else whence)

    def readinto(self, buffer: Any) -> int:
        """Read on, with zeros where a tag might stand at what seems to be the end."""
        if self.tell() < self._size - _TAG:
            return self.file.readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        n = min(len(view), self._size - self.tell())
        view[:n] = bytes(n)
        self.seek(n, os.SEEK_CUR)
        return n
