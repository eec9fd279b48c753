"""States of a bank, and what its output and its Gram matrix start from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles import validate
from . import chunks, realization
from .bank import FixedBank, TrainableBank, make_bank
from .carry import carry, carry_mixed


class Run(NamedTuple):
    """A bank driven by a signal: what :func:`states`, :func:`output` and ``gram`` start from."""

    bank: FixedBank | TrainableBank
    gain: Tensor
    chunked: Tensor
    drive: Tensor
    before: Tensor


def states(
    u: Tensor,
    poles: Any,
    *,
    input_weights: Any = None,
    basis: str = "parallel",
    initial_state: Tensor | None = None,
    return_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""The features of a bank of one-pole filters at every sample.

    .. math:: s_k[n] = p_k s_k[n-1] + u[n] \quad \text{or} \quad
              s_k[n] = p_k s_k[n-1] + \textstyle\sum_i W_{ki} u_i[n]

    in the parallel basis. The orthonormal (Takenaka-Malmquist) basis spans the same space and is
    white for a white input: ``v_0 = u``, feature k is ``v_(k-1)`` through
    ``sqrt(1 - |p_k|^2) / (1 - p_k z^-1)``, and ``v_k`` is ``v_(k-1)`` through the all-pass
    ``(z^-1 - conj(p_k)) / (1 - p_k z^-1)``.

    Args:
        u: complex ``[B, T, N]``.
        poles: array ``[K]``, ``|p| < 1``; or a complex tensor ``[K]`` or ``[B, K]`` (one bank a
            slot), which is differentiated through and not checked.
        input_weights: ``[K, N]``, array or tensor, or a tensor ``[B, K, N]``: all inputs drive one
            bank, F = K. None: every input drives a bank of its own, F = N K, feature ``n K + k``.
        basis: ``"parallel"`` or ``"orthonormal"``, the latter for array poles without
            ``input_weights``.
        initial_state: ``[B, F]``, the features one sample before ``u``; zero if None.
        return_state: also return the features at the last sample.

    Returns:
        ``[B, T, F]`` in the dtype of ``u``; with ``return_state`` also ``[B, F]``.

    Raises:
        TypeError: if ``u`` is not complex.
        ValueError: if a shape does not fit, a pole array has ``|p| >= 1``, or ``basis`` is unknown.

    Notes:
        A compiled loop over the samples; in the orthonormal basis, and on backends without one,
        chunks of 8 to 64 samples, each one matrix product, and a loop from chunk to chunk. T may
        be unknown in a graph. Same as ``scipy.signal.lfilter([1], [1, -p], u)``.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 0, 0], dtype="complex128").reshape(1, 3, 1)
        >>> s = states(u, [0.5, 0.5j])
        >>> [complex(v) for v in s[0, :, 1]]
        [(1+0j), 0.5j, (-0.25+0j)]
    """
    u = _backend.require_complex(u, "u", "B", "T", "N")
    if _backend.LOOPS_ARE_COMPILED and basis == "parallel":
        result = _sample_by_sample(u, poles, input_weights, initial_state)
    else:
        run = start(u, poles, input_weights, basis, initial_state)
        inside = chunks.inside(run.drive, run.gain, run.before, run.bank)
        result = chunks.join(inside, ops.shape(u)[1])
    return (result, result[:, -1]) if return_state else result


def impulse_response(poles: Any, num_samples: int, *, basis: str = "parallel") -> np.ndarray:
    """The features after a unit impulse, ``p_k^n`` in the parallel basis.

    Args:
        poles: ``[K]``, ``|p| < 1``.
        num_samples: length, >= 1.
        basis: ``"parallel"`` or ``"orthonormal"``.

    Returns:
        NumPy complex128 ``[num_samples, K]``.

    Raises:
        ValueError: if a pole has ``|p| >= 1``, ``num_samples < 1`` or ``basis`` is unknown.

    Example:
        >>> impulse_response([0.5], 3).real.tolist()
        [[1.0], [0.5], [0.25]]
    """
    realization.check_basis(basis)
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    poles = tuple(validate(poles).tolist())
    return realization.impulses(poles, basis, num_samples).copy()


def start(
    u: Tensor,
    poles: Any,
    input_weights: Any,
    basis: str,
    initial_state: Tensor | None,
    length: int | None = None,
    num_values: int | None = None,
) -> Run:
    """Cut the signal into chunks and carry the state from one to the next.

    Args:
        u, poles, input_weights, basis, initial_state: as in :func:`states`.
        length: of a chunk; None: what suits the sizes, as far as they are static.
        num_values: what the length is to suit, see ``chunk_length``; None: the states.
    """
    dtype = _backend.dtype(u)
    bank = make_bank(poles, basis, dtype)
    num_inputs = u.shape[-1]
    weights = _check_input_weights(input_weights, bank, num_inputs, dtype)
    num_banks, width = (num_inputs, 1) if weights is None else (1, num_inputs)
    initial = _check_initial(initial_state, u, num_banks, bank.num_poles)
    if length is None:
        num_values = bank.num_poles if num_values is None else num_values
        length = chunks.chunk_length(
            u.shape[1], bank.num_poles, width, num_values, diagonal=bank.diagonal
        )
    gain = chunks.gains(bank, length, weights)
    chunked = chunks.split(u, length)
    drive = chunks.drives(chunked, weights)
    before, _ = chunks.hand_on(chunks.chunk_ends(drive, gain), bank, length, initial)
    return Run(bank, gain, chunked, drive, before)


def _sample_by_sample(u: Tensor, poles: Any, input_weights: Any, initial_state: Any) -> Tensor:
    """States ``[B, T, F]`` in the parallel basis."""
    dtype = _backend.dtype(u)
    bank = make_bank(poles, "parallel", dtype)
    weights = _check_input_weights(input_weights, bank, u.shape[-1], dtype)
    num_banks = u.shape[-1] if weights is None else 1
    initial = _check_initial(initial_state, u, num_banks, bank.num_poles)
    if weights is None:
        result = carry(u[..., None], bank.power(1), initial)
    else:
        weights = weights[None] if len(weights.shape) == 2 else weights
        result = carry_mixed(u, ops.swapaxes(weights, 1, 2), bank.power(1)[:, 0], initial[:, 0])
    return ops.reshape(result, (*ops.shape(u)[:2], num_banks * bank.num_poles))


def last_state(run: Run, num_samples: Any) -> Tensor:
    """The features at the last sample, ``[B, F]``, from the last chunk alone."""
    batch, num_chunks, length, _ = ops.shape(run.chunked)
    num_banks, num_poles = run.before.shape[-2:]
    chunk = chunks.inside(run.drive[:, -1:], run.gain, run.before[:, -1:], run.bank)
    state = chunk[:, 0, num_samples - 1 - (num_chunks - 1) * length]
    return ops.reshape(state, (batch, num_banks * num_poles))


def _check_input_weights(weights: Any, bank: Any, num_inputs: int, dtype: str) -> Tensor | None:
    if weights is None:
        return None
    if not bank.diagonal:
        raise ValueError("input_weights need basis 'parallel': a cascade has one input a bank")
    if not _backend.is_tensor(weights):
        weights = _backend.constant(np.asarray(weights), dtype)
    batch = ("B",) if len(weights.shape) == 3 else ()
    weights = _backend.require_complex(weights, "input_weights", *batch, bank.num_poles, num_inputs)
    return ops.cast(weights, dtype)


def _check_initial(state: Tensor | None, u: Tensor, num_banks: int, num_poles: int) -> Tensor:
    batch = ops.shape(u)[0]
    if state is None:
        return ops.zeros((batch, num_banks, num_poles), dtype=_backend.dtype(u))
    state = _backend.require_complex(
        state, "initial_state", u.shape[0] or "B", num_banks * num_poles
    )
    return ops.reshape(ops.cast(state, _backend.dtype(u)), (batch, num_banks, num_poles))
