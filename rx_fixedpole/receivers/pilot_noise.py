r"""What noise the pilots of a slot show, beside thermal noise, once a channel is fitted to them.

An estimate of leverage :math:`\lambda` at a pilot leaves a residual e there, and of noise of unit
variance ``1 - lambda``. As the leverage grows this says less and less: powers of delays that are
learnt from the pilots take interference for a channel of as many delays as there are pilots. A
witness that can hardly do so is a fit of a few delays (:class:`.delay_model.DelayModel`). Its
word counts where the estimate is in doubt,

.. math:: d = \min\big(1, \max(0, 3 \bar\lambda - 1)\big),

not elsewhere, as channels may be longer than its delays are.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .held_out import LARGEST_LEVERAGE

# Standard deviations by which the noise on the pilots must exceed the thermal one for a slot to
# be equalized in time: an estimate that leaves nothing else cannot be improved upon.
EXCESS = 2.0


def shown(
    error: Tensor, leverage: Tensor, residuals: Tensor, slack: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether there is more than thermal noise, and what the estimate's own errors conceal.

    Args:
        error: residuals of the estimate in units of the thermal noise, complex ``[N, A, P]``.
        leverage: of the pilots in the estimate, real ``[N, P]``.
        residuals, slack: of the fit of few delays, ``[N, A, P]`` and ``[N, P]``.

    Returns:
        Bool ``[N]``, and real ``[N]``: noise by the witness over noise by the estimate, at least
        one, by which the power of errors on pilots that it has not seen is larger.
    """
    edge = float(1.0 + EXCESS / np.sqrt(error.shape[1] * error.shape[2]))
    own = ops.mean(_backend.power(error), axis=(1, 2)) + ops.mean(leverage, axis=1)
    doubt = ops.clip(3.0 * ops.mean(leverage, axis=1) - 1.0, 0.0, 1.0)
    power = ops.mean(_backend.power(residuals), axis=1)
    told = ops.mean(power / slack, axis=1)
    excess = ops.logical_or(own > edge, ops.logical_and(doubt > 0.0, told > edge))
    free = _backend.at_least(1.0 - leverage, 1.0 - LARGEST_LEVERAGE)
    mine = ops.mean(ops.mean(_backend.power(error), axis=1) / free, axis=1)
    ratio = told / _backend.at_least(mine, 1e-20)
    return excess, 1.0 + doubt * _backend.at_least(ratio - 1.0, 0.0)
