"""The one sequential step: the state handed on from chunk to chunk.

``s[c] = s[c-1] A^L + ends[c]`` over a few hundred chunks is a short loop. Compiled, it beats every
parallel scan, but a compiled loop has no derivative of its own. Its derivative is the same loop,
conjugated and run backwards (the adjoint filter), and is written here.
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
        ends: ``[B, C, D, K]``, what each chunk adds to the state at its end.
        power: one chunk's transition: a diagonal ``[1 or B, 1, K]``, or a matrix ``[K, K]`` applied
            from the right (a constant: it gets no gradient).
        initial: ``[B, D, K]``, the state before the first chunk.

    Returns:
        ``[B, C, D, K]``.
    """
    scan = _matrix_scan if len(power.shape) == 2 else _diagonal_scan
    return ops.swapaxes(scan(ops.swapaxes(ends, 0, 1), power, initial), 0, 1)


# Two loops, not one with a branch: a trace that serves all shapes does not know the rank.
@partial(_backend.compile, relax_shapes=True)
def _diagonal_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """``s[c] = s[c-1] * power + drive[c]`` along the first axis."""

    def step(state: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        state = state * power + new
        return state, state

    return ops.scan(step, initial, drive)[1]


@partial(_backend.compile, relax_shapes=True)
def _matrix_loop(drive: Tensor, power: Tensor, initial: Tensor) -> Tensor:
    """``s[c] = s[c-1] @ power + drive[c]`` along the first axis."""

    def step(state: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        state = state @ power + new
        return state, state

    return ops.scan(step, initial, drive)[1]


@_backend.custom_gradient
def _diagonal_scan(drive: Tensor, power: Tensor, initial: Tensor) -> tuple[Tensor, Gradient]:
    states = _diagonal_loop(drive, power, initial)

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        back = ops.conj(power)
        later = _backwards(_diagonal_loop, upstream, back)
        before = ops.concatenate([initial[None], states[:-1]], axis=0)
        slots = ops.sum(ops.conj(before) * later, axis=(0, 2))[:, None]
        shared = power.shape[0] == 1
        slope = ops.sum(slots, axis=0, keepdims=True) if shared else slots
        return later, slope, later[0] * back

    return states, gradient


@_backend.custom_gradient
def _matrix_scan(drive: Tensor, power: Tensor, initial: Tensor) -> tuple[Tensor, Gradient]:
    def gradient(upstream: Tensor) -> tuple[Tensor, None, Tensor]:
        back = _backend.adjoint(power)
        later = _backwards(_matrix_loop, upstream, back)
        return later, None, later[0] @ back

    return _matrix_loop(drive, power, initial), gradient


def _backwards(loop: Callable[..., Tensor], upstream: Tensor, power: Tensor) -> Tensor:
    return ops.flip(loop(ops.flip(upstream, 0), power, ops.zeros_like(upstream[0])), 0)
