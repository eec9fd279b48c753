r"""What a channel estimate would have been on a pilot symbol without the pilots of that symbol.

With the functions of time :math:`v_q` orthonormal on the pilot symbols and as many of them, the
coefficients of symbol m are :math:`c_m = \sum_q v_q(m)\, c_q`, and the symbol has seen them as
:math:`z_m = \sum_q v_q(m)\, z_q`. Their posterior is the product of what that symbol tells and of
what the prior and all other symbols tell, so that the latter is a division away:

.. math:: T_m = \sum_q v_q^2(m)\, \Sigma_q, \qquad T_{-m} = (T_m^{-1} - G / N_0)^{-1}, \qquad
          c_{-m} = T_{-m} (T_m^{-1} c_m - z_m / N_0)

which is exact at fixed prior powers, with two factors of as many rows as delays carry energy.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .doppler import DopplerTable
from .evidence import Posterior, Prior
from .pole_model import PoleModel


class WithoutSymbol:
    """Posteriors of the coefficients of every pilot symbol, given all others.

    Args:
        model: what pilots see.
        table: functions of time.
    """

    def __init__(self, model: PoleModel, table: DopplerTable) -> None:
        num_symbols, num_functions = table.functions.shape
        num_streams = int(model.stream.max()) + 1
        blocks, size = model.real.shape
        self.possible = (
            num_symbols == num_functions and size == 1 and blocks == num_streams * num_functions
        )
        if not self.possible:
            return
        order = np.zeros((num_streams, num_functions), int)
        order[model.stream[:, 0], model.function[:, 0]] = np.arange(blocks)
        gram = model.gram[model.kind[order]]
        self.possible = np.allclose(gram, gram[:, :1], rtol=0, atol=1e-9 * np.max(np.abs(gram)))
        # Block (s, m) of the results comes from the blocks (s, q) of the functions
        self._mixing = np.zeros((blocks, blocks))
        streams, functions = np.arange(num_streams)[:, None, None], np.arange(num_functions)
        row, column = order[streams, functions[:, None]], order[streams, functions]
        self._mixing[row, column] = table.functions
        self._kind, self._example = model.kind, model.example
        self._squares = np.zeros((len(model.example),) * 2)
        for c, j in enumerate(model.example):
            own = model.kind[order[model.stream[j, 0]]]
            self._squares[c, own] = table.functions[model.function[j, 0]] ** 2
        self._user = model.user[:, 0]

    def __call__(
        self, z: Tensor, gram: Tensor, posterior: Posterior, prior: Prior, no: Tensor
    ) -> tuple[Tensor, Posterior]:
        """Coefficients with pilot symbols in the place of functions, and their posterior.

        Args:
            z: matched outputs of the chosen delays, complex128 ``[B, A, J, 1, k]``.
            gram, posterior, prior, no: what the estimate came from, one beam.

        Returns:
            Complex128 ``[B, A, J, 1, k]``, and the posterior of them.
        """
        scale = ops.sqrt(prior.delays)
        silent = ops.cast(scale <= 0.0, "float64")
        scale, silent = (ops.take(x, self._user, axis=1) for x in (scale, silent))  # [B, J, k]
        unscale = ops.cast((1.0 - silent) / (scale + silent), "complex128")
        scale, silent = (ops.cast(x, "complex128") for x in (scale, silent))
        no = ops.cast(ops.reshape(no, (-1, 1, 1)), "complex128")

        def of_kinds(x: Tensor) -> Tensor:
            return ops.take(x, self._example, axis=1)

        # All in units of the prior's roots, in which silent delays stand apart with unit variance
        root = posterior.root[:, 0] * of_kinds(unscale)[..., None, :]
        identity = _backend.constant(np.eye(root.shape[-1]), "complex128")
        known = _backend.adjoint_product(root, root)
        known = _mixed(self._squares, known) + of_kinds(silent)[..., None] * identity
        root = _backend.inverse_factor(known)
        inverse = _backend.adjoint_product(root, root)
        own = of_kinds(scale)[..., :, None] * gram * of_kinds(scale)[..., None, :] / no[..., None]
        root = _backend.inverse_factor(inverse - own)

        def of_blocks(x: Tensor) -> Tensor:
            return ops.take(x, self._kind, axis=1)

        mean = ops.transpose(posterior.mean[:, 0, :, 0], (0, 1, 3, 2))  # [B, J, A, k]
        z = ops.transpose(z[:, :, :, 0], (0, 2, 1, 3))
        mean, z = (_mixed(self._mixing, x) for x in (mean, z))
        mean = _row(mean * unscale[:, :, None], of_blocks(inverse))
        mean = mean - z * (scale / no)[:, :, None]
        factor = of_blocks(root)
        mean = _row(mean, _backend.adjoint_product(factor, factor)) * scale[:, :, None]
        root = root * of_kinds(scale)[..., None, :]
        posterior = posterior._replace(root=root[:, None])
        return ops.transpose(mean, (0, 2, 1, 3))[:, :, :, None], posterior


def _row(x: Tensor, matrix: Tensor) -> Tensor:
    """``matrix @ v`` for vectors ``v`` that are the rows of ``x``."""
    return x @ ops.swapaxes(matrix, -1, -2)


def _mixed(weights: np.ndarray, x: Tensor) -> Tensor:
    """Weighted sums ``[J', J]`` over the second axis of ``[B, J, n, k]``."""
    flat = ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))
    mixed = _backend.constant(weights, "complex128") @ flat
    return ops.reshape(mixed, (-1, weights.shape[0], *x.shape[2:]))
