"""Least squares at the pilots, then Sionna's interpolators: the field's usual baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from sionna.phy.ofdm import LMMSEInterpolator, LSChannelEstimator

from sims.link import Link, Slots
from sims.receivers.base import COUNT, Options
from sims.receivers.covariance import true_covariance
from sims.receivers.detection import Estimator, lmmse_receiver
from sims.scenario import Scenario


def orthogonal_pilots(scenario: Scenario, options: Options) -> str | None:
    """Refuse pilots of several streams on the same resource elements: division mixes them up."""
    del options
    if scenario.num_streams > 1 and scenario.pilot_pattern == "full":
        return "needs orthogonal pilots (pilot_pattern 'kronecker')"
    return None


def ls_lin(link: Link) -> Callable[[Slots], tf.Tensor]:
    """Least squares, linear interpolation along frequency and time, LMMSE detection."""
    return lmmse_receiver(link, ls_estimator(link, "lin"))


def ls_lin_time_avg(link: Link) -> Callable[[Slots], tf.Tensor]:
    """As ls_lin, averaged over the slot's pilot symbols."""
    return lmmse_receiver(link, ls_estimator(link, "lin_time_avg"))


def ls_estimator(link: Link, interpolation: Literal["lin", "lin_time_avg"]) -> Estimator:
    """Sionna's LSChannelEstimator on the link's grid."""
    estimator = LSChannelEstimator(
        link.resource_grid,
        interpolation_type=interpolation,
        precision=link.resource_grid.precision,
    )
    return lambda slots: estimator(slots.y, slots.no)


def lmmse_interpolator(
    link: Link, *, order: Literal["f-t", "t-f"] = "f-t", num_drops: COUNT = 1024
) -> Callable[[Slots], tf.Tensor]:
    """Least squares at the pilots, Sionna's one-dimensional LMMSE interpolations, LMMSE detection.

    Args:
        link: the link to receive on.
        order: frequency first or time first.
        num_drops: drops from which the true covariances are taken, disjoint from all slots.

    Returns:
        (slots) -> llr. The interpolator inverts one matrix per slot, antenna, stream and OFDM
        symbol, so slots are estimated one by one to bound the memory.
    """
    covariance = true_covariance(link, num_drops)
    cdtype = link.resource_grid.cdtype
    interpolator = LMMSEInterpolator(
        link.resource_grid.pilot_pattern,
        tf.constant(covariance.time, cdtype),
        tf.constant(covariance.frequency, cdtype),
        order=order,
    )
    estimator = LSChannelEstimator(
        link.resource_grid, interpolator=interpolator, precision=link.resource_grid.precision
    )

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        def one_slot(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            h_hat, err_var = estimator(y[None], slots.no)
            return h_hat[0], err_var[0]

        return tf.map_fn(one_slot, slots.y, fn_output_signature=(cdtype, link.resource_grid.rdtype))

    return lmmse_receiver(link, estimate)
