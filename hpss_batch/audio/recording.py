"""What are the samples of a recording, from here to there?

`Recording` gives any span of a track's samples: decoded, mixed down, and at the rate wanted. A span has the same
bits whatever was read before it, in whichever process, so that a track may be cut into units anywhere:

    file -- decoder.Decoder --> samples at the file's rate -- resampler.Resampler --> samples at the rate wanted

The header's length is an upper bound (`bound`); the true one (`n_samples`) is known when the end has been met.
"""

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.choices import Channels, Choice
from hpss_batch.audio.decoder import Decoder
from hpss_batch.audio.probe import AudioInfo, decode_count, probe
from hpss_batch.audio.resampler import Resampler, resampled_length
from hpss_batch.errors import AudioError, ParameterError

__all__ = ["AudioInfo", "Recording", "decode_count", "probe"]

Float32 = NDArray[np.float32]


class Recording:
    """Spans of one recording's canonical samples.

    Parameters
    ----------
    path : str
        The file, by any name that the file system holds.
    sample_rate : int, optional
        Hz of the samples wanted; the file's own by default. Other rates are resampled (soxr, HQ).
    channels : {"mono", "all"}
        The mean of all channels, taken before resampling, or every channel.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What reads it: with auto, libsndfile what it knows, and FFmpeg the rest, where PyAV is installed.

    Attributes
    ----------
    info : AudioInfo
        What the file's header announces.
    sample_rate : int
        Hz of the samples given.
    channels : int
        Channels given: 1 for mono.
    bound : int
        Samples given at most.

    Raises
    ------
    AudioError
        The file cannot be read as audio, from here or from `read`; the message is the reason, without the path.
    ParameterError
        If `channels` is neither word.

    Examples
    --------
    >>> with Recording("song.ogg", sample_rate=22050) as song:
    ...     samples = song.read(0, 22050)
    """

    def __init__(
        self,
        path: str,
        *,
        sample_rate: int | None = None,
        channels: Channels = "mono",
        decoder: Choice = "auto",
    ) -> None:
        if channels not in ("mono", "all"):
            raise ParameterError(f"channels is {channels!r}; allowed: 'mono' (their mean), 'all'")
        if sample_rate is not None and sample_rate < 1:
            raise AudioError(f"cannot be resampled to {sample_rate} Hz; allowed: 1 or more")
        self._decoder = Decoder(path, mono=channels == "mono", decoder=decoder)
        try:
            self.info: AudioInfo = self._decoder.info
            self.channels: int = self._decoder.channels
            self.sample_rate: int = sample_rate or self.info.sample_rate
            same = self.sample_rate == self.info.sample_rate
            self._samples = self._decoder if same else Resampler(self._decoder, self.sample_rate)
        except BaseException:
            self._decoder.close()
            raise
        self.bound: int = resampled_length(self.info.n_samples, self.info.sample_rate, self.sample_rate)

    @property
    def n_samples(self) -> int | None:
        """The true length at `sample_rate`; None until a span has met the end of decoding."""
        return self._samples.end

    @property
    def energies(self) -> NDArray[np.float64]:
        """What was decoded so far, before and after channels were mixed; see `Decoder`."""
        return self._decoder.energies

    def read(self, start: int, stop: int, out: Float32 | None = None) -> Float32:
        """Samples `start … stop` of every channel.

        Parameters
        ----------
        start, stop : int
            Samples at `sample_rate`; what lies before 0 is left out.
        out : float32 array, shape (channels, at least stop - start), optional
            Memory to use; the samples are a view of it then.

        Returns
        -------
        float32 array, shape (channels, samples)
            Fewer than asked for only where decoding ends before `stop`. A span that lies wholly behind the end has
            none, and then `n_samples` may still be None.

        Raises
        ------
        AudioError
            Decoding fails or ends too early, or the span holds NaN, infinity or absurdly large samples.
        """
        start = max(start, 0)
        wanted = max(min(stop, self.bound) - start, 0)
        if out is None:
            out = np.empty((self.channels, wanted), np.float32)
        view = out[:, :wanted]
        return view[:, : self._samples.read(start, view)]

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
