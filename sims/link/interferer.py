"""A co-channel interferer of which the receiver knows nothing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.ofdm import ResourceGrid

from sims.link import ofdm
from sims.link.channel import TimeChannel
from sims.scenario import Scenario


class Interferer:
    """One transmit antenna with its own channel of the scenario's model.

    It sends random QPSK symbols on every occupied resource element, aligned with the slot's
    OFDM symbols. Its mean power at an antenna is that of all users together over the
    SIR; as the channels fade independently, the SIR of a slot varies around it.

    Args:
        scenario: gives channel model, grid and signal power.
        sir_db: mean power of all users over that of the interferer, in dB.
        resource_grid: gives the occupied subcarriers.
        precision: "single" or "double".
    """

    def __init__(
        self, scenario: Scenario, sir_db: float, resource_grid: ResourceGrid, precision: str
    ) -> None:
        self._scenario = scenario
        self._rdtype = tf.float64 if precision == "double" else tf.float32
        self._channel = TimeChannel(scenario, num_users=1, num_tx_ant=1, precision=precision)
        power = scenario.sent_power / 10 ** (sir_db / 10)
        self._amplitude = np.zeros(scenario.fft_size)
        self._amplitude[np.asarray(resource_grid.effective_subcarrier_ind)] = np.sqrt(power / 2)

    def __call__(self, batch_size: int) -> tf.Tensor:
        """Draws the received interference ``[B, 1, A, T]`` from Sionna's random stream."""
        s = self._scenario
        shape = [2, batch_size, 1, 1, s.num_ofdm_symbols, s.fft_size]
        bits = config.tf_rng.uniform(shape, 0, 2, tf.int32)
        parts = tf.cast(2 * bits - 1, self._rdtype) * self._amplitude
        x_time = ofdm.modulate(tf.complex(parts[0], parts[1]), s)
        return self._channel.apply(x_time, self._channel.taps(batch_size))
