"""Time-variant multipath channels: their random taps, and what they do to samples."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from sionna.phy import SPEED_OF_LIGHT, config
from sionna.phy.channel import cir_to_time_channel
from sionna.phy.channel.tr38901 import CDL, TDL, PanelArray

from sims.link.convolution import moving_convolution
from sims.link.umi import Drops, normalized_taps
from sims.scenario import Scenario

# Taps are drawn at knots and interpolated linearly between them. A path that turns by x rad from
# knot to knot is then wrong by at most x^2 / 8: this step keeps the error below -80 dB.
MAX_KNOT_PHASE = math.sqrt(8 * 10 ** (-80 / 20))
# For many antennas and long channels, where every knot counts: below -60 dB.
MAX_LARGE_KNOT_PHASE = math.sqrt(8 * 10 ** (-60 / 20))


class TimeChannel:
    r"""Independent channels of a number of users to the receiver of a scenario.

    $y_b = \sum_{s} \sum_{l=l_{min}}^{l_{max}} h_{b,s,l} x_{s,b-l}$,
    $b = l_{min}, \dots, T_x + l_{max} - 1$

    The path coefficients of every antenna pair have unit mean power (for CDL with dual-polarised
    arrays: averaged over the pairs). The taps lack what the tails of the sinc pulse carry
    outside of the scenario's lags, less than 1 %.

    Args:
        scenario: gives channel model, lags, speed and slot length.
        num_users: transmitters, with independent channels.
        num_tx_ant: antennas of each.
        precision: "single" or "double".
    """

    def __init__(
        self, scenario: Scenario, *, num_users: int, num_tx_ant: int, precision: str
    ) -> None:
        self._scenario = scenario
        self._users, self._antennas = num_users, num_tx_ant
        self._rdtype = tf.float64 if precision == "double" else tf.float32
        self.l_min, self.l_max = scenario.lags
        self.num_taps = self.l_max - self.l_min + 1
        symbol = scenario.fft_size + scenario.cp_length
        self.num_samples = scenario.num_ofdm_symbols * symbol + self.num_taps - 1
        self.large = scenario.channel == "umi"  # too large for taps at every sample
        self._segments = math.ceil(self.num_samples / _longest_step(scenario, self.num_samples))
        self._step = math.ceil(self.num_samples / self._segments)
        self.num_knots = 1 if scenario.speed == 0 else self._segments + 1
        self._model = _model(scenario, num_users, num_tx_ant, precision)
        self._scale = _cdl_scale(self._model) if isinstance(self._model, CDL) else 1.0

    def taps(self, batch_size: int) -> tf.Tensor:
        """Draws the taps of a batch of slots from Sionna's random stream.

        Args:
            batch_size: B, number of slots.

        Returns:
            ``[B, 1, num_rx_ant, num_users, num_tx_ant, num_knots, L]`` complex.
        """
        gains, delays = self._paths(batch_size)
        rate = self._scenario.sample_rate
        normalize = self._scenario.normalize_channel
        if self.large:
            return normalized_taps(rate, gains, delays, self.l_min, self.l_max)
        return cir_to_time_channel(rate, gains, delays, self.l_min, self.l_max, normalize)

    def apply(self, x: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
        """Sends samples through the channel.

        Args:
            x: ``[B, num_users, num_tx_ant, T_x]`` complex samples.
            taps: ``[B, 1, A, num_users, num_tx_ant, num_knots, L]`` of `taps`.

        Returns:
            ``[B, 1, A, T_x + L - 1]`` complex samples, the first one at time l_min.
        """
        if self.large:
            streams = [-1, self._scenario.num_rx_ant, self._users * self._antennas]
            return moving_convolution(
                tf.reshape(x, [-1, streams[-1], x.shape[-1]]),
                tf.reshape(taps, [*streams, self.num_knots, self.num_taps]),
                step=self._step,
                length=self.num_samples,
            )[:, None]
        shape = tf.shape(taps)
        batch, receive = shape[0], shape[2]
        streams = self._users * self._antennas
        lead = np.arange(self._segments * self._step).reshape(self._segments, self._step, 1)
        index = lead + (self.num_taps - 1 - np.arange(self.num_taps))
        tail = int(index.max()) + 1 - (self.num_taps - 1) - x.shape[-1]
        x = tf.reshape(x, [batch, streams, x.shape[-1]])
        x = tf.pad(x, [[0, 0], [0, 0], [self.num_taps - 1, tail]])
        # [B, segments, step, L, streams]
        past = tf.gather(tf.transpose(x, [0, 2, 1]), index, axis=1)
        past = tf.reshape(past, [batch, *index.shape[:2], self.num_taps * streams])
        h = tf.transpose(taps[:, 0], [0, 4, 5, 2, 3, 1])
        h = tf.reshape(h, [batch, self.num_knots, self.num_taps * streams, receive])
        if self.num_knots == 1:
            y = past @ h
        else:
            start, rise = h[:, :-1], h[:, 1:] - h[:, :-1]
            fraction = tf.cast(np.arange(self._step)[:, None] / self._step, h.dtype)
            y = past @ start + fraction * (past @ rise)
        y = tf.reshape(y, [batch, self._segments * self._step, receive])[:, : self.num_samples]
        return tf.transpose(y, [0, 2, 1])[:, None]

    def weights_of_knots(self) -> np.ndarray:
        """Returns the interpolation ``[T, num_knots]`` float64 that `apply` makes between knots."""
        t = np.arange(self.num_samples)
        weights = np.zeros([self.num_samples, self.num_knots])
        if self.num_knots == 1:
            weights[:] = 1
            return weights
        segment, fraction = t // self._step, (t % self._step) / self._step
        weights[t, segment] = 1 - fraction
        weights[t, segment + 1] = fraction
        return weights

    def at_samples(self, taps: tf.Tensor) -> tf.Tensor:
        """Interpolates taps to every received sample, as Sionna's time channel has them.

        Args:
            taps: ``[B, 1, A, num_users, num_tx_ant, num_knots, L]`` of `taps`.

        Returns:
            ``[B, 1, A, num_users, num_tx_ant, T or 1, L]``, 1 for a static channel.
        """
        if self.num_knots == 1:
            return taps
        start, rise = taps[..., :-1, None, :], (taps[..., 1:, :] - taps[..., :-1, :])[..., None, :]
        fraction = tf.cast(np.arange(self._step)[:, None] / self._step, taps.dtype)
        dense = start + fraction * rise
        shape = tf.concat([tf.shape(taps)[:-2], [self._segments * self._step, self.num_taps]], 0)
        return tf.reshape(dense, shape)[..., : self.num_samples, :]

    def _paths(self, batch: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws path gains [B,1,A,users,antennas,paths,knots] and delays [B,1,users,paths]."""
        users, antennas, receive = self._users, self._antennas, self._scenario.num_rx_ant
        if isinstance(self._model, TDL):
            # The model knows one transmitter: draw all users' channels along the batch.
            gains, delays = self._model(batch * users, self.num_knots, self._knot_rate)
            gains = tf.reshape(gains, [batch, users, receive, antennas, -1, self.num_knots])
            gains = tf.transpose(gains, [0, 2, 1, 3, 4, 5])[:, None]
            return gains, tf.reshape(delays, [batch, 1, users, -1])
        if isinstance(self._model, Drops):
            return self._model(batch, self.num_knots, self._knot_rate)
        if isinstance(self._model, CDL):
            gains, delays = self._model(batch, self.num_knots, self._knot_rate)
            return gains * tf.cast(self._scale, gains.dtype), delays
        shape = [batch, 1, receive, users, antennas, 1, 1]
        if self._scenario.channel == "awgn":
            identity = tf.reshape(tf.eye(receive, dtype=self._rdtype), [1, *shape[1:]])
            real = tf.tile(identity, [batch, 1, 1, 1, 1, 1, 1])
            gains = tf.complex(real, tf.zeros_like(real))
        else:
            parts = config.tf_rng.normal([2, *shape], stddev=math.sqrt(0.5), dtype=self._rdtype)
            gains = tf.complex(parts[0], parts[1])
        return gains, tf.zeros([batch, 1, users, 1], self._rdtype)

    @property
    def _knot_rate(self) -> float:
        return self._scenario.sample_rate / self._step


def _longest_step(scenario: Scenario, num_samples: int) -> int:
    doppler = scenario.speed / 3.6 / SPEED_OF_LIGHT * scenario.carrier_frequency
    phase_per_sample = 2 * math.pi * doppler / scenario.sample_rate
    most = MAX_LARGE_KNOT_PHASE if scenario.channel == "umi" else MAX_KNOT_PHASE
    if phase_per_sample * num_samples <= most:
        return num_samples
    return max(1, int(most / phase_per_sample))


def _model(
    scenario: Scenario, num_users: int, num_tx_ant: int, precision: str
) -> TDL | CDL | Drops | None:
    if scenario.channel == "umi":
        return Drops(scenario, num_users=num_users, num_tx_ant=num_tx_ant, precision=precision)
    kind, _, letter = scenario.channel.partition("-")
    if not letter:
        return None
    speed = scenario.speed / 3.6
    model, spread, carrier = letter.upper(), scenario.delay_spread, scenario.carrier_frequency
    if kind == "tdl":
        return TDL(
            model,
            spread,
            carrier,
            min_speed=speed,
            num_rx_ant=scenario.num_rx_ant,
            num_tx_ant=num_tx_ant,
            precision=precision,
        )
    return CDL(
        model,
        spread,
        carrier,
        _array(num_tx_ant, carrier, precision),
        _array(scenario.num_rx_ant, carrier, precision),
        "uplink",
        min_speed=speed,
        precision=precision,
    )


def _array(num_antennas: int, carrier_frequency: float, precision: str) -> PanelArray:
    """One vertical element, or a half-wavelength row of cross-polarised pairs; all isotropic."""
    dual = num_antennas > 1
    return PanelArray(
        1,
        max(num_antennas // 2, 1),
        "dual" if dual else "single",
        "cross" if dual else "V",
        "omni",
        carrier_frequency,
        precision=precision,
    )


def _cdl_scale(model: CDL) -> float:
    r"""Amplitude that gives a CDL channel unit mean power over its antenna pairs.

    An isotropic element of slant z has the field (cos z, sin z), so a pair receives
    (cos^2 cos^2 + sin^2 sin^2) + (cos^2 sin^2 + sin^2 cos^2) / XPR of a scattered path, and
    cos^2(z_r + z_t) of the line of sight. With slants of +-45 degrees at either end the means
    over the pairs are (1 + 1/XPR) / 2 and 1/2; with two vertical elements both are 1.
    """
    if model._tx_array.num_ant == 1 and model._rx_array.num_ant == 1:
        return 1.0
    cross_power = 1 / float(tf.reduce_mean(model._xpr))
    sight = 0.0
    if model.los:
        k_factor = float(tf.reduce_mean(model.k_factor))
        sight = k_factor / (1 + k_factor)
    return 1 / math.sqrt(0.5 * (1 + (1 - sight) * cross_power))
