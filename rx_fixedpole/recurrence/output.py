"""The output of a bank without its states."""

from __future__ import annotations

from functools import partial
from typing import Any

from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles import validate
from . import chunks
from .compiled import compiled, frozen
from .forward import Run, last_state, start

Result = tuple[Tensor, Tensor] | Tensor


def output(
    u: Tensor,
    poles: Any,
    weights: Tensor,
    *,
    input_weights: Any = None,
    basis: str = "parallel",
    initial_state: Tensor | None = None,
    return_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """``states(u, poles, ...) @ weights`` without forming the states.

    Args:
        weights: complex ``[F, S]``, or one set a slot ``[B, F, S]``.
        u, poles, input_weights, basis, initial_state, return_state: as in :func:`states`.

    Returns:
        ``[B, T, S]`` in the dtype of ``u``; with ``return_state`` also the features at the last
        sample, ``[B, F]``.

    Raises:
        TypeError, ValueError: as :func:`states`, and if ``weights`` does not have F rows.

    Notes:
        In chunks of L samples ``y = u Toeplitz(h) + s[before] [A w, ..., A^L w]``: about
        ``S N L + F (1 + S)`` products a sample against ``F (L + S)`` by way of the states.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 0, 0], dtype="complex128").reshape(1, 3, 1)
        >>> y = output(u, [0.5, -0.5], np.ones((2, 1), dtype="complex128"))
        >>> [complex(v) for v in y[0, :, 0]]
        [(2+0j), 0j, (0.5+0j)]
    """
    u = _backend.require_complex(u, "u", "B", "T", "N")
    weights = _backend.require_complex(weights, "weights")
    if _backend.is_tensor(poles) or _backend.is_tensor(input_weights):
        compute = partial(_compute, poles, input_weights, basis, return_state, None)
    else:
        poles = validate(poles)
        width = 1 if input_weights is None else u.shape[-1]
        num_streams, diagonal = weights.shape[-1], basis == "parallel"
        length = chunks.chunk_length(u.shape[1], len(poles), width, num_streams, diagonal=diagonal)
        mixing = None if input_weights is None else frozen(input_weights)
        constants = (frozen(poles), mixing, basis, return_state, length)
        fixed = (u.shape[-1], *weights.shape[-2:], len(weights.shape), u.dtype)
        compute = compiled(_compute, constants, fixed)
    result = compute(u, weights, initial_state)
    y, *state = result if return_state else (result,)
    y = ops.reshape(y, (*ops.shape(u)[:2], weights.shape[-1]))
    return (y, *state) if return_state else y


def _compute(
    poles: Any,
    input_weights: Any,
    basis: str,
    return_state: bool,
    length: int | None,
    u: Tensor,
    weights: Tensor,
    initial_state: Tensor | None,
) -> Result:
    """:func:`output` in chunks of some length."""
    run = start(u, poles, input_weights, basis, initial_state, length)
    y = _from_chunks(run, weights, _backend.dtype(u))
    y = chunks.join(y, ops.shape(u)[1])
    return (y, last_state(run, ops.shape(u)[1])) if return_state else y


def _from_chunks(run: Run, weights: Tensor, dtype: str) -> Tensor:
    """The outputs of every chunk, ``[B, C, L, S]``."""
    batch, num_chunks, length, num_inputs = ops.shape(run.chunked)
    num_banks, num_poles = run.before.shape[-2:]
    weights = _per_bank(weights, num_banks, num_poles, dtype)
    flat = ops.reshape(run.chunked, (batch, num_chunks, length * num_inputs))
    before = ops.reshape(run.before, (batch, num_chunks, num_banks * num_poles))
    y = chunks.product(flat, _response_matrix(run.gain, weights))
    y = y + chunks.product(before, _memory_matrix(run.bank, length, weights))
    return ops.reshape(y, (batch, num_chunks, length, weights.shape[-1]))


def _per_bank(weights: Tensor, num_banks: int, num_poles: int, dtype: str) -> Tensor:
    """``[.., F, S] -> [.., D, K, S]``."""
    weights = _backend.require_complex(weights, "weights")
    batch = ("B",) if len(weights.shape) == 3 else ()
    weights = _backend.require_complex(weights, "weights", *batch, num_banks * num_poles, "S")
    *lead, _, num_streams = ops.shape(weights)
    return ops.reshape(ops.cast(weights, dtype), (*lead, num_banks, num_poles, num_streams))


def _response_matrix(gain: Tensor, weights: Tensor) -> Tensor:
    """The output inside a chunk from its own inputs, ``[.., L N, L S]``."""
    length, num_inputs, num_poles = gain.shape[-3:]
    num_banks, _, num_streams = weights.shape[-3:]
    flat = ops.reshape(gain, (*ops.shape(gain)[:-3], 1, length * num_inputs, num_poles))
    h = flat @ weights
    lead = ops.shape(h)[:-3]
    h = ops.swapaxes(ops.reshape(h, (*lead, num_banks, length, num_inputs, num_streams)), -4, -3)
    width = num_banks * num_inputs
    matrix = chunks.toeplitz(ops.reshape(h, (*lead, length, width * num_streams)))
    matrix = ops.reshape(matrix, (*lead, length, length, width, num_streams))
    return ops.reshape(ops.swapaxes(matrix, -3, -2), (*lead, length * width, length * num_streams))


def _memory_matrix(bank: Any, length: int, weights: Tensor) -> Tensor:
    """The output inside a chunk from the state before it, ``[.., F, L S]``."""
    num_banks, num_poles, num_streams = weights.shape[-3:]
    powers = bank.powers(length)
    if bank.diagonal:
        decay = ops.swapaxes(powers, -1, -2)[..., None, :, :, None]
        matrix = decay * weights[..., None, :]
    else:
        matrix = ops.swapaxes(powers @ weights[..., None, :, :], -3, -2)
    lead = ops.shape(matrix)[:-4]
    return ops.reshape(matrix, (*lead, num_banks * num_poles, length * num_streams))
