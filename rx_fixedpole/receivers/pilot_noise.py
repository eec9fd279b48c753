r"""What noise the pilots of a slot show, beside thermal noise, once a channel is fitted to them.

An estimate of leverage :math:`\lambda` at a pilot leaves a residual e there, and of noise of unit
variance ``1 - lambda``: ``|e|^2 + lambda`` is on average the noise's variance. As the leverage
approaches one this says nothing any more: interference has then been taken for a channel of as
many delays as there are pilots. A witness that can hardly do so is a fit of a few delays
(:class:`.delay_model.DelayModel`). Its word counts where the estimate is in doubt,

.. math:: d = \min\big(1, \max(0, 2 \bar\lambda - 1)\big),

not elsewhere, as channels may be longer than its delays are.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# Standard deviations by which the noise on the pilots must exceed the thermal one for a slot to
# be equalized in time: an estimate that leaves nothing else cannot be improved upon.
EXCESS = 2.0


def shown(
    error: Tensor, held_out: Tensor, leverage: Tensor, residuals: Tensor, slack: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether there is more than thermal noise, and what the estimate's own errors conceal.

    Args:
        error: residuals of the estimate in units of the thermal noise, complex ``[N, A, P]``.
        held_out: those of the estimates without each pilot.
        leverage: of the pilots in the estimate, real ``[N, P]``.
        residuals, slack: of the fit of few delays, ``[N, A, P]`` and ``[N, P]``.

    Returns:
        Bool ``[N]``, and real ``[N]``: the factor, at least one, by which the power of errors on
        pilots that the estimate has not seen is taken to be larger.
    """
    edge = float(1.0 + EXCESS / np.sqrt(error.shape[1] * error.shape[2]))
    own = ops.mean(_backend.power(error), axis=(1, 2)) + ops.mean(leverage, axis=1)
    doubt = ops.clip(2.0 * ops.mean(leverage, axis=1) - 1.0, 0.0, 1.0)
    power = ops.mean(_backend.power(residuals), axis=1)
    told = ops.mean(power / slack, axis=1) > edge
    excess = ops.logical_or(own > edge, ops.logical_and(doubt > 0.0, told))
    mine = _backend.at_least(ops.mean(_backend.power(held_out), axis=(1, 2)), 1e-20)
    ratio = ops.mean(power / ops.square(slack), axis=1) / mine
    return excess, 1.0 + doubt * _backend.at_least(ratio - 1.0, 0.0)
