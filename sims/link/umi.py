"""Urban-microcell uplinks: users dropped anew in a sector for every slot."""

from __future__ import annotations

import tensorflow as tf
from sionna.phy.channel import gen_single_sector_topology
from sionna.phy.channel.tr38901 import PanelArray, UMi

from sims.scenario import Scenario


class Drops:
    """Path gains and delays of TR 38.901 UMi, in the uplink to the base station of one sector.

    Every slot has users of its own, all outdoors, uniform over the sector, in line of sight or not
    as the standard draws it. The base station has a horizontal row of vertical sector elements, a
    user a row of vertical isotropic ones, half a wavelength apart. Path loss and shadowing are
    left out: the scenario's `normalize_channel` takes every user's power away.

    Args:
        scenario: gives carrier frequency, speed and receive antennas.
        num_users: users of a drop.
        num_tx_ant: antennas of each.
        precision: "single" or "double".
    """

    def __init__(
        self, scenario: Scenario, *, num_users: int, num_tx_ant: int, precision: str
    ) -> None:
        self._users, self._precision = num_users, precision
        self._speed = scenario.speed / 3.6
        carrier = scenario.carrier_frequency
        self._model = UMi(
            carrier,
            "low",  # not used: nobody is indoors
            _row(num_tx_ant, "omni", carrier, precision),
            _row(scenario.num_rx_ant, "38.901", carrier, precision),
            "uplink",
            enable_pathloss=False,
            enable_shadow_fading=False,
            precision=precision,
        )

    def __call__(self, batch: int, num_steps: int, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws a topology and its paths from Sionna's random stream.

        Args:
            batch: B, slots, each with a topology of its own.
            num_steps: times at which the gains are wanted.
            rate: of these times, in Hz.

        Returns:
            Gains ``[B, 1, A, num_users, num_tx_ant, paths, num_steps]`` complex and delays
            ``[B, 1, num_users, paths]`` in s. Paths that a user does not have, as the standard
            gives fewer to the line of sight, have gain 0 and any delay.
        """
        topology = gen_single_sector_topology(
            batch,
            self._users,
            "umi",
            indoor_probability=0.0,
            min_ut_velocity=self._speed,
            max_ut_velocity=self._speed,
            precision=self._precision,
        )
        self._model.set_topology(*topology)
        return self._model(num_steps, rate)


def normalized_taps(
    rate: float, gains: tf.Tensor, delays: tf.Tensor, l_min: int, l_max: int
) -> tf.Tensor:
    r"""Samples paths as `sionna.phy.channel.cir_to_time_channel` does, normalised, by a product.

    $h_l = c \sum_p a_p \, \mathrm{sinc}(l - \tau_p W)$, with c such that every user has unit mean
    energy over its antenna pairs and the times

    Sionna's function holds every tap of every path at every time: gigabytes for many antennas.

    Args:
        rate: W, samples per second.
        gains: ``[B, 1, A, num_users, num_tx_ant, paths, num_steps]`` complex.
        delays: ``[B, 1, num_users, paths]`` in s.
        l_min: first lag in samples.
        l_max: last lag.

    Returns:
        ``[B, 1, A, num_users, num_tx_ant, num_steps, L]`` complex.
    """
    lags = tf.range(l_min, l_max + 1, dtype=delays.dtype)
    pulses = tf.experimental.numpy.sinc(lags - delays[:, 0, :, :, None] * rate)
    taps = tf.einsum("bausPt,buPl->baustl", gains[:, 0], tf.cast(pulses, gains.dtype))
    energy = tf.reduce_sum(tf.abs(taps) ** 2, axis=-1, keepdims=True)
    energy = tf.reduce_mean(energy, axis=(1, 3, 4), keepdims=True)
    return (taps / tf.cast(tf.sqrt(energy), taps.dtype))[:, None]


def _row(num_antennas: int, pattern: str, carrier: float, precision: str) -> PanelArray:
    """Vertical elements side by side, half a wavelength apart."""
    return PanelArray(1, num_antennas, "single", "V", pattern, carrier, precision=precision)
