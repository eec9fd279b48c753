"""Our receivers against the one that users have: Sionna's least squares and LMMSE detection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.ofdm import LMMSEEqualizer, LSChannelEstimator

from rx_fixedpole import poles as placements
from rx_fixedpole import recurrence
from rx_fixedpole.readout import BlockRLS, RLSState
from rx_fixedpole.receivers import FixedPoleEqualizer
from sims.benchmark.bar import Budget, Found
from sims.benchmark.timing import compare
from sims.link import Link, Slots
from sims.receivers.estimated import fixed_pole_block
from sims.scenario import SCENARIOS, Scenario

EBNO_DB = 10.0


def equalizer_share(num_ant: int, batch: int) -> Callable[[Budget], Found]:
    """The equalizer with all its defaults over Sionna's chain, from samples to symbols."""

    def measure(budget: Budget) -> Found:
        scenario = SCENARIOS["nominal_2x2"].replace(num_tx_ant=num_ant, num_rx_ant=num_ant)
        link, slots = draw(scenario, batch)
        equalizer = FixedPoleEqualizer(link.resource_grid, link.stream_management, l_min=link.l_min)
        return compare(
            on_samples(equalizer, slots), sionna_chain(link, slots), budget.rounds, faster=False
        )

    return measure


def estimator_share(num_ant: int, batch: int) -> Callable[[Budget], Found]:
    """Our channel estimator before LMMSE detection over Sionna's chain."""

    def measure(budget: Budget) -> Found:
        scenario = SCENARIOS["nominal_2x2"].replace(num_tx_ant=num_ant, num_rx_ant=num_ant)
        link, slots = draw(scenario, batch)
        ours = lmmse_chain(link, slots, fixed_pole_block(link))
        return compare(ours, sionna_chain(link, slots), budget.rounds, faster=False)

    return measure


def uplink_share(budget: Budget) -> Found:
    """The same on the UMi uplink, 4 users and 16 antennas, 2 slots."""
    link, slots = draw(SCENARIOS["umi_uplink"], 2)
    ours = lmmse_chain(link, slots, fixed_pole_block(link))
    return compare(ours, sionna_chain(link, slots), budget.rounds, faster=False)


def slot_share(budget: Budget) -> Found:
    """Training 64 poles on two pilot symbols and equalizing a slot, over Sionna's chain."""
    scenario = SCENARIOS["cdl_2x2"].replace(num_rx_ant=4)
    link, slots = draw(scenario, 1)
    return compare(
        train_and_output(link, slots), sionna_chain(link, slots), budget.rounds, faster=False
    )


def draw(scenario: Scenario, batch: int) -> tuple[Link, Slots]:
    """A link and a batch of its slots."""
    link = Link(scenario)
    config.seed = 1
    return link, link.transmit(batch, EBNO_DB)


def on_samples(block: Any, slots: Slots) -> Callable[[], Any]:
    """A receiver's block in a graph, applied to received samples."""
    receive = tf.function(block, autograph=False)
    return lambda: receive(slots.y_time, slots.no)


def sionna_chain(link: Link, slots: Slots) -> Callable[[], Any]:
    """Demodulation, LSChannelEstimator with linear interpolation, LMMSEEqualizer, in a graph."""
    return lmmse_chain(
        link, slots, LSChannelEstimator(link.resource_grid, interpolation_type="lin")
    )


def lmmse_chain(link: Link, slots: Slots, estimator: Any) -> Callable[[], Any]:
    """Demodulation, a channel estimator, LMMSEEqualizer, in a graph."""
    equalizer = LMMSEEqualizer(link.resource_grid, link.stream_management)

    def receive(y_time: tf.Tensor, no: tf.Tensor) -> Any:
        y = link.demodulate(y_time)
        h_hat, err_var = estimator(y, no)
        return equalizer(y, h_hat, err_var, no)

    return on_samples(receive, slots)


def train_and_output(link: Link, slots: Slots) -> Callable[[], Any]:
    """A bank of 64 poles that all antennas drive: training, output and its spectra, in a graph.

    Nothing but the core of a receiver, on waveforms: no decision delay, no reliability.
    """
    scenario = link.scenario
    num_poles, size = 64, scenario.fft_size
    rng = np.random.default_rng(0)
    poles = placements.disc(num_poles, 0.95, seed=1)
    parts = rng.standard_normal((2, num_poles, scenario.num_rx_ant))
    input_weights = parts[0] + 1j * parts[1]
    step = size + scenario.cp_length
    starts = np.arange(scenario.num_ofdm_symbols) * step + scenario.cp_length - link.l_min
    windows = [(int(starts[m]), int(starts[m]) + size) for m in scenario.pilot_symbols]
    grid = tf.gather(slots.x, list(scenario.pilot_symbols), axis=3)[0]
    waveform = tf.signal.ifft(tf.signal.ifftshift(grid, axes=-1)) * np.sqrt(size)
    targets = tf.reshape(waveform, [1, -1, len(windows) * size])
    targets = tf.transpose(targets, [0, 2, 1])
    places = (starts[:, None] + np.arange(size)).reshape(-1)

    @tf.function(jit_compile=True, autograph=False)
    def look(u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return recurrence.gram(
            u, poles, windows=windows, targets=targets, input_weights=input_weights
        )

    def receive(y_time: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
        u = tf.transpose(y_time[:, 0], [0, 2, 1])
        seen = look(u)
        weights = tf.cast(BlockRLS().weights(RLSState(*seen), no), u.dtype)
        output = recurrence.output(u, poles, weights, input_weights=input_weights)
        symbols = tf.reshape(tf.gather(output, places, axis=1), [1, len(starts), size, -1])
        return tf.signal.fft(tf.transpose(symbols, [0, 3, 1, 2]))

    return on_samples(receive, slots)
