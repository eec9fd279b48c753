"""The Gram matrix of the features from its displacement structure, without the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles.checks import whole
from .bank import FixedBank, moved
from .edges import states_at
from .forward import Run, start
from .lags import lag_gram, lag_moments, lines_within, shifted
from .moment import Windows, cross_moment
from .stein import stein
from .within import check_windows


def gram(
    u: Tensor,
    poles: Any,
    *,
    windows: Sequence[tuple[int, int]] | None = None,
    window: int = 0,
    targets: Tensor | None = None,
    input_weights: Any = None,
    basis: str = "parallel",
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Gram matrix of the features over some windows of samples, and their moment with targets.

    .. math:: G = \sum_n \overline{f[n]} f[n]^T, \qquad m = \sum_n \overline{f[n]} t[n]^T

    with f the states s and, behind them, the last samples of every input: the features of
    ``FixedPoleRNN``. With ``s[n] = A s[n-1] + B u[n]`` the states' part solves
    ``G - conj(A) G A^T = H``, where H holds the states at the windows' ends,
    ``sum conj(s[n]) u[n]^T`` and ``sum conj(u[n]) u[n]^T`` alone: a division in the parallel basis,
    a few squarings of A in the orthonormal one.

    Args:
        u: complex ``[B, T, N]``.
        poles: array ``[K]``, ``|p| < 1``.
        windows: pairs ``(start, stop)`` of samples with ``0 <= start < stop <= T``, ascending, no
            two overlapping; the whole signal if None. Bank and delay line start at sample 0, at
            rest, and go on between windows.
        window: number of lags of a delay line behind the states, >= 0, as in ``FixedPoleRNN``.
        targets: complex ``[B, P, S]``, P the sum of the windows' lengths.
        input_weights: array ``[K, N]``, as in ``states``.
        basis: ``"parallel"`` or ``"orthonormal"``.

    Returns:
        Hermitian ``[B, F, F]``, complex128 whatever the dtype of ``u``: that is what a Cholesky
        factorisation needs. F = N K (feature ``n K + k``) or, with ``input_weights``, K; then N
        window lags, ``n window + w``. With ``targets`` also the moment, complex128 ``[B, F, S]``.

    Raises:
        TypeError: if ``u`` or ``targets`` is not complex, ``poles`` is a tensor, or ``window`` or
            an end of a window is no integer.
        ValueError: as ``states`` and ``states_within``, and if ``window`` is negative, or
            ``input_weights`` or ``targets`` has another shape.

    Notes:
        About ``F N`` products a sample of a window instead of ``F^2``, ``F S`` for the moment.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 0, 0], dtype="complex128").reshape(1, 3, 1)
        >>> print(complex(gram(u, [0.5])[0, 0, 0]))  # 1 + 1/4 + 1/16
        (1.3125+0j)
        >>> print(complex(gram(u, [0.5], windows=[(0, 1), (2, 3)])[0, 0, 0]))  # 1 + 1/16
        (1.0625+0j)
    """
    u = ops.cast(_backend.require_complex(u, "u", "B", "T", "N"), "complex128")
    windows = check_windows([(0, u.shape[1])] if windows is None else windows, u.shape[1])
    window = whole(window, "window", minimum=0)
    u = u[:, : windows[-1][1]]
    num_inputs, num_lags = u.shape[-1], max(1, window)
    num_values = num_inputs + (0 if targets is None else targets.shape[-1])
    run = start(u, poles, input_weights, basis, None, num_values=num_values)
    bank = _check_bank(run, input_weights)
    lines = lines_within(u, num_lags, windows)
    seen = _with_targets(lines[..., ::num_lags], targets)
    of_states = cross_moment(run, seen, windows)
    of_lines = _backend.adjoint(seen) @ lines
    own, lagged = of_states[..., :num_inputs], of_lines[:, :num_inputs]
    ends = _ends(run, bank, u, windows, num_lags)
    result = _feature_gram(bank, _input_matrix(run), own, lagged, ends, window)
    if targets is None:
        return result
    moment = of_states[..., num_inputs:]
    if window > 0:
        moment = ops.concatenate([moment, _backend.adjoint(of_lines[:, num_inputs:])], axis=1)
    return result, moment


def _ends(run: Run, bank: FixedBank, u: Tensor, windows: Windows, num_lags: int) -> Tensor:
    """What sums over ``n - 1`` have more than sums over n, moved on: ``[B, F + N W, F + N W]``.

    That is the features before each window less those at its last sample.
    """
    edges = [(edge, sign) for pair in windows for edge, sign in zip(pair, (1, -1), strict=True)]
    edges = [(edge, sign) for edge, sign in edges if edge > 0]  # at rest before sample 0
    signs = _backend.constant(np.array([sign for _, sign in edges]), "complex128")
    states = moved(bank, _backend.adjoint(states_at(run, [edge - 1 for edge, _ in edges])))
    lines = lines_within(u, num_lags, [(edge - 1, edge) for edge, _ in edges])
    lines = _backend.adjoint(shifted(lines, num_lags))
    features = ops.concatenate([states, lines], axis=1)
    return (features * signs) @ _backend.adjoint(features)


def _feature_gram(
    bank: FixedBank, spread: Tensor, own: Tensor, lagged: Tensor, ends: Tensor, window: int
) -> Tensor:
    """From ``own = sum conj(s[n]) u[n]^T``, ``lagged = sum conj(u[n]) l[n]^T`` and the ends."""
    driven = ops.conj(spread) @ lagged
    num_states = own.shape[1]
    # conj(B u[n]) u[n]^T B^T is in each of mixed and its adjoint, and counts once.
    mixed = (own - 0.5 * driven[..., :: max(1, window)]) @ ops.swapaxes(spread, -1, -2)
    mixed = mixed + _backend.adjoint(mixed)
    states = stein(bank, ends[:, :num_states, :num_states] + mixed)
    if window == 0:
        return states
    beside = lag_moments(bank, own, driven + ends[:, :num_states, num_states:])
    lines = lag_gram(lagged, ends[:, num_states:, num_states:])
    top = ops.concatenate([states, beside], axis=-1)
    bottom = ops.concatenate([_backend.adjoint(beside), lines], axis=-1)
    return ops.concatenate([top, bottom], axis=1)


def _input_matrix(run: Run) -> Tensor:
    """``B`` in ``s[n] = A s[n-1] + B u[n]``, ``[F, N]``."""
    first = run.gain[0]
    num_banks, num_poles = run.before.shape[-2:]
    if num_banks == 1:
        return ops.swapaxes(first, 0, 1)
    banks = ops.eye(num_banks, dtype="complex128")[:, None, :] * first[0][None, :, None]
    return ops.reshape(banks, (num_banks * num_poles, num_banks))


def _check_bank(run: Run, input_weights: Any) -> FixedBank:
    if not isinstance(run.bank, FixedBank):
        raise TypeError("poles must be an array, not a tensor: gram is for fixed poles")
    if len(run.gain.shape) != 3:
        raise ValueError(
            f"input_weights must have shape [K, N], got {tuple(input_weights.shape)}: gram is for "
            "one set of them"
        )
    return run.bank


def _with_targets(inputs: Tensor, targets: Tensor | None) -> Tensor:
    if targets is None:
        return inputs
    batch, num_samples, _ = inputs.shape
    targets = _backend.require_complex(targets, "targets", batch or "B", num_samples, "S")
    return ops.concatenate([inputs, ops.cast(targets, "complex128")], axis=-1)
