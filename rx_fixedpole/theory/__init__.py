"""The statements behind fixed poles as functions: why learning poles is hard (NumPy and SciPy).

A bank of K poles with gains has the impulse response :math:`h[n] = \\sum_k b_k \\beta_k^n`. To
learn it is to minimise the squared error between two such responses, here over all time in closed
form, for any K, any gains and complex poles, after arXiv:2602.21454:

==========================  ====================================================================
Lemma 3.1                   :func:`vandermonde`, :func:`vandermonde_rank`
Theorem 3.2                 :func:`identify`, :func:`impulse_response`
Lemma 3.3, Corollary 3.4    :func:`loss`, :func:`segment_loss`
Lemma 3.5 and after         :func:`hessian`, :func:`full_hessian`, :func:`condition_number`,
                            :func:`coalescence_constant`
==========================  ====================================================================

:func:`gradient` is what a gradient method follows.

>>> round(condition_number([0.79, 0.8]), 4), round(condition_number([0.799, 0.8]), 2)
(1783.5625, 170818.47)
"""

from __future__ import annotations

from rx_fixedpole.theory.curvature import (
    coalescence_constant,
    condition_number,
    full_hessian,
    hessian,
)
from rx_fixedpole.theory.identification import (
    identify,
    impulse_response,
    vandermonde,
    vandermonde_rank,
)
from rx_fixedpole.theory.landscape import gradient, loss, segment_loss

__all__ = [
    "coalescence_constant",
    "condition_number",
    "full_hessian",
    "gradient",
    "hessian",
    "identify",
    "impulse_response",
    "loss",
    "segment_loss",
    "vandermonde",
    "vandermonde_rank",
]
