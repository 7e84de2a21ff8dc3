"""Which results may a job ask for: arrays, stems, features?

The blocks `output`, `output.stems` and `output.features`. What a key is (the comment in the YAML of `hpss-batch
init`) and what is allowed (the errors) stand where the key is declared: for features, in `dsp/params.py`.
"""

import string
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from hpss_batch.audio.formats import STEM_RATES
from hpss_batch.config.messages import Complaints, key, keys
from hpss_batch.config.sections import Hpss, Stft
from hpss_batch.config.types import Declared, Listed, Location, Once, OrNone, Positive, Section, Text
from hpss_batch.config.yaml_reader import show
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.store.layout import CHUNK_FRAMES

ArrayName = Literal[
    "spectrogram", "magnitude", "harmonic_mask", "percussive_mask", "harmonic", "percussive", "residual"
]
Component = Literal["harmonic", "percussive", "residual"]

_PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
STEM_FORMATS: dict[str, tuple[str, ...]] = {
    "wav": (*_PCM, "PCM_U8", "ULAW", "ALAW"),
    "flac": ("PCM_16", "PCM_24", "PCM_S8"),
    "ogg": ("VORBIS", "OPUS"),
    "mp3": ("MPEG_LAYER_III",),
    "aiff": (*_PCM, "PCM_S8"),
    "caf": (*_PCM, "ALAC_16"),  # more bits of ALAC come back from libsndfile 1.2 as noise
    "au": (*_PCM, "ULAW", "ALAW"),
    "w64": _PCM,
    "rf64": _PCM,
}
"""Formats of stems, which are file extensions too, and libsndfile's subtypes of each, the default first."""


def _ordered(names: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of the table, so that two jobs that want the same arrays are equal."""
    return tuple(sorted(names, key=get_args(ArrayName).index))


class SecondPass(Section):
    """How the percussive stem is taken out of what the harmonic one leaves."""

    stft: Stft = key(
        StftParams(n_fft=256, hop_length=64),
        "how the rest is cut into frames; {n_fft: 256, hop_length: 64} unless given",
        "a block with the keys of stft",
    )
    hpss: Hpss = key(HpssParams(), "how it is separated", "a block with the keys of hpss")


class Stems(Section):
    """Components rendered back to audio files."""

    components: Annotated[tuple[Component, ...], Listed, Once, Field(min_length=1)] = key(
        ("harmonic", "percussive"),
        "which of harmonic, percussive, residual",
        "a list of harmonic, percussive and residual, each at most once",
    )
    format: Annotated[str, Field(pattern=f"^({'|'.join(STEM_FORMATS)})$")] = key(
        "flac", "wav, flac, ogg, mp3, aiff, caf, au, w64 or rf64", ", ".join(STEM_FORMATS)
    )
    subtype: Text | None = key(
        None, "libsndfile's name of the encoding, such as PCM_24; null: as fine as the track", "text, or null"
    )
    path: Text = key(
        "{id}.{component}",
        "name of a file below stems/, without extension; {id} is the track's without its own, where that is clear",
        "a relative path with {id} and {component} in it, such as {id}.{component}",
    )
    sample_rate: Positive | None = key(
        None, "Hz; null: the track's own", "a whole number of Hz from 1 on, or null"
    )
    channels: Literal["mono"] | None = key(None, "mono; null: the track's own", "mono or null")
    second_pass: Annotated[SecondPass | None, OrNone] = key(
        None,
        "take what is percussive from what is left, by windows of its own: {stft: …, hpss: …}; true: short ones",
        "true, null, or a block with the keys stft and hpss",
    )

    @property
    def encoding(self) -> tuple[str, str, tuple[str, ...]]:
        """Format and subtype, as libsndfile names them, and subtypes that finer tracks may have; see `Encoding`."""
        usual, *finer = (self.subtype,) if self.subtype else STEM_FORMATS[self.format]
        return self.format.upper(), usual, tuple(finer)

    @model_validator(mode="after")
    def _check(self) -> Self:
        items = self._path_problems()
        subtypes = STEM_FORMATS[self.format]
        if self.subtype is not None and self.subtype not in subtypes:
            items.append(
                (
                    "subtype",
                    f"subtype is {show(self.subtype)}; {self.format} allows {', '.join(subtypes)}, or null",
                )
            )
        _, subtype, _ = self.encoding
        rates = STEM_RATES.get(subtype)
        if rates and self.sample_rate is not None and self.sample_rate not in rates:
            items.append(
                (
                    "sample_rate",
                    f"sample_rate is {self.sample_rate}; {subtype} allows {', '.join(map(str, rates))}",
                )
            )
        if items:
            raise Complaints(items)
        return self

    def _path_problems(self) -> list[tuple[str, str]]:
        found = f"path is {show(self.path)}"
        try:
            fields = [
                (name, spec or conv) for _, name, spec, conv in string.Formatter().parse(self.path) if name
            ]
            broken = any(name == "" for _, name, _, _ in string.Formatter().parse(self.path))
        except ValueError:
            fields, broken = [], True
        unknown = sorted({name for name, extra in fields if name not in ("id", "component") or extra})
        named = {name for name, _ in fields}
        needed = {"id"} | ({"component"} if len(self.components) > 1 else set())
        if broken or unknown or not needed <= named:
            return [
                ("path", f"{found}; allowed: text with {{id}} and {{component}} in it, and no other braces")
            ]
        if self.path.startswith(("/", "~")) or ".." in self.path.split("/") or "\0" in self.path:
            return [("path", f"{found}, which leads out of stems/; allowed: a path below it, without ..")]
        return []


class Output(Section):
    """What is written, and where."""

    path: Location = key(..., "the run directory, local or s3://…", "text: a folder, which is made, or a URL")
    arrays: Annotated[tuple[ArrayName, ...], Listed, Once, AfterValidator(_ordered)] = key(
        ("harmonic_mask", "percussive_mask"),
        f"which of {', '.join(get_args(ArrayName))}",
        f"a list of {', '.join(get_args(ArrayName))}, each at most once",
    )
    mask_dtype: Literal["float32", "uint16", "uint8"] = key(
        "float32",
        "of the masks: float32 (exact), uint16 or uint8 (a quarter of the bytes)",
        "float32, uint16 or uint8",
    )
    unit_frames: Positive | None = key(
        None,
        f"frames of a unit, which is a task, a shard and a commit: a multiple of {CHUNK_FRAMES}; null: about 128 MiB",
        f"a multiple of {CHUNK_FRAMES}, or null",
    )
    stems: Annotated[Stems | None, OrNone] = key(
        None,
        "audio files, such as {components: [harmonic, percussive], format: flac}; true: those; null: none",
        f"true, null, or a block with the keys {', '.join(keys(Stems))}",
    )
    features: Annotated[Annotated[FeatureParams, Declared()] | None, OrNone] = key(
        None,
        "features of each frame, such as {kinds: [log_mel, rms], n_mels: 64}; true: the default ones; null: none",
        f"true, null, or a block with the keys {', '.join(keys(FeatureParams))}",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.arrays and self.stems is None and self.features is None:
            raise Complaints(
                [
                    (
                        "arrays",
                        "arrays is empty, and neither stems nor features are asked for: nothing would be made",
                    )
                ]
            )
        frames = self.unit_frames
        if frames is not None and frames % CHUNK_FRAMES:
            below = frames // CHUNK_FRAMES * CHUNK_FRAMES
            near = f"{below} or {below + CHUNK_FRAMES}" if below else f"{CHUNK_FRAMES}"
            raise Complaints(
                [
                    (
                        "unit_frames",
                        f"unit_frames is {frames}; allowed: a multiple of {CHUNK_FRAMES}, such as {near}, or null",
                    )
                ]
            )
        return self
