"""What the features have in common with other signals, without the features."""

from __future__ import annotations

from typing import Any

from keras import ops

from .. import _backend
from .._backend import Tensor
from . import chunks
from .forward import Run

Windows = list[tuple[int, int]]


def cross_moment(run: Run, values: Tensor, windows: Windows) -> Tensor:
    """``sum_n conj(s[n]) v[n]^T`` over some windows of samples.

    Within a chunk ``s[n]`` is the state before the chunk, moved on, and what the chunk's samples
    left. The sums over chunks come first: what remains is the work of one chunk, not of many.

    Args:
        run: a bank driven by a signal, the same poles and input weights in all slots.
        values: ``[B, P, V]``, P the sum of the windows' lengths.
        windows: as ``check_windows`` gives them, the last one ending with the signal.

    Returns:
        ``[B, F, V]``.
    """
    length = run.gain.shape[0]
    spans = _spans(windows, length)
    chunked, before = _picked(run.chunked, spans), _picked(run.before, spans)
    values = _picked(chunks.split(_placed(values, windows), length), spans)
    batch, num_chunks, _, num_inputs = ops.shape(chunked)
    num_banks, num_poles = before.shape[-2:]
    num_values = values.shape[-1]
    flat = ops.reshape(values, (batch, num_chunks, length * num_values))
    inputs = ops.reshape(chunked, (batch, num_chunks, length * num_inputs))
    before = ops.reshape(before, (batch, num_chunks, num_banks * num_poles))
    inherited = ops.reshape(
        _backend.adjoint(before) @ flat, (batch, num_banks, num_poles, length, num_values)
    )
    pairs = ops.reshape(
        _backend.adjoint(inputs) @ flat, (batch, length, num_inputs, length, num_values)
    )
    result = _decayed(run.bank, inherited) + _responded(run.gain, pairs, num_banks)
    return ops.reshape(result, (batch, num_banks * num_poles, num_values))


def _decayed(bank: Any, inherited: Tensor) -> Tensor:
    """``sum_i conj(A)^(i+1) x_i`` for x ``[B, D, K, L, V]``: ``[B, D, K, V]``."""
    batch, num_banks, num_poles, length, num_values = ops.shape(inherited)
    powers = ops.conj(bank.powers(length))
    if bank.diagonal:
        return ops.sum(inherited * ops.swapaxes(powers, 0, 1)[..., None], axis=3)
    rows = ops.reshape(ops.transpose(powers, (2, 1, 0)), (num_poles, num_poles * length))
    return rows @ ops.reshape(inherited, (batch, num_banks, num_poles * length, num_values))


def _responded(gain: Tensor, pairs: Tensor, num_banks: int) -> Tensor:
    """``sum_d conj(gain[d]) sum_j pairs[j, j+d]``, pairs ``[B, L, N, L, V]``: ``[B, D, K, V]``.

    The response depends on the distance d alone, so the pairs of one distance are summed first:
    reading rows of 2 L - 1 entries as rows of 2 L puts them below each other, and pairs of a later
    input, which has no response yet, into the columns cut off.
    """
    batch, length, num_inputs, _, num_values = ops.shape(pairs)
    rows = ops.pad(ops.swapaxes(pairs, 1, 2), ((0, 0), (0, 0), (0, 0), (0, length - 1), (0, 0)))
    rows = ops.reshape(rows, (batch, num_inputs, length * (2 * length - 1), num_values))
    rows = ops.pad(rows, ((0, 0), (0, 0), (0, length), (0, 0)))
    rows = ops.reshape(rows, (batch, num_inputs, length, 2 * length, num_values))
    lagged = ops.sum(rows[:, :, :, :length], axis=2)
    _, width, num_poles = gain.shape
    matrix = ops.reshape(ops.swapaxes(gain, 0, 1), (width * length, num_poles))
    lagged = ops.reshape(lagged, (batch, num_banks, width * length, num_values))
    return _backend.adjoint(matrix) @ lagged


def _placed(values: Tensor, windows: Windows) -> Tensor:
    """Values of the windows' samples at these samples, zeros between: ``[B, T, V]``."""
    parts, done, used = [], 0, 0
    for first, end in windows:
        part = values[:, used : used + end - first]
        parts.append(ops.pad(part, ((0, 0), (first - done, 0), (0, 0))))
        done, used = end, used + end - first
    return ops.concatenate(parts, axis=1)


def _spans(windows: Windows, length: int) -> Windows:
    """The chunks that the windows touch, each once."""
    spans: Windows = []
    for first, end in windows:
        done = spans[-1][1] if spans else 0
        begin, after = max(done, first // length), -(-end // length)
        if begin < after:
            spans.append((begin, after))
    return spans


def _picked(x: Tensor, spans: Windows) -> Tensor:
    return ops.concatenate([x[:, begin:after] for begin, after in spans], axis=1)
