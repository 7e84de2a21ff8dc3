"""How much memory does a task take, however long units and tracks are?"""

from hpss_batch.cluster.requests.request import INTERPRETER_BYTES
from hpss_batch.store.layout import CHUNK_FRAMES
from hpss_batch.tasks.spec import BLOCK_FRAMES, Recipe

MiB = 2**20

LIBROSA_BYTES = 64 * MiB
"""What importing librosa for its filter banks adds to a worker."""

FFMPEG_BYTES = 48 * MiB
"""What PyAV and its libraries add to a worker that reads a track with them (measured: 27, and frames)."""

DECODER_BYTES = 32 * MiB
"""Blocks in which recordings are decoded and resampled, whatever their length (measured: up to 8)."""


def task_bytes(recipe: Recipe) -> int:
    """Upper bound on what a thread that does units needs, in bytes, however long units and tracks are.

    Parameters
    ----------
    recipe : Recipe
        What the task does.

    Notes
    -----
    It is the sum of

    - the interpreter, and what a decoder and a resampler hold;
    - for each channel, a window over frames, complex and real: a block and its halo on both sides; the
      samples of these frames, twice while they move on, or else the two stored chunks that they lie in, and two more
      while they do;
    - for each array and channel, two chunks, and one as it is compressed;
    - the masks and components of a block, a window's joint magnitude, and with features, librosa, the components'
      magnitudes and their power.
    """
    shape, stft, bins = recipe.shape, recipe.stft, recipe.shape.n_bins
    window = BLOCK_FRAMES + 2 * recipe.separation.halo
    if recipe.source is not None:
        held = 4 * CHUNK_FRAMES * bins * 8
    else:
        begin, end = stft.sample_span(0, window)
        held = 2 * (end - begin + 2 * stft.n_fft) * 4
    chunks = CHUNK_FRAMES * sum(map(shape.frame_bytes, shape.names))
    block = BLOCK_FRAMES * bins * (3 * 4 + 2 * 8) + window * bins * 4 * recipe.separation.joint
    if shape.features:
        block += LIBROSA_BYTES + BLOCK_FRAMES * (4 * bins * 4 + 4 * sum(map(shape.frame_bytes, shape.names)))
    return (
        INTERPRETER_BYTES
        + DECODER_BYTES
        + recipe.n_channels * (window * bins * (8 + 4) + held + 3 * chunks)
        + block
    )
