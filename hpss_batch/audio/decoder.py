"""Which samples does a track have, whoever asks, in whatever order, on however many workers?

A decoder's output may depend on the way it got there, so a track's samples are *defined*, by how they are read:

    kind            definition                                       formats
    ------------    ---------------------------------------------    -------------------------------------------
    exact           any seek gives what reading on would give        PCM, float, A-law, µ-law, ADPCM, FLAC
    in blocks       each block on a fresh handle: one seek to its    MP3; long Vorbis and Opus files whose pages
                    start, then reading on, in whatever pieces       agree with their packets
    in sequence     on a fresh handle from the very first sample     other Vorbis and Opus; ALAC, GSM and the rest;
                                                                     all that FFmpeg reads

MP3: mpg123's filter bank rotates a buffer, and its place in it decides the order of additions and with it the last
bits (2.4e-7). A seek leaves that place where the handle's history put it; a fresh handle has no history. Reading on
in pieces of any size gives the same bits, as long as no seek comes between.

Ogg: positions sought are not those that reading on counts (see `ogg_seek`), and after a history of reads and seeks even
the samples behind a seek are wrong. On a fresh handle, in a file whose pages agree, they are right.

Decoders pass over damage in silence. So where decoding ends, the file is looked through once: what it holds must have
been heard (`ogg`, `mp3`). Of a track that is cut into units, the last one does that, and with it the track fails.
"""

import contextlib

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.audio.choices import Choice
from hpss_batch.audio.containers.foreign import matroska_flaw
from hpss_batch.audio.containers.headers import is_joined_flac
from hpss_batch.audio.containers.mp3 import mp3_flaw
from hpss_batch.audio.containers.ogg import ogg_flaw
from hpss_batch.audio.containers.ogg_seek import sought_until
from hpss_batch.audio.containers.reasons import cannot_decode, goes_on, joined, too_short, why_no_file
from hpss_batch.audio.mixdown import LARGEST, LOUDEST, check_samples, energies, mix
from hpss_batch.audio.opening import FAILURES, open_handle
from hpss_batch.audio.probe import AudioInfo, open_file
from hpss_batch.errors import AudioError
from hpss_batch.files import hold

Float32 = NDArray[np.float32]

_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
_INEXACT_CONTAINERS = ("OGG", "SDS", "RAW")

_WHOLE = 2**62
"""A block that no recording fills."""

_PIECE = 2**17
"""Values (samples times channels) that are decoded at once: half a megabyte stays in the processor's cache."""

_SMALL_PIECE = 576
"""Samples of an MPEG frame at low rates: how precisely it is said where decoding fails."""

_HELD = 2**19
"""Values of decoded audio that are held, so that a span which begins a little before the last one's end costs no
seek: a block in the middle of an MP3 would be decoded again from its start."""

_BEFORE = 2**16
"""Blocks begin so many samples before multiples of their size: a unit of the store begins at such a multiple, less its
halo, and would else cause the whole block before to be decoded."""


def block_samples(info: AudioInfo) -> int:
    """Samples between two positions that may be sought in a file of this kind: 1 for anywhere.

    On the way to a block's start, a fresh handle passes all headers of an MP3 before it (about 2 µs a frame); a span
    that starts within a block decodes it from its start (about 30 ns a sample). The one costs more the smaller blocks
    are, the other less. The root of 2**20 times the length balances them: 2**20 for clips, 2**22 (95 s at 44.1 kHz) for
    songs; beyond 2**24, about a unit, nothing is gained, since every unit opens the file again.

    A seek in an Ogg costs a few milliseconds anywhere, but whether it may be sought costs a look at every page, so
    that files shorter than a unit are read in sequence.
    """
    container, _, coding = info.format.partition("/")
    if coding.startswith("MPEG"):
        return min(2**20 << ((info.n_samples >> 20).bit_length() // 2), 2**24)
    if container == "OGG" and coding in ("VORBIS", "OPUS") and info.n_samples > 2**24:
        return 2**21
    if coding.startswith(_EXACT) and container not in _INEXACT_CONTAINERS:
        return 1
    return _WHOLE


class Decoder:
    """The canonical samples of one recording at its own rate.

    Any sequence of reads gives the same bits for the same samples, in any process.

    Parameters
    ----------
    path : str
        The recording.
    mono : bool
        Whether to give the mean of all channels as the only one.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What reads it.

    Attributes
    ----------
    info : AudioInfo
        What the header announces; its `n_samples` is where reading ends at the latest.
    channels : int
        Channels given.
    end : int or None
        The true length, once the end of decoding has been met.
    energies : array
        Those of `mixdown.energies`, of all that was decoded and mixed so far.

    Raises
    ------
    AudioError
        As `probe.probe` does.
    """

    info: AudioInfo

    def __init__(self, path: str, *, mono: bool, decoder: Choice = "auto") -> None:
        self._kept = hold(path)  # what was fetched of an object, from one handle to the next
        opened = open_file(path, decoder)
        self.path, self.info = path, opened.info
        self._file, self._promised = opened.file, opened.promised
        self._origin = -1  # the block that the handle is in; none yet
        self.channels = 1 if mono else self.info.channels
        self.end = None if self.info.n_samples else 0
        self.energies = np.zeros(3)
        self._block = block_samples(self.info)
        self._largest = LOUDEST if self._file.lossy else LARGEST
        piece = min(max(_PIECE // self.info.channels, 1024), max(self.info.n_samples, 1))
        held = min(max(_HELD // self.channels, 4 * piece), max(self.info.n_samples, 1))
        self._piece = np.empty((piece, self.info.channels), np.float32)
        self._held = np.empty((self.channels, held), np.float32)
        self._first = self._at = 0  # the samples held; `_at` is the next that decoding gives
        self._nothing_from = self.info.n_samples  # decoding is known to give nothing from here on
        self._wrong: str | None = None  # why the end is too early, or not all was heard
        self._trusted: int | None = None  # the last block of an Ogg file that may be sought

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._file.close()
        self._kept = None

    def read(self, start: int, out: Float32) -> int:
        """Write samples from `start` on to `out`, shape (channels, samples).

        Returns
        -------
        int
            How many: fewer than `out` holds only where decoding ends before.

        Raises
        ------
        AudioError
            Where decoding fails; where the span reaches the end, and that comes too early, or not all that the file
            holds was heard; and where the span holds samples of which no spectrum can be computed.
        """
        try:
            filled = self._read(start, out)
        except OSError as e:
            raise AudioError(why_no_file(e)) from e
        if self._wrong and self.end is not None and start + filled >= self.end:
            raise AudioError(self._wrong)
        return filled

    def _read(self, start: int, out: Float32) -> int:
        filled, wanted = 0, out.shape[1]
        while filled < wanted:
            at = start + filled
            if not self._first <= at < self._at and not self._reach(at):
                break
            n = min(self._at - at, wanted - filled)
            chunk = self._held[:, at - self._first : at - self._first + n]
            check_samples(chunk, at, self.info.sample_rate, self._largest)
            out[:, filled : filled + n] = chunk
            filled += n
        return filled

    def _reach(self, at: int) -> bool:
        """Decode until sample `at` is held; False if there is no such sample."""
        origin = self._origin_of(at)
        if at < self._nothing_from and not origin <= self._at <= at:
            self._first = self._at = self._go(origin)
        while self._at <= at < self._nothing_from:
            self._decode()
        return at < self._at

    def _origin_of(self, at: int) -> int:
        """The last position up to `at` that may be sought."""
        if self._block == 1:
            return at
        number = (at + _BEFORE) // self._block
        if number and self.info.format.startswith("OGG"):
            if self._trusted is None:
                until = sought_until(self.path) * self.info.sample_rate // _ogg_rate(self.info)
                self._trusted = (until + _BEFORE) // self._block
            number = min(number, self._trusted)
        return max(number * self._block - _BEFORE, 0)

    def _decode(self) -> None:
        """Decode one piece behind what is held."""
        origin = self._origin_of(self._at)
        if self._block > 1 and origin != self._origin:
            self._go(origin)
        wanted = min(len(self._piece), self._nothing_from - self._at)
        if self._block > 1:  # up to the next border
            wanted = min(wanted, self._block - (self._at + _BEFORE) % self._block)
        n = self._fill(wanted)
        if n:
            self._hold(n)
        if n < wanted:
            self._nothing_from = self._at
        if self._at == self._nothing_from and (self._at > self._first or self._at == 0):
            self._meet_end()

    def _go(self, origin: int) -> int:
        """Have the handle stand at a position that may be sought, or at 0 where that fails; return which."""
        if self._block > 1 and self._origin >= 0:
            self._reopen()
        self._origin = origin
        if origin == 0 and self._block > 1 and "MPEG" not in self.info.format:
            return 0  # an MP3 is sought even to 0, as soundfile.read does: that, too, changes its last bits
        try:
            reached, said = self._file.seek(origin), ""
        except sf.LibsndfileError as e:
            reached, said = -1, e.error_string
        if reached == origin:
            return origin
        if self._block > 1:
            raise AudioError(self._broken(None, said))  # what stops a seek may lie anywhere before
        # FLAC, where the header lies about the length, or there is none: it is exact, so read on from the start
        self._block = _WHOLE
        self._reopen()
        self._origin = 0
        return 0

    def _reopen(self) -> None:
        self._file.close()
        self._file = open_handle(self.path, self.info.decoder)

    def _fill(self, wanted: int) -> int:
        filled = 0
        try:
            while filled < wanted:
                n = len(self._file.read(out=self._piece[filled:wanted]))
                if not n:
                    break
                filled += n
        except FAILURES as e:
            at = self._breaks_at(wanted)
            self._first = self._at = -1  # so that whoever reads on must seek
            raise AudioError(self._broken(at, e.error_string)) from e
        return filled

    def _breaks_at(self, wanted: int) -> int:
        """Where in the next `wanted` samples decoding fails, with which the handle is used up.

        An error takes all samples of its call with it, so a fresh handle reads on to there in small pieces.
        """
        at = self._at if self._block == 1 else max(self._origin, 0)
        end = self._at + wanted
        self._reopen()
        with contextlib.suppress(*FAILURES):
            if at:
                at = self._file.seek(at)
            while at < end and (n := len(self._file.read(out=self._piece[:_SMALL_PIECE]))):
                at += n
        return min(max(at, self._at), end)

    def _hold(self, n: int) -> None:
        """Mix a piece of `n` samples behind what is held, making room by halves."""
        used, room = self._at - self._first, self._held.shape[1]
        if used + n > room:
            keep = min(used, room // 2, room - n)
            self._held[:, :keep] = self._held[:, used - keep : used]
            self._first, used = self._at - keep, keep
        piece, mixed = self._piece[:n], self._held[:, used : used + n]
        mix(piece, mixed)
        if self.channels < self.info.channels:
            self.energies = self.energies + energies(piece, mixed[0])
        self._at += n

    def _meet_end(self) -> None:
        if self.end == self._at:
            return
        self.end = self._at
        rate = self.info.sample_rate
        if self._promised is not None:
            self._wrong = too_short(self.end, self._promised, rate)
        self._wrong = self._flaw() or self._wrong

    def _flaw(self) -> str | None:
        """Why decoding, which met its end, has not given all that the file holds; None where it has."""
        container = self.info.format.partition("/")[0].upper()  # FFmpeg writes it in small letters
        if self.info.decoder == "ffmpeg" and self.end == self.info.n_samples:
            return goes_on(self.info.n_samples, self.info.sample_rate)
        if container == "MATROSKA,WEBM":
            return matroska_flaw(self.path)
        if container == "OGG":
            return ogg_flaw(self.path, _ogg_rate(self.info))
        if container == "MP3" and self.end is not None:
            return mp3_flaw(self.path, self.end, self.info.sample_rate)
        if container == "FLAC":
            return joined("FLAC files") if is_joined_flac(self.path) else None
        return None

    def _broken(self, at: int | None, said: str) -> str:
        return cannot_decode(at, self._promised, self.info.sample_rate, said, self._file.decoder)


def _ogg_rate(info: AudioInfo) -> int:
    """The rate that an Ogg stream counts in: 48 kHz for Opus, whatever it is decoded at."""
    return 48_000 if info.format.upper().endswith("OPUS") else info.sample_rate
