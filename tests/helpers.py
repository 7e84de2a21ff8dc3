"""What tests of several modules make and look at: music, jobs for small corpora, the bytes of a store."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

THREADS = {
    "class": "distributed.LocalCluster",
    "kwargs": {"processes": False, "n_workers": 1, "memory_limit": 0},
}
"""A cluster that is up in a moment: one thread of this process, whose memory is not the worker's alone."""


SMALL = {"n_fft": 256, "hop_length": 64}
"""A transform whose units of 512 frames are 1.5 s at 22,050 Hz."""


def music(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """A chord with clicks on it, float32 of shape (samples, channels), distinct everywhere."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 331.0, 447.0)) / 6
    clicks = rng.standard_normal((len(t), channels)) * (np.mod(t, 0.23) < 0.01)[:, None]
    return np.asarray(tone[:, None] * np.linspace(1, 0.7, channels) + 0.2 * clicks, np.float32).clip(
        -0.99, 0.99
    )


def settings(corpus: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A job for small corpora, as a mapping; `changes` are dotted keys with __ for dots."""
    job: dict[str, Any] = {
        "corpus": {"path": str(corpus), "sample_rate": 22050},
        "stft": dict(SMALL),
        "hpss": {"kernel_size": 17},
        "output": {
            "path": str(out),
            "arrays": ["spectrogram", "harmonic_mask", "percussive_mask"],
            "unit_frames": 512,
        },
        "cluster": THREADS,
    }
    for key, value in changes.items():
        block, _, name = key.partition("__")
        job.setdefault(block, {})[name] = value
    return job


def shards(out: Path, *, without: tuple[str, ...] = ()) -> Mapping[str, bytes]:
    """Every file of a store's arrays along frames, by name: what must be the same byte for byte."""
    root = out / "corpus.zarr"
    metadata = {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/zarr.json")}
    frames = [name for name, array in metadata.items() if "frame" in array["dimension_names"]]
    return {
        f"{name}/{file.name}": file.read_bytes()
        for name in sorted(frames)
        if name not in without
        for file in sorted((root / name).iterdir())
        if file.name.startswith("c.") and not file.name.endswith(".partial")  # what a crash leaves
    }


ENCODED_RATE = 48_000


def encode(
    path: Path, codec: str, container: str, samples: np.ndarray[Any, Any], *, video: bool = False
) -> Path:
    """Write samples at `ENCODED_RATE`, shape (channels, samples), with FFmpeg's own encoder."""
    with av.open(str(path), "w", format=container, options={"fflags": "bitexact"}) as out:
        pictures: Any = out.add_stream("mpeg4", rate=25) if video else None
        if video:
            pictures.width = pictures.height = 64
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
        stream: Any = out.add_stream(codec, rate=ENCODED_RATE, layout=layout, bit_rate=192_000)
        stream.codec_context.format = {"tta": "s16", "wavpack": "s16p"}.get(
            codec, stream.codec_context.format
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float64), "dblp", layout)
        frame.sample_rate = ENCODED_RATE
        resampler = av.AudioResampler(stream.codec_context.format, layout, ENCODED_RATE)
        for number in range(25 * samples.shape[1] // ENCODED_RATE if video else 0):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), number, np.uint8), "yuv420p")
            out.mux(pictures.encode(picture))
        fifo = av.AudioFifo()
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
        if video:
            out.mux(pictures.encode(None))
    return path
