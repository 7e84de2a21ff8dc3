"""Where do the frames of a track come from: from audio, or from spectrograms that are stored already?

Either gives the same bits, so that what is computed from them does not depend on which it was; see `Source`.
"""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.choices import Channels
from hpss_batch.audio.mixdown import cancel
from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.stft import StftParams, context
from hpss_batch.errors import AudioError, StoreError
from hpss_batch.files import hold
from hpss_batch.store.layout import CHUNK_FRAMES, Placed
from hpss_batch.tasks.frames import Samples

if TYPE_CHECKING:  # whoever reads audio needs no zarr
    import zarr

    from hpss_batch.store.reading.chunk_reader import ChunkReader

Complex64 = NDArray[np.complex64]


class Source(Protocol):
    """The frames of one track, while a task moves forward along it.

    Attributes
    ----------
    n_channels : int
        Channels of the track, as arrays hold them.
    """

    n_channels: int

    @property
    def cancels(self) -> bool:
        """Whether channels were mixed that cancel each other, as far as can be seen from here; see `mixdown`."""

    @property
    def n_samples(self) -> int | None:
        """The track's true length at the store's rate, if that has been seen."""

    def hold(self, first: int, stop: int) -> int:
        """Have frames `first … stop` at hand, counted within the track; neither may decrease from call to call.

        Returns
        -------
        int
            `stop`, or where the track ends before; `first` or less where it ends before that.
        """

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Write frames that are held, of one channel, to `out`, shape (frame, frequency)."""

    def check(self) -> None:
        """Raise AudioError if the source is not any more what was listed; then what was read is of no use."""


class AudioSource:
    """Frames computed from samples; see `Source`."""

    def __init__(
        self,
        track: Placed,
        stft: StftParams,
        sample_rate: int,
        channels: Channels,
        from_start: bool = True,
    ) -> None:
        if from_start:  # by a decoder that has read nothing yet
            _open.close()
        self.stft, self.track = stft, track
        self._kept = hold(track.file, track.source_size)  # of an object, until its digest has been taken, too
        recording = _open.get(track, sample_rate, channels)
        self.samples = Samples(recording, stft)
        self.n_channels, self.frames = recording.channels, self.samples.frames
        self.recording, self.before = recording, recording.energies

    @property
    def cancels(self) -> bool:
        """See `Source`; of what was decoded since."""
        return cancel(self.recording.energies - self.before)

    @property
    def n_samples(self) -> int | None:
        """See `Source`."""
        return self.samples.n_samples

    def hold(self, first: int, stop: int) -> int:
        """Read on; see `Source`."""
        begin, end = self.stft.sample_span(first, stop)
        end += context(self.stft)
        if stop == self.track.n_frames:  # to the very end, wherever that is: only then is the length known
            end = max(end, self.track.n_samples)
        try:
            reached = self.samples.hold(begin - context(self.stft), end)
        except BaseException:
            _open.close()
            raise
        if stop == self.track.n_frames:
            _open.close()
        if self.n_samples is not None:
            return min(stop, self.stft.n_frames(self.n_samples))
        return stop if reached == end else first

    def check(self) -> None:
        """Look at the file again; see `Source`."""
        self.track.check_file()


def open_recording(track: Placed, sample_rate: int | None, channels: Channels) -> Recording:
    """The recording of a track that is still as it was placed; errors as `Placed.check_file` and `Recording`."""
    _kept = hold(track.file, track.source_size)  # what is asked of an object first is its bytes
    track.check_file()
    return Recording(track.file, sample_rate=sample_rate, channels=channels, decoder=track.decoder)


class _Open(threading.local):
    """The recording that a thread read last, left open: some formats can only be read on, not sought.

    A long track's next unit then goes on where the last one ended, instead of decoding everything before it again.
    """

    def __init__(self) -> None:
        self.key: tuple[object, ...] | None = None
        self.recording: Recording | None = None

    def get(self, track: Placed, sample_rate: int, channels: Channels) -> Recording:
        """The track's recording, opened unless it is open already."""
        key = (track.path, track.source_size, track.source_mtime, track.decoder, sample_rate, channels)
        if self.recording is None or self.key != key:
            self.close()
            self.recording, self.key = open_recording(track, sample_rate, channels), key
        else:
            track.check_file()
        return self.recording

    def close(self) -> None:
        """Close it."""
        if self.recording is not None:
            self.recording.close()
        self.recording = self.key = None


_open = _Open()


class StoredSource:
    """Frames of another run directory's `spectrogram`, where the track lies at the same place; see `Source`.

    The track has its true length, since it is done there.
    """

    cancels = False

    def __init__(self, track: Placed, stft: StftParams, url: str, generation: int, n_channels: int) -> None:
        self.url, self.track = url, track
        self.reader = _reader(url, generation)
        self.n_channels = n_channels
        self.n_samples: int | None = track.n_samples
        self.n_frames = stft.n_frames(track.n_samples)
        self.chunks = dict[tuple[int, int], Complex64]()

    def hold(self, first: int, stop: int) -> int:
        """Read the chunks that the frames lie in; see `Source`."""
        stop = min(stop, self.n_frames)
        start = self.track.frame_start
        numbers = range((start + first) // CHUNK_FRAMES, -(-(start + stop) // CHUNK_FRAMES))
        self.chunks = {at: chunk for at, chunk in self.chunks.items() if at[1] in numbers}
        for channel in range(self.n_channels):
            for number in numbers:
                if (channel, number) not in self.chunks:
                    self.chunks[channel, number] = self._chunk(number, channel)
        return stop

    def _chunk(self, number: int, channel: int) -> Complex64:
        try:
            return self.reader.read(number, channel)
        except StoreError as error:  # what is wrong with a source is the track's affair
            raise AudioError(str(error)) from error

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Copy frames out of the chunks; see `Source`."""
        at, end = first, stop
        while at < end:
            number, row = divmod(self.track.frame_start + at, CHUNK_FRAMES)
            n = min(CHUNK_FRAMES - row, end - at)
            np.copyto(out[at - first : at - first + n], self.chunks[channel, number][row : row + n])
            at += n
        if np.isnan(out[:, 0].real).any():  # what is computed is never NaN, so that one bin shows it
            raise AudioError(
                f"the spectrogram stored in {self.url} has gaps where this track should be; "
                "`hpss-batch verify` on that run directory says more"
            )

    def check(self) -> None:
        """What is committed never changes; see `Source`."""


def _reader(url: str, generation: int) -> "ChunkReader":
    """A reader that has no shard open yet: what was there a task ago may have been healed since."""
    from hpss_batch.store.directory import RunDirectory
    from hpss_batch.store.reading.chunk_reader import ChunkReader

    return ChunkReader(RunDirectory(url), _spectrogram(url, generation))


@lru_cache(maxsize=4)
def _spectrogram(url: str, generation: int) -> "zarr.Array[Any]":
    from hpss_batch.store.directory import RunDirectory

    array: zarr.Array[Any] = RunDirectory(url).group()["spectrogram"]  # type: ignore[assignment]
    return array
