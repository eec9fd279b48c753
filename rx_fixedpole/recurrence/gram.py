"""The Gram matrix of the features from its displacement structure, without the features."""

from __future__ import annotations

from typing import Any

from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles.checks import whole
from . import chunks
from .bank import FixedBank
from .forward import Run, last_state
from .forward import start as start_run


def gram(
    u: Tensor,
    poles: Any,
    *,
    start: int = 0,
    stop: int | None = None,
    input_weights: Any = None,
    basis: str = "parallel",
) -> Tensor:
    r"""Gram matrix of the features over a window of samples.

    .. math:: G = \sum_{n=start}^{stop-1} \overline{s[n]} s[n]^T

    With ``s[n] = A s[n-1] + B u[n]`` it solves ``G - conj(A) G A^T = H``, where H holds the states
    at the window's two ends, ``M = sum conj(s[n-1]) u[n]^T`` and ``R = sum conj(u[n]) u[n]^T``
    alone: a division in the parallel basis, a few squarings of A in the orthonormal one.

    Args:
        u: complex ``[B, T, N]``.
        poles: array ``[K]``, ``|p| < 1``.
        start: first sample of the window, >= 0. The bank starts at sample 0, at rest.
        stop: the sample after the last one, at most T; T if None.
        input_weights: array ``[K, N]``, as in ``states``.
        basis: ``"parallel"`` or ``"orthonormal"``.

    Returns:
        Hermitian ``[B, F, F]``, complex128 whatever the dtype of ``u``: that is what a Cholesky
        factorisation needs.

    Raises:
        TypeError: if ``u`` is not complex, ``poles`` is a tensor, or ``start`` or ``stop`` is no
            integer.
        ValueError: as ``states``, and if the window is empty or not inside the signal.

    Notes:
        About ``F N`` products a sample instead of ``F^2``.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 0, 0], dtype="complex128").reshape(1, 3, 1)
        >>> print(complex(gram(u, [0.5])[0, 0, 0]))  # 1 + 1/4 + 1/16
        (1.3125+0j)
    """
    u = ops.cast(_backend.require_complex(u, "u", "B", "T", "N"), "complex128")
    start, stop = _check_window(start, stop, u.shape[1])
    before = None
    if start > 0:
        lead_in = start_run(u[:, :start], poles, input_weights, basis, None)
        before = last_state(lead_in, start)
    window = u[:, start:stop]
    run = start_run(window, poles, input_weights, basis, before)
    after = last_state(run, stop - start)
    before = ops.zeros_like(after) if before is None else before
    bank, spread = run.bank, _input_matrix(run)
    if not isinstance(bank, FixedBank):
        raise TypeError("poles must be an array, not a tensor: gram is for fixed poles")
    ends = _outer(before) - _outer(after)
    mixed = _moved(bank, _cross_moment(run)) @ ops.swapaxes(spread, -1, -2)
    own = ops.conj(spread) @ (_backend.adjoint(window) @ window) @ ops.swapaxes(spread, -1, -2)
    return _stein(bank, _moved_both(bank, ends) + mixed + _backend.adjoint(mixed) + own)


def _check_window(start: int, stop: int | None, num_samples: int | None) -> tuple[int, int]:
    if num_samples is None:
        raise ValueError("u must have a static number of samples")
    start = whole(start, "start", minimum=0)
    stop = num_samples if stop is None else whole(stop, "stop")
    if not 0 <= start < stop <= num_samples:
        raise ValueError(
            f"start, stop must satisfy 0 <= start < stop <= {num_samples}, got {start}, {stop}"
        )
    return start, stop


def _outer(state: Tensor) -> Tensor:
    return ops.conj(state)[:, :, None] * state[:, None, :]


def _input_matrix(run: Run) -> Tensor:
    """``B`` in ``s[n] = A s[n-1] + B u[n]``, ``[F, N]``."""
    first = run.gain[0]
    if run.drive.shape[2] == run.chunked.shape[-1]:
        num_inputs, num_poles = run.before.shape[-2:]
        banks = ops.eye(num_inputs, dtype="complex128")[:, None, :] * first[0][None, :, None]
        return ops.reshape(banks, (num_inputs * num_poles, num_inputs))
    return ops.swapaxes(first, 0, 1)


def _cross_moment(run: Run) -> Tensor:
    """``M = sum_n conj(s[n-1]) u[n]^T`` over the window, ``[B, F, N]``.

    Within a chunk ``s[n-1]`` is the state before the chunk, moved on, and what the chunk's earlier
    samples left; the sums over chunks come first and are two matrix products.
    """
    batch, num_chunks, length, num_inputs = ops.shape(run.chunked)
    num_banks, num_poles = run.before.shape[-2:]
    flat = ops.reshape(run.chunked, (batch, num_chunks, length * num_inputs))
    before = ops.reshape(run.before, (batch, num_chunks, num_banks * num_poles))
    inherited = ops.swapaxes(before, 1, 2) @ ops.conj(flat)
    shape = (batch, num_banks, num_poles, length, num_inputs)
    inherited = ops.reshape(inherited, shape)
    powers = run.bank.powers(length, first=0)
    if run.bank.diagonal:
        moved = ops.sum(inherited * ops.swapaxes(powers, 0, 1)[..., None], axis=3)
    else:
        rows = ops.reshape(ops.transpose(powers, (2, 1, 0)), (num_poles, num_poles * length))
        moved = rows @ ops.reshape(inherited, (batch, num_banks, num_poles * length, num_inputs))
    pairs = ops.swapaxes(flat, 1, 2) @ ops.conj(flat)
    pairs = ops.reshape(pairs, (batch, length, num_inputs, length, num_inputs))
    width = num_inputs // num_banks
    pairs = ops.reshape(
        ops.transpose(pairs, (0, 2, 1, 3, 4)),
        (batch, num_banks, width * length * length, num_inputs),
    )
    own = _strict_response(run.gain) @ pairs
    return ops.conj(ops.reshape(moved + own, (batch, num_banks * num_poles, num_inputs)))


def _strict_response(gain: Tensor) -> Tensor:
    """What input sample j leaves in the state before sample i: ``[K, I L L]``, index (I, j, i)."""
    length, width, num_poles = gain.shape
    response = chunks.toeplitz(ops.reshape(gain, (length, width * num_poles)))
    later = ops.concatenate([ops.zeros_like(response[:, :1]), response[:, :-1]], axis=1)
    later = ops.reshape(later, (length, length, width, num_poles))
    return ops.reshape(ops.transpose(later, (3, 2, 0, 1)), (num_poles, width * length * length))


def _moved(bank: FixedBank, x: Tensor, exponent: int = 1) -> Tensor:
    """``conj(A)^exponent x`` with A acting on each bank of the features, x ``[B, F, X]``."""
    batch, num_features, width = ops.shape(x)
    power = bank.power(exponent)
    banks = ops.reshape(x, (batch, -1, bank.num_poles, width))
    if bank.diagonal:
        moved = ops.conj(power)[0, 0, :, None] * banks
    else:
        moved = _backend.adjoint(power) @ banks
    return ops.reshape(moved, (batch, num_features, width))


def _moved_both(bank: FixedBank, x: Tensor, exponent: int = 1) -> Tensor:
    """``conj(A)^exponent x (A^T)^exponent`` for Hermitian x ``[B, F, F]``."""
    return _moved(bank, _backend.adjoint(_moved(bank, x, exponent)), exponent)


def _stein(bank: FixedBank, h: Tensor) -> Tensor:
    """``G = conj(A) G A^T + h``: the series ``sum_n conj(A)^n h (A^T)^n``, doubled each time."""
    for j in range(bank.num_doublings()):
        h = h + _moved_both(bank, h, 2**j)
    return h
