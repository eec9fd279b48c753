"""The one sequential step: the state handed on from chunk to chunk, or from sample to sample.

``s[c] = s[c-1] A^L + ends[c]`` is a short loop over a few hundred chunks where outputs are wanted,
and a long one where every state is: there L = 1. Compiled, it beats every parallel scan, but a
compiled loop has no derivative of its own. Its derivative is the same loop, conjugated and run
backwards (the adjoint filter), and is written here. Where loops are not compiled, every step is a
call, and passes that reach twice as far each time are faster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keras import ops

from .. import _backend
from .._backend import Tensor

Gradient = Callable[[Tensor], tuple[Tensor, Tensor | None, Tensor]]


def carry(ends: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """States at the ends of the chunks.

    Args:
        ends: ``[B, C, D, K]``, what each chunk adds to the state at its end; ``[B, C, D, 1]`` if it
            adds the same to every pole.
        power: one chunk's transition: a diagonal ``[1 or B, 1, K]``, or a matrix ``[K, K]`` applied
            from the right (a constant: it gets no gradient).
        initial: ``[B, D, K]``, the state before the first chunk.

    Returns:
        ``[B, C, D, K]``.
    """
    matrix = len(power.shape) == 2
    if not _backend.LOOPS_ARE_COMPILED:
        return _doubled(ends, power, initial, matrix)
    return (_matrix_scan if matrix else _diagonal_scan)(ends, power, initial)


def carry_mixed(u: Tensor, weights: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """States at every sample where all inputs drive one bank, ``[B, T, K]``.

    Args:
        u: ``[B, T, N]``.
        weights: ``[1 or B, N, K]``.
        power: the poles, ``[1 or B, K]``.
        initial: ``[B, K]``, the state before the first sample.
    """
    return _mixing_scan(u, weights, power, initial)


def _doubled(ends: Tensor, power: Tensor, initial: Tensor, matrix: bool) -> Tensor:
    """:func:`carry` in ``log2(C)`` passes over all chunks, where every step of a loop is a call.

    After the pass j a state holds what the last 2^j chunks have added to it.
    """
    states = ops.concatenate([initial[:, None], ends + ops.zeros_like(initial[:, None])], axis=1)
    power = power if matrix else power[:, None]
    reach = 1
    while reach < states.shape[1]:
        earlier = states[:, :-reach]
        moved = earlier @ power if matrix else earlier * power
        states = ops.concatenate([states[:, :reach], states[:, reach:] + moved], axis=1)
        power = power @ power if matrix else power * power
        reach *= 2
    return states[:, 1:]


# Chunks of a group. A step of a compiled loop costs as much as passing over so many numbers, so a
# loop over the chunks of one slot, whose states are fewer, had better be two short ones over all
# the data. Of many slots that would be a further pass over memory, and gain nothing.
_GROUP = 16
_NUMBERS_A_STEP = 4096


def _handing_on(initial: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loop for states ``[B, D, K]``; an unknown batch is taken for one slot."""
    batch, num_banks, num_poles = initial.shape
    large = (batch or 1) * (num_banks or 1) * num_poles > _NUMBERS_A_STEP
    return _diagonal_loop if large else _grouped_loop


# Loops of their own, not one with branches: a trace that serves all shapes does not know the rank.
@partial(_backend.compile, relax_shapes=True)
def _diagonal_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """``s[c] = s[c-1] * power + drive[c]`` along the second axis."""
    return _looped(drive, power, initial)


@partial(_backend.compile, relax_shapes=True)
def _grouped_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """The same, first within groups, all of them at once and from rest, then from group to group.

    Then every state gets what the groups before its own have left.
    """
    batch, num_chunks, num_banks, num_poles = ops.shape(drive)
    num_groups = -(-num_chunks // _GROUP)
    padding = num_groups * _GROUP - num_chunks
    padded = ops.pad(drive, ((0, 0), (0, padding), (0, 0), (0, 0)))
    padded = ops.reshape(padded, (batch * num_groups, _GROUP, num_banks, num_poles))
    within = ops.broadcast_to(power[:, None], (batch, num_groups, 1, num_poles))
    within = ops.reshape(within, (batch * num_groups, 1, num_poles))
    shape = (batch, num_groups, _GROUP, num_banks, num_poles)
    own = ops.reshape(_looped(padded, within, ops.zeros_like(padded[:, 0])), shape)
    powers = _powers(power[:, None], _GROUP)
    ends = _looped(own[:, :, -1], powers[:, -1], initial)
    states = own + powers[:, None] * _before(ends, initial)[:, :, None]
    states = ops.reshape(states, (batch, num_groups * _GROUP, num_banks, num_poles))
    return states[:, :num_chunks]


def _looped(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    return _backend.scan(lambda state, new: state * power + new, initial, drive, alike=True)


def _powers(base: Tensor, count: int) -> Tensor:
    """``base, base^2, ...`` along the second axis, where ``base`` has one entry."""
    result = base
    while result.shape[1] < count:
        result = ops.concatenate([result, result * result[:, -1:]], axis=1)
    return result


@partial(_backend.compile, relax_shapes=True)
def _shared_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """The same for ``[B, T, D, 1]``, which drives all poles of a bank alike."""
    return _backend.scan(lambda state, new: state * power + new, initial, drive, alike=False)


@partial(_backend.compile, relax_shapes=True)
def _matrix_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """``s[c] = s[c-1] @ power + drive[c]`` along the second axis."""
    return _backend.scan(lambda state, new: state @ power + new, initial, drive, alike=True)


@partial(_backend.compile, relax_shapes=True)
def _mixing_loop(u: Tensor, rows: list[Tensor], power: Tensor, initial: Tensor) -> Tensor:
    """``s[n] = s[n-1] * power + sum_i u[n]_i rows_i`` along the second axis; u ``[B, T, N]``."""

    def step(state: Tensor, new: Tensor) -> Tensor:
        # Sums, not a product of matrices: all of a step is then one loop over the poles.
        state = state * power
        for i, row in enumerate(rows):
            state = state + new[..., i : i + 1] * row
        return state

    return _backend.scan(step, initial, u, alike=False)


@_backend.custom_gradient
def _diagonal_scan(drive: Tensor, power: Tensor, initial: Tensor) -> tuple[Tensor, Gradient]:
    shared = drive.shape[-1] == 1 and initial.shape[-1] != 1
    loop = _shared_loop if shared else _handing_on(initial)
    states = _shaped(loop(drive, power, initial), drive, initial)

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        back = ops.conj(power)
        later = _backwards(_handing_on(initial), upstream, back, states)
        slots = ops.sum(ops.conj(_before(states, initial)) * later, axis=(1, 2))[:, None]
        slope = ops.sum(slots, axis=0, keepdims=True) if power.shape[0] == 1 else slots
        moved = ops.sum(later, axis=-1, keepdims=True) if shared else later
        return moved, slope, later[:, 0] * back

    return states, gradient


@_backend.custom_gradient
def _matrix_scan(drive: Tensor, power: Tensor, initial: Tensor) -> tuple[Tensor, Gradient]:
    states = _shaped(_matrix_loop(drive, power, initial), drive, initial)

    def gradient(upstream: Tensor) -> tuple[Tensor, None, Tensor]:
        back = _backend.adjoint(power)
        later = _backwards(_matrix_loop, upstream, back, states)
        return later, None, later[:, 0] @ back

    return states, gradient


@_backend.custom_gradient
def _mixing_scan(
    u: Tensor, weights: Tensor, power: Tensor, initial: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    rows = [weights[:, i] for i in range(weights.shape[1])]
    states = _shaped(_mixing_loop(u, rows, power, initial), u, initial)

    def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
        back = ops.conj(power)
        # With an axis for the one bank: a trace for all shapes keeps the rank of the first call.
        one = (upstream[:, :, None], back[:, None], states[:, :, None])
        later = _backwards(_diagonal_loop, *one)[:, :, 0]
        slope = ops.sum(ops.conj(_before(states, initial)) * later, axis=1)
        by_weights = _backend.adjoint_product(u, later)
        if power.shape[0] == 1:
            slope = ops.sum(slope, axis=0, keepdims=True)
        if weights.shape[0] == 1:
            by_weights = ops.sum(by_weights, axis=0, keepdims=True)
        return later @ _backend.adjoint(weights), by_weights, slope, later[:, 0] * back

    return states, gradient


def _before(states: Tensor, initial: Tensor) -> Tensor:
    """The state before each of the states."""
    return ops.concatenate([initial[:, None], states[:, :-1]], axis=1)


def _shaped(states: Tensor, drive: Tensor, initial: Tensor) -> Tensor:
    """The states with the shape that a trace for all shapes does not know."""
    return ops.reshape(states, (*ops.shape(drive)[:2], *ops.shape(initial)[1:]))


def _backwards(
    loop: Callable[..., Tensor], upstream: Tensor, power: Tensor, states: Tensor
) -> Tensor:
    # What comes back through a loop without static shapes has none itself.
    upstream = ops.reshape(upstream, ops.shape(states))
    later = loop(ops.flip(upstream, 1), power, ops.zeros_like(upstream[:, 0]))
    return ops.flip(ops.reshape(later, ops.shape(states)), 1)
