"""How does a stem become a file that is there whole, or not at all, however long it is?

    StemFile(…)     a temporary file in the folder where the stem will be
    .write(block)   as often as there are blocks
    .finish()       closed, read back (length, rate, channels, digest), on disk
    .place()        under its name, in place of what was there

The same audio under the same name gives the same bytes, whenever and by whomever it is written: two drivers may render
a track at the same time, and the record of one is true of the files of the other.

What a crash leaves has `storage.PARTIAL` in its name. On an object store the temporary file is on local disk, and
placing it uploads it.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.audio.containers.id3 import id3
from hpss_batch.audio.containers.ogg import set_serial
from hpss_batch.audio.encoding import Encoding
from hpss_batch.audio.opening import Handle, open_handle
from hpss_batch.audio.speakers.layouts import Arrangement
from hpss_batch.audio.speakers.naming import Change, relabelled
from hpss_batch.errors import AudioError, StoreError
from hpss_batch.files import measured
from hpss_batch.objects import object_store, persistently, reaching
from hpss_batch.paths import is_url
from hpss_batch.store.buckets.folder import UPLOADS
from hpss_batch.store.directory import STEMS
from hpss_batch.store.layout import Placed
from hpss_batch.store.storage import PARTIAL, sync
from hpss_batch.text import file_name

SAMPLES = 65_536
"""Samples that libsndfile gets at once: it crashes when given minutes of Vorbis."""

_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

_TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")


@dataclass(frozen=True)
class StemFacts:
    """A stem's file.

    Attributes
    ----------
    name : str
        POSIX path below the run directory's `stems/`.
    n_bytes : int
        Its size.
    crc32c : int
        Of all of its bytes.
    """

    name: str
    n_bytes: int
    crc32c: int


def tags_of(track: Placed) -> dict[str, str]:
    """Title, artist and the like of a recording; empty where it has none, or cannot be opened."""
    try:
        with open_handle(track.file, track.decoder) as file:
            found: Mapping[str, str] = file.copy_metadata()
    except (OSError, sf.SoundFileError, AudioError):
        return {}
    return {name: found[name] for name in _TAGS if found.get(name)}


class StemFile:
    """A stem while it is written.

    Parameters
    ----------
    url : str
        The run directory, a path or a URL.
    name : str
        POSIX path below its `stems/`.
    sample_rate, channels : int
        Hz; how many. `Encoding.refusal` said nothing against them.
    encoding : Encoding
        How samples are stored.
    arrangement : Arrangement
        Which channels go where.
    tags : mapping
        As `tags_of` gives them; those that the format cannot hold are left out.

    Raises
    ------
    StoreError
        If the file cannot be made, here or from any method.
    """

    def __init__(
        self,
        url: str,
        name: str,
        sample_rate: int,
        channels: int,
        encoding: Encoding,
        arrangement: Arrangement,
        tags: Mapping[str, str],
    ) -> None:
        self.url, self.name = url, name
        self.expected = (0, sample_rate, channels)
        self.arrangement = arrangement
        # a plain WAV file has no room for a mask
        self.format = "WAVEX" if encoding.format == "WAV" and arrangement.mask else encoding.format
        self.final = None if is_url(url) else Path(url, STEMS, file_name(name))
        folder = Path(tempfile.gettempdir()) if self.final is None else self.final.parent
        self.facts: StemFacts | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # the stem's own name, made longer, might be too long
            self.partial = folder / f".{uuid.uuid4().hex}{PARTIAL}"
            self.file = sf.SoundFile(
                os.fsencode(self.partial),
                "w",
                sample_rate,
                channels,
                subtype=encoding.subtype,
                format=self.format,
            )
        except (OSError, sf.SoundFileError) as error:
            raise self._trouble("made", error) from error
        self.changes = list[Change]()  # what libsndfile does not write
        if encoding.format == "MP3" and not "".join(tags.values()).isascii():
            self.changes, tags = [Change(0, 0, id3(tags))], {}
        for tag, text in tags.items():
            with contextlib.suppress(sf.SoundFileError):  # the format has no such tag
                setattr(self.file, tag, text)

    def write(self, block: NDArray[Any]) -> None:
        """Append samples of the encoding's `file_dtype`, shape (samples, channels), in the recording's order."""
        if self.arrangement.order is not None:
            block = block[:, self.arrangement.order]
        try:
            for first in range(0, len(block), SAMPLES):
                self.file.write(block[first : first + SAMPLES])
        except (
            OSError,
            sf.SoundFileError,
            AssertionError,
        ) as error:  # soundfile asserts that all was written
            raise self._trouble("written", error) from error
        n_samples, sample_rate, channels = self.expected
        self.expected = n_samples + len(block), sample_rate, channels

    def finish(self) -> StemFacts:
        """Close the file; when this returns, it is whole and on disk, under its temporary name."""
        try:
            self.file.close()
            if self.expected[2] > 2:
                self.changes += relabelled(str(self.partial), self.format, self.arrangement.mask)
            if self.changes:
                self._change()
            if self.format == "OGG":
                set_serial(os.fsencode(self.partial), zlib.crc32(os.fsencode(file_name(self.name))))
            elif self.format in ("WAV", "WAVEX", "RF64", "AIFF"):
                self._forget_time()
            with Handle(os.fsencode(self.partial)) as stem:
                found = (stem.frames, stem.samplerate, stem.channels)
            with self.partial.open("rb") as file:
                n_bytes, digest = measured(iter(partial(file.read, READ_BYTES), b""))
                os.fsync(file.fileno())
        except (OSError, sf.SoundFileError) as error:
            raise self._trouble("finished", error) from error
        if found != self.expected:
            raise self._trouble("finished", f"it holds {found} samples, Hz and channels, not {self.expected}")
        self.facts = StemFacts(self.name, n_bytes, digest)
        return self.facts

    def _forget_time(self) -> None:
        """Put 0 for the time of writing in the chunk that has the peaks of samples in floating point."""
        with self.partial.open("r+b") as file:
            head = file.read(READ_BYTES)
            for order in _ORDERS:
                mark = b"PEAK" + (8 + 8 * self.expected[2]).to_bytes(4, order) + (1).to_bytes(4, order)
                if (at := head.find(mark)) >= 0:
                    file.seek(at + len(mark))
                    file.write(bytes(4))

    def _change(self) -> None:
        """Make the changes: in place where all keep their length, or in a copy."""
        if all(change.length == len(change.data) for change in self.changes):
            with self.partial.open("r+b") as file:
                for change in self.changes:
                    file.seek(change.at)
                    file.write(change.data)
            return
        longer = self.partial.with_name(f"{self.partial.name}{PARTIAL}")
        try:
            with self.partial.open("rb") as file, longer.open("xb") as out:
                for change in self.changes:
                    out.write(file.read(change.at - file.tell()))
                    out.write(change.data)
                    file.seek(change.length, os.SEEK_CUR)
                shutil.copyfileobj(file, out, READ_BYTES)
            os.replace(longer, self.partial)
        except BaseException:
            longer.unlink(missing_ok=True)
            raise

    def place(self) -> None:
        """Give the finished file its name."""
        assert self.facts is not None, "finish() comes first"
        try:
            if self.final is None:
                store, name = object_store(self.url), f"{STEMS}/{self.name}"
                with reaching(self.url):
                    persistently(lambda: store.put(name, self.partial, max_concurrency=UPLOADS))
                self.partial.unlink()
            else:
                os.replace(self.partial, self.final)
                sync(self.final.parent)
        except OSError as error:
            raise self._trouble("placed", error) from error

    def abandon(self) -> None:
        """Remove what was written, unless it was placed; safe to repeat."""
        with contextlib.suppress(sf.SoundFileError, OSError):  # it is thrown away, whatever closing says
            self.file.close()
        self.partial.unlink(missing_ok=True)

    def _trouble(self, what: str, why: object) -> StoreError:
        return StoreError(
            f"{self.url}/{STEMS}/{self.name} cannot be {what}: {why}. Is the disk full, or the folder read-only?"
        )


READ_BYTES = 2**20
"""Bytes that are read at once."""


def measure(url: str, name: str) -> tuple[int, int] | None:
    """Size and CRC32C of a file; None where there is none."""
    try:
        return measured(_blocks(url, f"{STEMS}/{name}"))
    except FileNotFoundError:
        return None


def _blocks(url: str, name: str) -> Iterator[bytes]:
    if is_url(url):
        with reaching(url):
            for block in object_store(url).get(name).stream(min_chunk_size=READ_BYTES):
                yield bytes(block)
        return
    with Path(url, file_name(name)).open("rb") as file:
        yield from iter(partial(file.read, READ_BYTES), b"")
