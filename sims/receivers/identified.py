"""The Wiener equalizer of an identified channel as a receiver of the laboratory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from sionna.phy.ofdm import LSChannelEstimator

from rx_fixedpole.receivers import WienerEqualizer
from sims.link import Link, Slots
from sims.receivers.base import COUNT, Options
from sims.receivers.delay_limited import delay_limited_estimator
from sims.receivers.estimated import fixed_pole_block
from sims.receivers.interpolated import orthogonal_pilots
from sims.scenario import Scenario

EstimatorName = Literal["fixed_pole", "delay_limited", "ls_lin", "ls_lin_time_avg"]


def fits_the_symbol(scenario: Scenario, options: Options) -> str | None:
    """Refuse a filter longer than an OFDM symbol, and pilots that the estimator cannot tell."""
    window = options["window"]
    if window is not None and window > scenario.fft_size:
        return f"needs a window of at most fft_size = {scenario.fft_size}, got {window}"
    if options["estimator"] in ("fixed_pole", "delay_limited"):
        return None
    return orthogonal_pilots(scenario, {})


def wiener(
    link: Link,
    *,
    estimator: EstimatorName = "fixed_pole",
    window: COUNT | None = None,
    delay: int | None = None,
    num_filters: COUNT | None = None,
) -> Callable[[Slots], tf.Tensor]:
    """Wiener equalizer in time, see `rx_fixedpole.WienerEqualizer`.

    Args:
        link: the link to receive on.
        estimator: what identifies the channel; the first two are told its lags by the scenario.
        window: filter length in samples an antenna; None: 64, at most half of the subcarriers.
        delay: decision delay in samples; None: half the window.
        num_filters: filters a slot; None: 5 with pilots on two symbols, else 1.

    Returns:
        (slots) -> llr.
    """
    equalizer = WienerEqualizer(
        link.resource_grid,
        link.stream_management,
        estimator=grid_estimator(link, estimator),
        window=window,
        delay=delay,
        l_min=link.l_min,
        num_filters=num_filters,
        precision=link.precision,
    )
    return lambda slots: link.demap(*equalizer(slots.y_time, slots.no))


def grid_estimator(
    link: Link, name: EstimatorName
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """An estimator of the laboratory as Sionna's blocks have it: (y, no [B, 1, A])."""
    if name == "fixed_pole":
        return fixed_pole_block(link)
    if name == "delay_limited":
        delay_limited = delay_limited_estimator(link)

        def estimate(y: tf.Tensor, no: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # It reads the grid and the noise variance alone, to which its error is proportional.
            slots = Slots(y, y, y, y, y=y, no=tf.ones([], no.dtype), h_time=y)
            h_hat, gain = delay_limited(slots)
            return h_hat, no[..., None, None, None, None] * gain

        return estimate
    interpolation = "lin" if name == "ls_lin" else "lin_time_avg"
    return LSChannelEstimator(
        link.resource_grid, interpolation_type=interpolation, precision=link.precision
    )
