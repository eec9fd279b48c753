"""One-tap detection with the true frequency response."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from rx_fixedpole.receivers.prefix import lost_share
from sims.link import Link, Slots
from sims.receivers.detection import lmmse_receiver
from sims.receivers.grid import pilot_grid


def perfect_csi(link: Link) -> Callable[[Slots], tf.Tensor]:
    """LMMSE detection with the true channel of every OFDM symbol and subcarrier.

    The mean power that taps beyond the cyclic prefix scatter counts as noise. A bound for one-tap
    receivers only. Not known to it are the movement within a symbol, a co-channel interferer and
    all impairments: carrier frequency offset, phase noise, impulsive noise, and nonlinear or
    quantizing front ends.
    """
    grid = pilot_grid(link.resource_grid)
    subcarriers = tf.constant(grid.subcarriers, tf.int32)
    lags = np.arange(link.l_min, link.l_max + 1)
    first = link.l_min + link.fft_offset
    lost = lost_share(lags, first, link.scenario.cp_length, grid.fft_size)
    scattered = tf.constant(2 * lost - lost**2, link.resource_grid.rdtype)

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        h = tf.gather(link.frequency_response(slots.h_time), subcarriers, axis=-1)
        power = tf.reduce_mean(tf.abs(slots.h_time) ** 2, axis=-2)
        self_interference = tf.reduce_sum(power * scattered, axis=-1)
        return h, self_interference[..., None, None]

    return lmmse_receiver(link, estimate)
