"""How is a long file looked through, in a mapping of it, so that what was seen does not pile up in memory?"""

import mmap

STEP = 2**24
"""Bytes that are let go of together; a multiple of the size of any system's pages."""


def let_go(data: mmap.mmap, begin: int, end: int) -> int:
    """Let go of the mapping's bytes `begin … end`, in whole steps; `begin` is 0 or what this returned before.

    Returns
    -------
    int
        Where what is still held begins. What was let go of can be read again: it is mapped anew.
    """
    end = end // STEP * STEP
    if end > begin:
        data.madvise(mmap.MADV_DONTNEED, begin, end - begin)
    return max(begin, end)
