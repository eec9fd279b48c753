"""The Gram matrix of the features from its displacement structure, without the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from .bank import FixedBank, moved
from .edges import states_at
from .forward import Run, start
from .moment import Windows, cross_moment
from .stein import stein
from .within import check_windows


def gram(
    u: Tensor,
    poles: Any,
    *,
    windows: Sequence[tuple[int, int]] | None = None,
    targets: Tensor | None = None,
    input_weights: Any = None,
    basis: str = "parallel",
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Gram matrix of the features over some windows of samples, and their moment with targets.

    .. math:: G = \sum_n \overline{s[n]} s[n]^T, \qquad m = \sum_n \overline{s[n]} t[n]^T

    With ``s[n] = A s[n-1] + B u[n]`` it solves ``G - conj(A) G A^T = H``, where H holds the states
    at the windows' ends, ``sum conj(s[n]) u[n]^T`` and ``sum conj(u[n]) u[n]^T`` alone: a division
    in the parallel basis, a few squarings of A in the orthonormal one.

    Args:
        u: complex ``[B, T, N]``.
        poles: array ``[K]``, ``|p| < 1``.
        windows: pairs ``(start, stop)`` of samples with ``0 <= start < stop <= T``, ascending, no
            two overlapping; the whole signal if None. The bank starts at sample 0, at rest, and
            goes on between windows.
        targets: complex ``[B, P, S]``, P the sum of the windows' lengths.
        input_weights: array ``[K, N]``, as in ``states``.
        basis: ``"parallel"`` or ``"orthonormal"``.

    Returns:
        Hermitian ``[B, F, F]``, complex128 whatever the dtype of ``u``: that is what a Cholesky
        factorisation needs. With ``targets`` also the moment, complex128 ``[B, F, S]``.

    Raises:
        TypeError: if ``u`` or ``targets`` is not complex, ``poles`` is a tensor, or an end of a
            window is no integer.
        ValueError: as ``states`` and ``states_within``, and if ``input_weights`` or ``targets`` has
            another shape.

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
    u = u[:, : windows[-1][1]]
    run = start(u, poles, input_weights, basis, None)
    bank, spread = _check_bank(run, input_weights), _input_matrix(run)
    num_inputs = u.shape[-1]
    inside = ops.concatenate([u[:, first:end] for first, end in windows], axis=1)
    moments = cross_moment(run, _with_targets(inside, targets), windows)
    driven = ops.conj(spread) @ (_backend.adjoint(inside) @ inside)
    # conj(B u[n]) u[n]^T B^T is in each of mixed and its adjoint, and counts once.
    mixed = (moments[..., :num_inputs] - 0.5 * driven) @ ops.swapaxes(spread, -1, -2)
    result = stein(bank, _ends(run, bank, windows) + mixed + _backend.adjoint(mixed))
    return result if targets is None else (result, moments[..., num_inputs:])


def _ends(run: Run, bank: FixedBank, windows: Windows) -> Tensor:
    """What sums over ``n - 1`` have more than sums over n, moved on: ``[B, F, F]``.

    That is the states before each window less those at its last sample.
    """
    edges = [(edge, sign) for pair in windows for edge, sign in zip(pair, (1, -1), strict=True)]
    edges = [(edge, sign) for edge, sign in edges if edge > 0]  # at rest before sample 0
    signs = _backend.constant(np.array([sign for _, sign in edges]), "complex128")
    states = moved(bank, _backend.adjoint(states_at(run, [edge - 1 for edge, _ in edges])))
    return (states * signs) @ _backend.adjoint(states)


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
