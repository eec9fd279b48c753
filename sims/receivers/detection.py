"""From a channel estimate on the occupied subcarriers to LLRs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from sionna.phy.ofdm import LMMSEEqualizer

from sims.link import Link, Slots

# (slots) -> h_hat [B, 1, A, num_users, S, M, K] and err_var, broadcastable to it
Estimator = Callable[[Slots], tuple[tf.Tensor, tf.Tensor]]


def lmmse_receiver(link: Link, estimate: Estimator) -> Callable[[Slots], tf.Tensor]:
    """Detect by per-subcarrier LMMSE with the estimator's error variance as extra noise."""
    equalizer = LMMSEEqualizer(
        link.resource_grid, link.stream_management, precision=link.resource_grid.precision
    )

    def receive(slots: Slots) -> tf.Tensor:
        h_hat, err_var = estimate(slots)
        x_hat, no_eff = equalizer(slots.y, h_hat, err_var, slots.no)
        return link.demap(x_hat, no_eff)

    return receive


def pilot_samples(y: tf.Tensor, resource_elements: tf.Tensor) -> tf.Tensor:
    """Gather flat (symbol * fft_size + subcarrier) elements: [B, 1, A, M, fft] -> [B, A, P]."""
    shape = tf.shape(y)
    flat = tf.reshape(y, [shape[0], y.shape[2], y.shape[3] * y.shape[4]])
    return tf.gather(flat, resource_elements, axis=-1)


EstimatorName = Literal["joint_lmmse", "delay_limited", "ls_lin"]
