"""States at a few samples of a signal."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from .._backend import Tensor
from . import chunks
from .forward import Run


def states_at(run: Run, samples: Sequence[int]) -> Tensor:
    """The features at some samples, from the state before each one's chunk.

    The chunk's inputs up to the sample are turned to its end, so that one matrix, the one that
    gives what a chunk leaves at its end, serves all samples.

    Args:
        run: a bank driven by a signal, the same poles and input weights in all slots.
        samples: at least one, each within the signal.

    Returns:
        ``[B, E, F]``.
    """
    length, num_inputs, _ = run.gain.shape
    turned, inherited = [], []
    for sample in samples:
        chunk, place = divmod(sample, length)
        later = (length - 1 - place) * num_inputs
        drive = run.drive[:, chunk, :, : (place + 1) * num_inputs]
        turned.append(ops.pad(drive, ((0, 0), (0, 0), (later, 0))))
        power = run.bank.power(place + 1)
        before = run.before[:, chunk]
        inherited.append(before * power if run.bank.diagonal else before @ power)
    own = chunks.chunk_ends(ops.stack(turned, axis=1), run.gain)
    batch, num_edges, num_banks, num_poles = ops.shape(own)
    return ops.reshape(
        own + ops.stack(inherited, axis=1), (batch, num_edges, num_banks * num_poles)
    )
