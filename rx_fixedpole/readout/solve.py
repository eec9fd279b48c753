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


def ridge_fit(
    features: Tensor,
    targets: Tensor,
    load: Tensor,
    prior: Tensor | None,
    row_weights: np.ndarray | None = None,
) -> RidgeFit:
    """:meth:`Ridge.fit` with rows weighted and ``load`` ``[B or 1, 1, 1 or F]`` on the diagonal."""
    out_dtype = _backend.dtype(features)
    real_dtype = _backend.REAL_OF[out_dtype]
    f = ops.cast(features, "complex128")
    error = ops.cast(targets, "complex128")
    if prior is not None:
        prior = ops.cast(check_prior(prior, f.shape[-1], error.shape[-1]), "complex128")
        error = error - f @ prior
    scaled = _backend.adjoint(f)
    if row_weights is not None:
        scaled = scaled * _backend.constant(row_weights, "complex128")
    gram = loaded(scaled @ f, load)
    solved = _backend.cholesky_solve(gram, ops.concatenate([scaled, scaled @ error], axis=-1))
    num_pilots = ops.shape(f)[1]
    shift = solved[..., num_pilots:]
    leverage = ops.real(ops.sum(ops.swapaxes(solved[..., :num_pilots], -1, -2) * f, axis=-1))
    slack = _backend.at_least(1.0 - leverage, _MIN_SLACK)
    leave_one_out = (error - f @ shift) / ops.cast(slack, "complex128")[..., None]
    return RidgeFit(
        ops.cast(shift if prior is None else prior + shift, out_dtype),
        ops.cast(leave_one_out, out_dtype),
        ops.cast(leverage, real_dtype),
        ops.cast(ops.sum(leverage, axis=-1), real_dtype),
    )
