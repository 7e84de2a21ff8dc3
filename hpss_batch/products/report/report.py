"""What became of a corpus, on one page that can be sent to somebody?

`report` looks at a run directory's records, at a sample of its tracks and closely at a few of them, and writes
one HTML file with everything inside: styles, drawings, pictures, sounds. No script, no network, no further package.

The work is bounded: however large the corpus, figures come from at most `sample` tracks and four stretches of each,
and the page says so.
"""

import os
from pathlib import Path

from hpss_batch.dsp.methods import HpssParams, methods
from hpss_batch.errors import StoreError
from hpss_batch.products.report.gather import Progress, gather
from hpss_batch.products.report.page import render
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.storage import open_folder

SAMPLE = 200
"""Tracks that figures are made of, at most."""


def report(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    tracks: int = 4,
    sample: int = SAMPLE,
    method: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write a run directory's report.

    Parameters
    ----------
    path : path or URL
        The run directory.
    output : path, optional
        The file to write; `report.html` in the run directory by default.
    tracks : int
        How many tracks to show with pictures and sounds.
    sample : int
        Of how many tracks figures are made, at most.
    method : str, optional
        One of `hpss_batch.methods`: the tracks that are shown are separated by it, too, from their audio.
    progress : callable, optional
        Called with the number of tracks looked at so far, and of those to look at.

    Returns
    -------
    str
        Where it is.

    Raises
    ------
    StoreError
        If there is no run directory at `path`, or the file cannot be written.
    ParameterError
        If there is no such method.
    """
    directory = RunDirectory(path)
    beside = None if method is None else methods[HpssParams(method=method).method]
    page = render(gather(directory, tracks, sample, progress, beside)).encode()
    if output is None:
        directory.folder.replace("report.html", page)
        return f"{directory.url.rstrip('/')}/report.html"
    target = Path(output)
    if target.is_dir():
        target /= "report.html"
    try:
        open_folder(target.absolute().parent).replace(target.name, page)
    except OSError as error:
        raise StoreError(
            f"{target} cannot be written: {error.strerror}. Give another file with -o"
        ) from error
    return str(target)
