"""The resource grid of a scenario, with explicit pilots."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import PilotPattern, ResourceGrid

from sims.scenario import Scenario


def resource_grid(scenario: Scenario, precision: str) -> ResourceGrid:
    """Returns Sionna's resource grid of a scenario."""
    mask, pilots = pilots_of(scenario)
    dtype = tf.complex128 if precision == "double" else tf.complex64
    pattern = PilotPattern(mask, tf.constant(pilots, dtype), precision=precision)
    return ResourceGrid(
        scenario.num_ofdm_symbols,
        scenario.fft_size,
        scenario.subcarrier_spacing,
        num_tx=scenario.num_users,
        num_streams_per_tx=scenario.num_tx_ant,
        cyclic_prefix_length=scenario.cp_length,
        num_guard_carriers=scenario.num_guard_carriers,
        dc_null=scenario.dc_null,
        pilot_pattern=pattern,
        precision=precision,
    )


def stream_management(scenario: Scenario) -> StreamManagement:
    """Returns the association of all users with the one receiver."""
    return StreamManagement(np.ones([1, scenario.num_users], int), scenario.num_tx_ant)


def pilots_of(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Draws the QPSK pilots of a scenario from its own seed.

    In the Kronecker pattern stream s sends on the occupied subcarriers i with
    i mod num_streams == s and is silent on the others of the pilot symbol; what it sends is
    boosted to unit mean power over the symbol. In the full pattern every stream sends unit-power
    pilots on all occupied subcarriers.

    Args:
        scenario: the scenario; `pilot_pattern`, `pilot_symbols` and `pilot_seed` count here.

    Returns:
        The mask ``[num_users, num_tx_ant, num_ofdm_symbols, num_occupied]`` bool of resource
        elements without data, and the pilots ``[num_users, num_tx_ant, num_pilots]`` complex128
        on them, zeros included, by OFDM symbol and subcarrier.
    """
    users, antennas = scenario.num_users, scenario.num_tx_ant
    streams, occupied = scenario.num_streams, scenario.num_occupied
    symbols = list(scenario.pilot_symbols)

    mask = np.zeros([users, antennas, scenario.num_ofdm_symbols, occupied], bool)
    mask[:, :, symbols] = True

    rng = np.random.default_rng(scenario.pilot_seed)
    signs = 1 - 2 * rng.integers(0, 2, [2, streams, len(symbols), occupied])
    pilots = (signs[0] + 1j * signs[1]) / np.sqrt(2)
    if scenario.pilot_pattern == "kronecker":
        comb = np.arange(occupied) % streams == np.arange(streams)[:, None]
        boost = np.sqrt(occupied / comb.sum(axis=1))
        pilots *= (comb * boost[:, None])[:, None, :]
    return mask, pilots.reshape(users, antennas, -1)
