"""The fixed-pole channel estimator before LMMSE detection."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from rx_fixedpole.receivers import FixedPoleChannelEstimator
from sims.link import Link, Slots
from sims.receivers.base import POSITIVE
from sims.receivers.detection import Estimator, lmmse_receiver


def fixed_pole_lmmse(
    link: Link,
    *,
    taps: bool = True,
    spacing: POSITIVE = 0.5,
    time_correlation: bool = True,
    doppler_shift: bool = True,
    array_prior: bool = False,
    estimate_noise: bool = False,
) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole channel estimate, then LMMSE detection, see `FixedPoleChannelEstimator`.

    Args:
        link: the link to receive on.
        taps: whether it is told the first and last tap of the simulated channel.
        spacing: distance of the poles in samples.
        time_correlation: whether channels may move.
        doppler_shift: whether a common turn from symbol to symbol is removed.
        array_prior: whether beams have powers.
        estimate_noise: whether the noise variance is estimated too.

    Returns:
        (slots) -> llr.
    """
    block = fixed_pole_block(
        link,
        taps=taps,
        spacing=spacing,
        time_correlation=time_correlation,
        doppler_shift=doppler_shift,
        array_prior=array_prior,
        estimate_noise=estimate_noise,
    )
    return lmmse_receiver(link, _of_slots(block))


def fixed_pole_estimator(link: Link) -> Estimator:
    """The estimator with its defaults, told the taps, as (slots) -> h_hat, err_var."""
    return _of_slots(fixed_pole_block(link))


def fixed_pole_block(
    link: Link,
    *,
    taps: bool = True,
    spacing: float = 0.5,
    time_correlation: bool = True,
    doppler_shift: bool = True,
    array_prior: bool = False,
    estimate_noise: bool = False,
) -> FixedPoleChannelEstimator:
    """The estimator itself; options as the Block has them."""
    return FixedPoleChannelEstimator(
        link.resource_grid,
        l_min=link.l_min if taps else None,
        l_max=link.l_max if taps else None,
        spacing=spacing,
        time_correlation=time_correlation,
        doppler_shift=doppler_shift,
        array_prior=array_prior,
        estimate_noise=estimate_noise,
        precision=link.precision,
    )


def _of_slots(block: FixedPoleChannelEstimator) -> Estimator:
    estimate = tf.function(block)
    return lambda slots: estimate(slots.y, slots.no)
