"""One-tap detection with the true frequency response."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sims.link import Link, Slots
from sims.receivers.detection import lmmse_receiver
from sims.receivers.grid import pilot_grid


def perfect_csi(link: Link) -> Callable[[Slots], tf.Tensor]:
    """LMMSE detection with the true channel of every OFDM symbol and subcarrier.

    A bound for one-tap receivers only: interference between symbols and subcarriers (a short
    cyclic prefix, a moving channel), a co-channel interferer and nonlinear front ends are not
    known to it.
    """
    subcarriers = tf.constant(pilot_grid(link.resource_grid).subcarriers, tf.int32)

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        h = tf.gather(link.frequency_response(slots.h_time), subcarriers, axis=-1)
        return h, tf.zeros([], link.resource_grid.rdtype)

    return lmmse_receiver(link, estimate)
