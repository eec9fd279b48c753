"""The delay line's part of a Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from .._backend import Tensor
from .bank import FixedBank, moved
from .window import delay_line


def lines_within(u: Tensor, window: int, windows: Sequence[tuple[int, int]]) -> Tensor:
    """:func:`delay_line` in some windows of samples, whose first lags reach before them.

    Args:
        u: ``[B, T, N]``.
        window: number of lags, >= 1.
        windows: pairs (start, stop) within the signal.

    Returns:
        ``[B, P, N window]``, P the sum of the windows' lengths.
    """
    parts = []
    for first, end in windows:
        reach = max(0, first - window + 1)
        parts.append(delay_line(u[:, reach:end], window)[:, first - reach :])
    return ops.concatenate(parts, axis=1)


def shifted(lines: Tensor, window: int) -> Tensor:
    """The delay line one sample on, before its input comes: zero at lag 0, ``[B, P, N window]``."""
    shape = ops.shape(lines)
    lines = ops.reshape(lines, (*shape[:-1], shape[-1] // window, window))
    lines = ops.concatenate([ops.zeros_like(lines[..., :1]), lines[..., :-1]], axis=-1)
    return ops.reshape(lines, shape)


def lag_moments(bank: FixedBank, own: Tensor, drive: Tensor) -> Tensor:
    """``C_j = sum_n conj(s[n]) u[n-j]^T`` by its recursion in the lag.

    ``s[n] = A s[n-1] + B u[n]`` makes it ``C_j = conj(A) C_(j-1) + drive_j``, the drive being
    ``conj(B) sum_n conj(u[n]) u[n-j]^T`` and what the windows' ends add.

    Args:
        bank: array poles.
        own: ``C_0``, ``[B, F, N]``.
        drive: ``[B, F, N W]``, column ``n W + j``; not looked at for j = 0.

    Returns:
        ``[B, F, N W]``, column ``n W + j``.
    """
    batch, num_features, num_inputs = ops.shape(own)
    window = drive.shape[-1] // num_inputs
    drive = ops.reshape(drive, (batch, num_features, num_inputs, window))
    lags = [own]
    for j in range(1, window):
        lags.append(moved(bank, lags[-1]) + drive[..., j])
    return ops.reshape(ops.stack(lags, axis=-1), (batch, num_features, num_inputs * window))


def lag_gram(lagged: Tensor, ends: Tensor) -> Tensor:
    """``G_ij = sum_n conj(u[n-i]) u[n-j]^T`` by its recursion in both lags.

    It is ``G_ij = G_(i-1)(j-1) + ends_ij`` from the first row on, and costs a sample N W products
    instead of ``(N W)^2``.

    Args:
        lagged: the first row, ``sum_n conj(u[n]) u[n-j]^T``, ``[B, N, N W]``.
        ends: ``[B, N W, N W]``, what the windows' ends add; zero for i = 0 and for j = 0.

    Returns:
        Hermitian ``[B, N W, N W]``, row ``n W + i`` and column ``n W + j``.
    """
    batch, num_inputs, num_lines = ops.shape(lagged)
    window = num_lines // num_inputs
    shape = (batch, num_inputs, window, num_inputs, window)
    # The corner is in the row and in its adjoint, the column, and counts once.
    halved = ops.reshape(lagged, (batch, num_inputs, 1, num_inputs, window))
    halved = ops.concatenate([0.5 * halved[..., :1], halved[..., 1:]], axis=-1)
    row = ops.pad(halved, ((0, 0), (0, 0), (0, window - 1), (0, 0), (0, 0)))
    column = ops.conj(ops.transpose(row, (0, 3, 4, 1, 2)))
    result = ops.reshape(ends, shape) + row + column
    step = 1  # along the diagonals of lags: sums of 1, 2, 4, ... entries
    while step < window:
        before = result[:, :, :-step, :, :-step]
        result = result + ops.pad(before, ((0, 0), (0, 0), (step, 0), (0, 0), (step, 0)))
        step *= 2
    return ops.reshape(result, (batch, num_lines, num_lines))
