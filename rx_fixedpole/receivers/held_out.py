r"""What a channel estimate would have been on a pilot without that pilot.

A posterior mean is linear in the pilots at fixed prior powers, and its error variance is its hat
matrix: with one stream heard on a pilot, :math:`\mathrm{err}\,|x|^2 / N_0` is the leverage
:math:`\lambda` of that pilot. So without it the estimate there is

.. math:: h_{-p} = h - \frac{\mathrm{err}\; x^*}{N_0} \frac{e}{1 - \lambda}, \qquad
          e = y - h x, \qquad \mathrm{err}_{-p} = \frac{\mathrm{err}}{1 - \lambda}

in which the true noise may be anything: the leverage is a property of the fit. The symbol that an
equalizer of :math:`h_{-p}` finds on the pilot is then as good as one on data.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# A pilot that an estimate hangs on to this degree tells nothing of its error.
LARGEST_LEVERAGE = 0.95


class HeldOut:
    """Leave-one-out channel estimates on the pilots of one grid.

    Args:
        places: positions ``symbol * num_subcarriers + subcarrier`` of the pilots among the
            occupied resource elements, int ``[P]``.
        sent: what the streams send there, complex128 ``[P, streams]``.
        num_elements: number of occupied resource elements.
    """

    def __init__(self, places: np.ndarray, sent: np.ndarray, num_elements: int) -> None:
        self.places, self._sent = places, sent
        # Place of each element in the estimates followed by those on the pilots
        self._merged = np.arange(num_elements)
        self._merged[places] = num_elements + np.arange(len(places))

    def leverage(self, err_var: Tensor) -> Tensor:
        """Of each pilot, real ``[N, P]``, for error variances ``[N, streams, M, K]``."""
        power = _backend.constant(np.abs(self._sent.T) ** 2, _backend.dtype(err_var))
        return ops.sum(self.on_pilots(err_var) * power, axis=1)

    def residual(self, y: Tensor, h: Tensor) -> Tensor:
        """What a channel leaves of the samples on the pilots, ``[N, A, P]``, arguments as below."""
        sent = _backend.constant(self._sent.T, _backend.dtype(h))
        return self.on_pilots(y) - ops.sum(self.on_pilots(h) * sent, axis=2)

    def __call__(self, y: Tensor, h: Tensor, err_var: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate and error variance, on pilots those of all other pilots.

        Args:
            y: samples in units of the thermal noise's standard deviation, complex
                ``[N, A, M, K]``.
            h: channel likewise, ``[N, A, streams, M, K]``.
            err_var: its error variance, real ``[N, streams, M, K]``.

        Returns:
            In the shapes of ``h`` and ``err_var``.
        """
        dtype, real = _backend.dtype(h), _backend.dtype(err_var)
        sent = _backend.constant(self._sent.T, dtype)
        at, err = self.on_pilots(h), self.on_pilots(err_var)
        error = self.residual(y, h)
        leverage = err * _backend.constant(np.abs(self._sent.T) ** 2, real)
        slack = _backend.at_least(1.0 - ops.sum(leverage, axis=1), 1.0 - LARGEST_LEVERAGE)
        step = ops.cast(err / slack[:, None], dtype) * ops.conj(sent)
        at = at - step[:, None] * error[:, :, None]
        # On the pilot itself, the other streams' errors are not lessened by it
        err = err * (1.0 + leverage / slack[:, None])
        return self._replaced(h, at), self._replaced(err_var, err)

    def on_pilots(self, values: Tensor) -> Tensor:
        """Values ``[..., M, K]`` on the pilots, ``[..., P]``."""
        return ops.take(_flat(values), self.places, axis=-1)

    def _replaced(self, values: Tensor, on_pilots: Tensor) -> Tensor:
        both = ops.concatenate([_flat(values), on_pilots], axis=-1)
        return ops.reshape(ops.take(both, self._merged, axis=-1), (-1, *values.shape[1:]))


def _flat(values: Tensor) -> Tensor:
    return ops.reshape(values, (-1, *values.shape[1:-2], values.shape[-2] * values.shape[-1]))
