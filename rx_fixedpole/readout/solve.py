"""The linear algebra under the readouts.

Gram matrices and Cholesky factors are complex128 whatever the dtype of the features: in complex64
the factorisation already fails at a relative regularisation of 1e-6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from .checks import check_prior

# Added to the diagonal relative to the trace, the size of the rounding error of forming and
# factoring the Gram matrix: linearly dependent features at no = 0 still have a Cholesky factor, and
# a well conditioned solution does not move by more than its own rounding error.
_JITTER = 16 * float(np.finfo(np.float64).eps)

# A pilot whose leverage rounds to one is fitted exactly and says nothing about the error.
_MIN_SLACK = 1e-10


class RidgeFit(NamedTuple):
    """Weights and what the pilots themselves tell about their quality."""

    weights: Tensor
    leave_one_out: Tensor
    leverage: Tensor
    dof: Tensor
    root: Tensor  # complex128 [B, F, F], R with R^H R the inverse of the loaded Gram matrix


def loading(reg: float, no: Tensor) -> Tensor:
    """``reg * no`` as float64, ``[B or 1, 1, 1]``."""
    no = no if _backend.is_tensor(no) else np.asarray(no, dtype=np.float64)
    return ops.reshape(reg * ops.cast(no, "float64"), (-1, 1, 1))


def loaded(gram: Tensor, loading: Tensor) -> Tensor:
    """``gram + (loading + jitter) I``; ``loading`` real, broadcast against ``gram``."""
    identity = ops.eye(gram.shape[-1], dtype="float64")
    trace = ops.stop_gradient(ops.sum(ops.real(gram) * identity, axis=(-2, -1), keepdims=True))
    floor = _JITTER * trace + 1e-200  # all features zero: the weights are zero, not NaN
    return gram + ops.cast((loading + floor) * identity, "complex128")


_loaded = _backend.stage(loaded)

Products = tuple[Tensor, Tensor]  # Gram matrix [B, F, F] and moment [B, F, S] of rows, complex128


class NormalEquations(NamedTuple):
    """What a regression needs of its rows, formed once for all its loadings."""

    features: Tensor  # [B, P, F], as they were given
    targets: Tensor  # [B, P, S], less what the prior explains, complex128 like what follows
    gram: Tensor  # [B, F, F]
    moment: Tensor  # [B, F, S]


def normal_equations(
    features: Tensor,
    targets: Tensor,
    prior: Tensor | None,
    row_weights: np.ndarray | None = None,
    products: Products | None = None,
) -> NormalEquations:
    """Gram matrix and moment of weighted rows, ``prior`` ``[F, S]`` or ``[B, F, S]``.

    They are ``products``, of rows that are not weighted and targets as they are given, where these
    can be had for less than the products of all features.
    """
    t = ops.cast(targets, "complex128")
    if products is not None and row_weights is None and prior is None:
        return NormalEquations(features, t, *products)
    f = ops.cast(features, "complex128")
    if prior is not None:
        t = t - f @ ops.cast(check_prior(prior, f.shape[-1], t.shape[-1]), "complex128")
    scaled = f
    if row_weights is not None:
        scaled = f * _backend.constant(row_weights[:, None], "complex128")
    gram, moment = (_backend.adjoint_product(scaled, x) for x in (f, t))
    return NormalEquations(features, t, gram, moment)


def inverse_root(gram: Tensor, load: Tensor) -> Tensor:
    """``R`` with ``R^H R = G^-1`` of the loaded Gram matrix ``[B, F, F]``."""
    return _backend.inverse_factor(_loaded(gram, load))


def weights_of(root: Tensor, moment: Tensor) -> Tensor:
    """``G^-1 moment``."""
    return _backend.adjoint_product(root, root @ moment)


def ridge_fit(
    features: Tensor,
    targets: Tensor,
    load: Tensor,
    prior: Tensor | None,
    row_weights: np.ndarray | None = None,
    equations: NormalEquations | None = None,
) -> RidgeFit:
    """:meth:`Ridge.fit` with rows weighted and ``load`` ``[B or 1, 1, 1 or F]`` on the diagonal.

    Args:
        features, targets, load, prior, row_weights: see above.
        equations: their normal equations, where they are there already.
    """
    out_dtype = _backend.dtype(features)
    real_dtype = _backend.REAL_OF[out_dtype]
    if equations is None:
        equations = normal_equations(features, targets, prior, row_weights)
    root = inverse_root(equations.gram, load)
    row_weights = np.ones(features.shape[1]) if row_weights is None else row_weights
    shift, leave_one_out, leverage = _left_out(
        features, equations.targets, equations.moment, root, ops.convert_to_tensor(row_weights)
    )
    if prior is not None:
        shift = ops.cast(prior, "complex128") + shift
    return RidgeFit(
        ops.cast(shift, out_dtype),
        ops.cast(leave_one_out, out_dtype),
        ops.cast(leverage, real_dtype),
        ops.cast(ops.sum(leverage, axis=-1), real_dtype),
        root,
    )


def leave_block_out(features: Tensor, fit: RidgeFit, rows: np.ndarray) -> Tensor:
    r"""Errors on a block of rows of the weights that all other rows give.

    .. math:: e_{-S} = (I - H_{SS})^{-1} e_S = e_S + A (I - A^H A)^{-1} A^H e_S, \qquad
              A = F_S R^H

    Args:
        features: complex ``[B, P, F]``.
        fit: of all of them, rows not weighted.
        rows: places of the block, int ``[n]``.

    Returns:
        ``[B, n, S]`` in the dtype of the features, at fixed loading.
    """
    slack = _backend.at_least(1.0 - ops.take(fit.leverage, rows, axis=1), _MIN_SLACK)
    error = ops.cast(ops.take(fit.leave_one_out, rows, axis=1), "complex128")
    error = error * ops.cast(slack, "complex128")[..., None]
    seen = ops.cast(ops.take(features, rows, axis=1), "complex128") @ _backend.adjoint(fit.root)
    left = loaded(-_backend.adjoint_product(seen, seen), 1.0 + _MIN_SLACK)
    error = error + seen @ _backend.cholesky_solve(left, _backend.adjoint_product(seen, error))
    return ops.cast(error, _backend.dtype(features))


@_backend.stage
def _left_out(
    features: Tensor, targets: Tensor, moment: Tensor, root: Tensor, row_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, and of every row the error without it and the leverage, in double precision.

    A row's leverage ``f_p G^-1 f_p^H`` is a sum of squares without cancellation, and its output is
    one the receiver will give, so the precision of the features is enough; but not where there are
    few rows, and what one minus the leverage leaves is small.
    """
    shift = weights_of(root, moment)
    dtype = _backend.dtype(features)
    if features.shape[1] is None or features.shape[1] < 2 * features.shape[2]:
        dtype = "complex128"
    both = ops.concatenate([_backend.adjoint(root), shift], axis=-1)
    seen = ops.cast(features, dtype) @ ops.cast(both, dtype)
    num_features = features.shape[2]
    squares = ops.sum(_backend.power(seen[..., :num_features]), axis=-1)
    leverage = ops.cast(squares, "float64") * row_weights
    slack = _backend.at_least(1.0 - leverage, _MIN_SLACK)
    error = targets - ops.cast(seen[..., num_features:], "complex128")
    return shift, error / ops.cast(slack, "complex128")[..., None], leverage
