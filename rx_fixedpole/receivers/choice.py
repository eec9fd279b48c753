r"""One measure for all equalizers, and the choice among them.

An equalizer's error on pilots that it has not seen, over the variance that it states there, tells
how far to believe it: averaged over a stream's pilots that is a factor on all its variances. What
they are worth once corrected is the rate that Gaussian symbols would have,

.. math:: \rho = \frac{1}{P} \sum_p \frac{|\hat x_p - x_p|^2}{v_p}, \qquad
          I = \frac{1}{P} \sum_p \log_2 \Big( 1 + \frac{1}{\rho\, v_p} \Big)

Fades count for little in it, as they do for a code. It is taken on pilots alone, as between them
those who know least of the channel's movement state the least error. Who detects S streams
together has no variance of one stream, but the rate of all,

.. math:: I = \frac{1}{P S} \sum_p \log_2 \det \Big( 1 + \frac{H_p^H H_p}{\rho} \Big)

with the mean of their :math:`\rho`, and H in noise of unit variance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .delay_model import known_elements
from .pilots import pilot_groups
from .small_matrices import identity_like, log_determinant

# Bounds of the factor on a stated error variance.
SMALLEST_FACTOR, LARGEST_FACTOR = 0.25, 1e6
# No rate tells errors below this from none.
_SMALLEST_POWER = 1e-20


class Candidate(NamedTuple):
    """What one equalizer makes of a slot, on data and on pilots that it has not seen."""

    x_hat: Tensor  # [B, num_tx, S, D] complex, unbiased
    no_eff: Tensor  # [B, num_tx, S, D] real, stated error variance
    power: Tensor  # [B, num_tx, S, P] real, |error|^2 on the pilots
    stated: Tensor  # [B, num_tx, S, P] real, its stated variance
    gram: Tensor | None = None  # [S, S, B, P] complex, H^H H if it can detect jointly


def factor(candidate: Candidate) -> Tensor:
    """Measured over stated error variance of every stream, ``[B, num_tx, S]``."""
    stated = _backend.at_least(candidate.stated, _SMALLEST_POWER)
    ratio = ops.mean(candidate.power / stated, axis=-1)
    # What is not a number would be clipped to the smallest factor
    ratio = ops.where(ops.isnan(ratio), LARGEST_FACTOR * ops.ones_like(ratio), ratio)
    return ops.clip(ratio, SMALLEST_FACTOR, LARGEST_FACTOR)


def joint_factor(candidate: Candidate) -> Tensor:
    """The same of all streams together, ``[B]``."""
    return ops.mean(factor(candidate), axis=(1, 2))


def rate(candidate: Candidate) -> Tensor:
    """Mean rate of a slot's streams, bits a symbol, ``[B]``.

    >>> ones = np.ones((1, 1, 1, 2))
    >>> halves = Candidate(x_hat=ones, no_eff=ones, power=ones / 3, stated=ones)
    >>> float(rate(halves)[0])  # log2(1 + 3)
    2.0
    """
    if candidate.gram is not None:
        gram = candidate.gram * _complex(1.0 / joint_factor(candidate)[:, None], candidate.gram)
        bits = log_determinant(identity_like(gram) + gram)
        return ops.mean(bits, axis=1) / (gram.shape[0] * float(np.log(2.0)))
    variance = factor(candidate)[..., None] * candidate.stated
    variance = _backend.at_least(variance, _SMALLEST_POWER)
    return ops.mean(ops.log(1.0 + 1.0 / variance), axis=(1, 2, 3)) / float(np.log(2.0))


def choose(candidates: list[Candidate], allowed: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols and corrected variances of each slot's best candidate, and its number, int ``[B]``.

    Args:
        candidates: the first one wins where two are as good.
        allowed: whether a slot may take each of them, bool ``[B]``; the first one always may.
    """
    rates = []
    for candidate, may in zip(candidates, allowed, strict=True):
        value = rate(candidate)
        # Not a number fails every comparison
        rates.append(ops.where(ops.logical_and(may, value >= 0.0), value, -ops.ones_like(value)))
    best = ops.argmax(ops.stack(rates, axis=1), axis=1)
    at = ops.reshape(best, (-1, 1, 1, 1, 1))
    x_hat = _taken([c.x_hat for c in candidates], at)
    no_eff = [c.no_eff * factor(c)[..., None] for c in candidates]
    return x_hat, _taken(no_eff, at), best


def _complex(x: Tensor, like: Tensor) -> Tensor:
    return ops.cast(x, _backend.dtype(like))


def _taken(parts: list[Tensor], at: Tensor) -> Tensor:
    stacked = ops.stack(parts, axis=1)
    at = at + ops.zeros_like(ops.cast(ops.real(stacked[:, :1]), at.dtype))
    return ops.squeeze(ops.take_along_axis(stacked, at, axis=1), axis=1)


class CommonPilots:
    """Pilots on which every stream is known.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.

    Raises:
        ValueError: if there are none.
    """

    def __init__(self, resource_grid: Any) -> None:
        self.elements, self.sent = known_elements(resource_grid)
        groups = pilot_groups(resource_grid)
        self._places = [np.searchsorted(g.elements, self.elements) for g in groups]
        self._order = np.argsort(np.concatenate([group.streams for group in groups]))

    def of_groups(self, values: list[Tensor]) -> Tensor:
        """From values ``[N, G, P]`` on each group's pilots to ``[N, streams, P]`` on these."""
        common = [
            ops.take(value, places, axis=-1)
            for value, places in zip(values, self._places, strict=True)
        ]
        return ops.take(ops.concatenate(common, axis=1), self._order, axis=1)
