"""How does a person get at a track's results? As labelled arrays, by the track's name.

`open_corpus` opens a run directory in about a second, however many tracks it holds: the frames stay where they are
until they are asked for, and a track's Dask chunks are made when the track is.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hpss_batch.errors import StoreError, TrackError
from hpss_batch.paths import is_url
from hpss_batch.store.arrays.schema import REFERENCES
from hpss_batch.store.catalog import no_track
from hpss_batch.store.directory import GROUP, STEMS, RunDirectory
from hpss_batch.store.layout import channels_kept
from hpss_batch.store.reading.chunk_reader import open_readers
from hpss_batch.store.reading.resynthesis import component_samples
from hpss_batch.store.reading.views import chunk_frames, decoded, fits, plain, with_derived
from hpss_batch.store.records import STATUSES
from hpss_batch.text import file_name

DONE = STATUSES.index("done")


def open_corpus(path: str | os.PathLike[str]) -> "Corpus":
    """Open a run directory for reading.

    Parameters
    ----------
    path : path or URL
        The run directory, the one that `output.path` named.

    Returns
    -------
    Corpus

    Raises
    ------
    StoreError
        If there is no run directory. Whatever is damaged raises it when it is read; what a track's dataset reads
        later, by `load` or `compute`, raises what zarr raises.
    """
    return Corpus(RunDirectory(path))


class Corpus(Mapping[str, xr.Dataset]):
    """The tracks of a run directory that are done, by id.

    A mapping: iterating gives the ids of tracks that are done, `len` counts them, and ``corpus[id]`` is a track.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.path = directory.url
        self._directory, self._group = directory, directory.group()

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The whole store as xarray opens it, packed: all tracks on one frame axis, without Dask chunks."""
        missing = [name for name in ("job", "sample_rate") if name not in self._group.attrs]
        if missing:
            raise StoreError(
                f"{self.path}/{GROUP} is damaged, or a run was stopped while it made it: its zarr.json has no "
                f"{' and no '.join(missing)}. `hpss-batch verify --heal {self.path}` writes it again"
            )
        with self._directory.reading():
            store: xr.Dataset = xr.open_zarr(self._group.store, chunks=None, decode_cf=False)
        # chunks and shards of the store are no advice for a part of it, which could not be written with them
        return store.drop_encoding().set_coords(
            [name for name in ("track", "time", "frequency", "track_index") if name in store]
        )

    @cached_property
    def tracks(self) -> xr.Dataset:
        """Everything about tracks, one row each: ``corpus.tracks.to_pandas()`` is a table.

        Status is in words; `n_samples` and `n_frames` are true where it is "done". Summaries of features that have
        bands take a column for each band, counted from 0: ``log_mel_harmonic_mean_17``.

        It can be written by `to_zarr` and `to_netcdf`. Numbers that 32 bits do not hold are written as float64 where
        that changes none, since netCDF 3 has nothing else; `source_mtime`, too, to a microsecond.
        """
        columns = {}
        for name, variable in self.dataset.variables.items():
            if variable.dims[:1] == ("track",) and variable.ndim == 2:
                attributes = {key: variable.attrs[key] for key in ("units", "long_name")}
                with self._directory.reading():
                    bands = np.ascontiguousarray(variable.values.T)
                for band, values in enumerate(bands):
                    columns[f"{name}_{band}"] = ("track", values, attributes | {"band": band})
        return self._facts.assign(columns)

    @cached_property
    def _facts(self) -> xr.Dataset:
        """What there is one value a track of."""
        names = [str(n) for n, v in self.dataset.variables.items() if v.dims == ("track",)]
        with self._directory.reading():
            table = self.dataset[names].load().set_coords("track")
            words = np.array(STATUSES, dtype=object)[table.status.values]
        for name, column in table.variables.items():
            if (
                column.dtype == np.int64
                and not fits(column.values, 2**31)
                and (name == "source_mtime" or fits(column.values, 2**53))
            ):
                column.encoding["dtype"] = "float64"
        table.attrs = {name: value for name, value in table.attrs.items() if not isinstance(value, dict)}
        return table.assign(status=("track", words, {"long_name": table.status.attrs["long_name"]}))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {track: row for row, track in enumerate(self._facts.track.values.tolist())}

    @property
    def sample_rate(self) -> int:
        """Sample rate of the store [Hz]."""
        return int(self.dataset.attrs["sample_rate"])

    def __iter__(self) -> Iterator[str]:
        done = self._facts.status.values == "done"
        yield from self._facts.track.values[done].tolist()

    def __len__(self) -> int:
        return int((self._facts.status.values == "done").sum())

    def __contains__(self, track: object) -> bool:
        row = self._rows.get(track) if isinstance(track, str) else None
        return row is not None and self._facts.status.values[row] == "done"

    def __getitem__(self, track: str) -> xr.Dataset:
        """A track, lazily: dims (channel, frame, frequency), `time` [s], `frequency` [Hz].

        Variables that follow from stored ones are there too, computed when they are read: components from
        spectrogram and masks, and, at margins of 1 and a finite power, the mask that is missing from the other (to
        rounding: librosa's two masks add up to 1 only to the last bit or so).

        Raises
        ------
        TrackError
            If there is no such track, or it is not done; the message has its reason.
        """
        view = self._view(track)
        names = [str(name) for name in view.data_vars]
        with self._directory.reading():
            view = decoded(view.chunk({"frame": self._chunk_frames(names)} if names else {}))
        return with_derived(view, self.dataset.attrs.get("job", {}))

    def _view(self, track: str) -> xr.Dataset:
        """A track's part of the dataset, and what is known of it as attributes."""
        row = self._row(track)
        facts = self._facts_of(row)
        start, stop = int(facts["frame_start"]), int(facts["frame_start"]) + int(facts["n_frames"])
        packed = self.dataset
        names = [str(n) for n, v in packed.data_vars.items() if "frame" in v.dims]
        view = (
            packed[names]
            .drop_vars(["track", "track_index"], errors="ignore")
            .isel(frame=slice(start, stop), missing_dims="ignore")  # a store of stems alone has no arrays
        )
        channels = slice(0, self._channels(int(facts["source_channels"])))
        view = view.isel(channel=channels, missing_dims="ignore")
        summaries = tuple(f"{name}_" for name in names)
        view.attrs = {"track": track, "sample_rate": self.sample_rate, "references": REFERENCES} | {
            str(name): plain(value)
            for name, value in facts.items()
            if name not in ("track", "error", "status") and not str(name).startswith(summaries)
        }
        return view

    def _facts_of(self, row: int) -> dict[str, Any]:
        """What is known of a row, by variable."""
        return {str(name): self._facts[name].values[row] for name in self._facts.variables}

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Frames of each row."""
        return np.asarray(self._facts.n_frames.values[rows], np.int64)

    @property
    def readers(self) -> Callable[[Iterable[str]], Mapping[str, Any]]:
        """Opens readers of chunks of variables, here or in another process: `ChunkReader` or what stands in for it."""
        return partial(open_readers, self.path)

    def stems(self, track: str, start: int = 0, stop: int | None = None) -> xr.Dataset:
        """A track's components as audio: float32 on (channel, sample), at the store's rate and channels.

        Parameters
        ----------
        track : str
            The track.
        start, stop : int
            Samples wanted; all by default. Only the frames that touch them are read.

        Raises
        ------
        TrackError
            As ``corpus[track]``, and if the store holds neither components nor spectrogram and masks.
        """
        view, stft = self[track], self.dataset.attrs["job"]["stft"]
        with self._directory.reading():
            return component_samples(view, stft, start, stop)

    def stem_files(self, track: str, **settings: Any) -> dict[str, str]:
        """Where the files of a track's stems are.

        Parameters
        ----------
        track : str
            The track.
        **settings
            Which stems, where there are several kinds: ``format="wav"``, or any other key of `output.stems`.

        Returns
        -------
        dict of str to str
            Paths or URLs, by component. Empty for a track of 0 samples, which has none.

        Raises
        ------
        TrackError
            If there is no such track, or it has no such stems, or several kinds of them.
        """
        row, files, kinds, why = self._known_row(track), dict[str, str](), dict[str, dict[str, Any]](), ""
        for kind, names in self._stems:
            if row in names and all(_alike(kind.get(key), value) for key, value in settings.items()):
                record = self._directory.stem_record(names[row])
                files |= {
                    name: f"{self.path}/{STEMS}/{stem.name if is_url(self.path) else file_name(stem.name)}"
                    for name, stem in record.stems.items()
                }
                # stems that differ in nothing but their components belong together
                if record.status == "done":
                    kinds[str(kind | {"components": None})] = kind
                why = record.error or ""
        if len(kinds) > 1:
            differing = [n for n in self._stems[0][0] if len({str(kind[n]) for kind in kinds.values()}) > 1]
            said = "; ".join(", ".join(f"{n}={kind[n]!r}" for n in differing) for kind in kinds.values())
            raise TrackError(f"{track} has stems of {len(kinds)} kinds in {self.path}: {said}. Say which")
        if not kinds:
            remedy = why or f"`hpss-batch render {self.path} {track}` makes them"
            raise TrackError(f"{track} has no {'such ' if settings else ''}stems in {self.path}: {remedy}")
        return files

    @cached_property
    def _stems(self) -> list[tuple[dict[str, Any], dict[int, str]]]:
        """For each kind of stems, its settings and the names of its records by row."""
        directory = self._directory
        keys = directory.stem_keys()
        return [(directory.stem_settings(key)["stems"], directory.stem_record_names(key)) for key in keys]

    def _chunk_frames(self, names: list[str]) -> int:
        return chunk_frames(self._group, names)

    def _channels(self, source_channels: int) -> int:
        return channels_kept(self.dataset.attrs["job"]["corpus"]["channels"], source_channels)

    def _known_row(self, track: str) -> int:
        if not isinstance(track, str):
            raise TrackError(
                f"a track is called by its id, such as {next(iter(self), 'song.flac')!r}, not {track!r}"
            )
        row = self._rows.get(track)
        if row is None:
            raise no_track(self.path, track, self._rows)
        return row

    def _row(self, track: str) -> int:
        row = self._known_row(track)
        status = self._facts.status.values[row]
        if status != "done":
            why = f": {error}" if (error := self._facts.error.values[row]) else "; `hpss-batch run` goes on"
            raise TrackError(f"{track} is {status}{why}")
        return row

    def __repr__(self) -> str:
        words, counts = np.unique(self._facts.status.values.astype(str), return_counts=True)
        found = ", ".join(f"{n:,} {word}" for word, n in zip(words, counts, strict=True))
        arrays = ", ".join(
            str(name) for name, array in self.dataset.data_vars.items() if "channel" in array.dims
        )
        return f"<Corpus {self.path}: {found or 'no tracks'}; {arrays}>"


def _alike(setting: Any, value: Any) -> bool:
    """Whether a setting on record is what somebody means: formats are on record as libsndfile names them."""
    if isinstance(setting, str) and isinstance(value, str):
        return setting.lower() == value.lower()
    return bool(setting == (list(value) if isinstance(value, tuple) else value))


def _forget_threads() -> None:
    """Have a forked process start threads of its own: Dask would wait for its parent's."""
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool = None
        threaded.pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
