"""A delay line: the bank without poles."""

from __future__ import annotations

from keras import ops

from .. import _backend
from .._backend import Tensor


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
