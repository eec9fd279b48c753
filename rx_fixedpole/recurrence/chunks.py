"""Chunks of a signal, and what a bank does inside one.

Layouts: B batch, C chunks, L samples a chunk, N inputs, K poles. Without input weights every
input drives a bank of its own (D = N banks of I = 1 input); with them all inputs drive one bank
(D = 1, I = N).
"""

from __future__ import annotations

import math

from keras import ops

from .. import _backend
from .._backend import Tensor
from .bank import Bank
from .carry import carry

# What handing a state from one chunk to the next costs, in products of a matrix product: a pass
# over memory in a compiled loop, several where loops are not compiled.
_HANDING_ON = 20 if _backend.LOOPS_ARE_COMPILED else 256
_SHORTEST, _LONGEST = 4, 64


def chunk_length(
    num_samples: int | None, num_poles: int, width: int, num_values: int, *, diagonal: bool = True
) -> int:
    """The power of two at which the work inside chunks and that between them are the same.

    Inside, every bank takes ``L I V`` products a sample; between chunks its state is handed on,
    K numbers in the parallel basis and K^2 products else, once in L samples. The batch takes its
    share in both alike.

    Args:
        num_samples: T, where it is known: no chunk is longer than the signal needs.
        num_poles: K.
        width: I, inputs of a bank.
        num_values: V, what the bank's response is wanted for: outputs S, states K, or the signals
            that a moment is taken with.
        diagonal: whether the basis is parallel.

    >>> chunk_length(4096, 64, 4, 2), chunk_length(15360, 256, 4, 2), chunk_length(3, 64, 4, 2)
    (16, 32, 4)
    """
    handed_on = _HANDING_ON * num_poles * (1 if diagonal else num_poles)
    length = 2 ** round(0.5 * math.log2(handed_on / (width * max(1, num_values))))
    length = min(max(length, _SHORTEST), _LONGEST)
    while num_samples is not None and length > 1 and length >= 2 * num_samples:
        length //= 2
    return length


def split(u: Tensor, length: int) -> Tensor:
    """``[B, T, N] -> [B, C, L, N]``, zeros after the end."""
    batch, num_samples, num_inputs = ops.shape(u)
    num_chunks = -(-num_samples // length)
    padding = num_chunks * length - num_samples
    if not isinstance(padding, int) or padding > 0:
        u = ops.pad(u, ((0, 0), (0, padding), (0, 0)))
    return ops.reshape(u, (batch, num_chunks, length, num_inputs))


def join(chunks: Tensor, num_samples: int) -> Tensor:
    """``[B, C, L, ...] -> [B, T, F]``: the inverse of :func:`split`, trailing axes made one."""
    batch, num_chunks, length, *rest = ops.shape(chunks)
    features = 1
    for size in rest:
        features *= size
    return ops.reshape(chunks, (batch, num_chunks * length, features))[:, :num_samples]


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """``x [B, ..., X] @ matrix``, ``[X, Y]`` or one a slot ``[B, X, Y]``, in few GEMMs."""
    *lead, width = ops.shape(x)
    rows = (-1, width) if len(matrix.shape) == 2 else (lead[0], -1, width)
    return ops.reshape(ops.reshape(x, rows) @ matrix, (*lead, matrix.shape[-1]))


def toeplitz(h: Tensor) -> Tensor:
    """``[..., L, X] -> [..., j, i, X]`` with entry ``h[i - j]`` where ``i >= j``, else zero.

    Built by tiling and reshaping, row j being the zero-padded response turned right by j, and not
    by a gather, whose gradient is slow.
    """
    *lead, length, width = ops.shape(h)
    padded = ops.concatenate([h, ops.zeros_like(h)], axis=-2)
    tiled = ops.tile(padded, (*(1 for _ in lead), length, 1))
    tiled = tiled[..., : length * (2 * length - 1), :]
    return ops.reshape(tiled, (*lead, length, 2 * length - 1, width))[..., :length, :]


def drives(chunks: Tensor, input_weights: Tensor | None) -> Tensor:
    """``[B, C, L, N] -> [B, C, D, L I]``, what drives each bank in each chunk."""
    batch, num_chunks, length, num_inputs = ops.shape(chunks)
    if input_weights is None:
        return ops.swapaxes(chunks, -1, -2)
    return ops.reshape(chunks, (batch, num_chunks, 1, length * num_inputs))


def gains(bank: Bank, length: int, input_weights: Tensor | None) -> Tensor:
    """States n samples after a unit impulse at input i: ``[.., L, I, K]``."""
    impulses = bank.impulses(length)[..., None, :]
    if input_weights is None:
        return impulses
    return impulses * ops.swapaxes(input_weights, -1, -2)[..., None, :, :]


def chunk_ends(drive: Tensor, gain: Tensor) -> Tensor:
    """The state that each chunk alone leaves at its end: ``[B, C, D, K]``."""
    *lead, length, num_inputs, num_poles = ops.shape(gain)
    matrix = ops.reshape(ops.flip(gain, -3), (*lead, length * num_inputs, num_poles))
    return product(drive, matrix)


def hand_on(ends: Tensor, bank: Bank, length: int, initial: Tensor) -> tuple[Tensor, Tensor]:
    """States before each chunk and at each chunk's end, both ``[B, C, D, K]``."""
    states = carry(ends, bank.power(length), initial)
    return ops.concatenate([initial[:, None], states[:, :-1]], axis=1), states


def inside(drive: Tensor, gain: Tensor, before: Tensor, bank: Bank) -> Tensor:
    """The state at every sample of every chunk, ``[B, C, L, D, K]``."""
    *lead, length, num_inputs, num_poles = ops.shape(gain)
    batch, num_chunks, num_banks, _ = ops.shape(drive)
    matrix = toeplitz(ops.reshape(gain, (*lead, length, num_inputs * num_poles)))
    matrix = ops.reshape(matrix, (*lead, length, length, num_inputs, num_poles))
    matrix = ops.reshape(
        ops.swapaxes(matrix, -3, -2), (*lead, length * num_inputs, length * num_poles)
    )
    shape = (batch, num_chunks, num_banks, length, num_poles)
    own = ops.reshape(product(drive, matrix), shape)
    powers = bank.powers(length)
    if bank.diagonal:
        rows = (-1, 1, 1, length, num_poles)
        inherited = before[..., None, :] * ops.reshape(powers, rows)
    else:
        matrix = ops.reshape(ops.swapaxes(powers, 0, 1), (num_poles, length * num_poles))
        inherited = ops.reshape(product(before, matrix), shape)
    return ops.swapaxes(own + inherited, -3, -2)
