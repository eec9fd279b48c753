"""A delay line: the bank without poles."""

from __future__ import annotations

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from . import chunks

# Chunks of an output: long enough that a matrix product is worth its call.
SHORTEST_CHUNK = 16


def delay_line(u: Tensor, window: int, delay: int = 0) -> Tensor:
    """The last samples of every input, seen from ``delay`` samples ahead.

    Feature ``n window + w`` at time t is ``u_n[t + delay - w]``, zero outside the signal.

    Args:
        u: complex ``[B, T, N]``.
        window: number of lags, >= 1.
        delay: how far the first lag looks ahead, in samples; any integer.

    Returns:
        ``[B, T, N window]`` in the dtype of ``u``.

    Raises:
        TypeError: if ``u`` is not complex.
        ValueError: if the rank of ``u`` is not 3 or ``window`` is below 1.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 2, 3], dtype="complex128").reshape(1, 3, 1)
        >>> [complex(v).real for v in delay_line(u, window=2)[0, 2]]
        [3.0, 2.0]
    """
    u = _backend.require_complex(u, "u", "B", "T", "N")
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    batch, num_samples, num_inputs = ops.shape(u)
    before = max(0, window - 1 - delay)
    padded = ops.pad(u, ((0, 0), (before, max(0, delay)), (0, 0)))
    lags = []
    for w in range(window):
        first = before + delay - w
        lags.append(padded[:, first : first + num_samples])
    return ops.reshape(ops.stack(lags, axis=-1), (batch, num_samples, num_inputs * window))


def delay_line_output(u: Tensor, window: int, weights: Tensor) -> Tensor:
    """``delay_line(u, window) @ weights``, an FIR filter, without forming the delay line.

    Chunks of ``L >= window - 1`` samples: what comes out of a chunk is one matrix product of its
    own samples and those of the chunk before it.

    Args:
        u: complex ``[B, T, N]``.
        window: number of lags, >= 1.
        weights: complex ``[N window, S]``, or one set a slot ``[B, N window, S]``.

    Returns:
        ``[B, T, S]`` in the dtype of ``u``.

    Raises:
        TypeError: if ``u`` or ``weights`` is not complex.
        ValueError: if a shape does not fit or ``window`` is below 1.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 2, 3], dtype="complex128").reshape(1, 3, 1)
        >>> y = delay_line_output(u, 2, np.array([[1], [-1]], dtype="complex128"))
        >>> [complex(v).real for v in y[0, :, 0]]
        [1.0, 1.0, 1.0]
    """
    u = _backend.require_complex(u, "u", "B", "T", "N")
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    num_samples, num_inputs = ops.shape(u)[1], u.shape[-1]
    weights = _backend.require_complex(weights, "weights")
    batch = (u.shape[0] or "B",) if len(weights.shape) == 3 else ()
    weights = _backend.require_complex(weights, "weights", *batch, num_inputs * window, "S")
    length = max(window - 1, SHORTEST_CHUNK)
    cut = chunks.split(u, length)
    shape = ops.shape(cut)
    cut = ops.reshape(cut, (shape[0], shape[1], length * num_inputs))
    before = ops.concatenate([ops.zeros_like(cut[:, :1]), cut[:, :-1]], axis=1)
    matrix = _fir_matrix(ops.cast(weights, _backend.dtype(u)), window, length)
    y = chunks.product(ops.concatenate([before, cut], axis=-1), matrix)
    y = ops.reshape(y, (shape[0], shape[1], length, weights.shape[-1]))
    return chunks.join(y, num_samples)


def _fir_matrix(weights: Tensor, window: int, length: int) -> Tensor:
    """From the samples of two chunks to the outputs of the second: ``[.., 2 L N, L S]``."""
    *lead, width, num_streams = ops.shape(weights)
    taps = ops.reshape(weights, (*lead, width // window, window, num_streams))
    taps = ops.concatenate([taps, ops.zeros_like(taps[..., :1, :])], axis=-2)
    # Sample j of the two chunks reaches output i of the second one over this lag.
    lags = length + np.arange(length) - np.arange(2 * length)[:, None]
    lags = np.where((lags >= 0) & (lags < window), lags, window)
    matrix = ops.take(taps, lags.reshape(-1), axis=-2)
    num_inputs = width // window
    matrix = ops.reshape(matrix, (*lead, num_inputs, 2 * length, length * num_streams))
    matrix = ops.swapaxes(matrix, -3, -2)
    return ops.reshape(matrix, (*lead, 2 * length * num_inputs, length * num_streams))
