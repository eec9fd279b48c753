"""Channel estimates of a transmission that goes on: one slot alone, or with those before it.

    y_n(m, k) = h(n M + m, k) x_n(m, k) + w_n(m, k)

over TDL-A, slot after slot without a gap; the estimates' errors, and the bit errors of uncoded QPSK
in the last slot, detected by maximum ratio combining, on the same slots.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies
from sionna.phy.channel.tr38901 import TDL
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole.receivers import ContinuousChannelEstimator

CARRIER, SPACING, FFT, PREFIX, SYMBOLS, PILOTS = 3.5e9, 30e3, 128, 16, 14, (2, 11)
_RESAMPLES = 2000


class Continuous(NamedTuple):
    """Results of every number of slots looked at: normalised error and bit errors, per trial."""

    num_slots: tuple[int, ...]
    error: np.ndarray  # [len(num_slots), trials]
    bit_errors: np.ndarray  # [len(num_slots), trials]
    bits: int


def run(
    *,
    speed: float,
    ebno_db: float,
    num_slots: tuple[int, ...] = (1, 2, 3, 4),
    trials: int = 200,
    num_ant: int = 2,
    delay_spread: float = 200e-9,
    seed: int = 0,
) -> Continuous:
    """Transmit as many slots as the longest memory holds and detect the last one.

    Args:
        speed: in km/h.
        ebno_db: Eb/N0 of uncoded QPSK in dB.
        num_slots: slots that each estimator looks at.
        trials: transmissions.
        num_ant: receive antennas.
        delay_spread: of TDL-A, in s.
        seed: of everything that is drawn.
    """
    config.seed = seed
    grid = ResourceGrid(
        SYMBOLS,
        FFT,
        SPACING,
        cyclic_prefix_length=PREFIX,
        pilot_pattern="kronecker",
        pilot_ofdm_symbol_indices=list(PILOTS),
    )
    longest = max(num_slots)
    no = 1 / (2 * 10 ** (ebno_db / 10))
    h, x, y = _transmitted(grid, longest, trials, no, speed / 3.6, num_ant, delay_spread)
    current = slice((longest - 1) * SYMBOLS, None)
    data = [m for m in range(SYMBOLS) if m not in PILOTS]
    error, bit_errors = [], []
    for n in num_slots:
        estimator = ContinuousChannelEstimator(grid, num_slots=n)
        state = None
        for slot in range(longest):
            part = y[:, None, :, slot * SYMBOLS : (slot + 1) * SYMBOLS]
            h_hat, err_var, state = estimator(tf.constant(part, tf.complex64), no, state)
        found, variance = h_hat.numpy()[:, 0, :, 0, 0], err_var.numpy()[:, 0, :, 0, 0]
        true, sent = h[:, :, current], x[:, current]
        error.append(np.sum(np.abs(found - true) ** 2, (1, 2, 3)))
        combined = np.sum(np.conj(found) * y[:, :, current] / (no + variance), axis=1)
        wrong = _signs(combined)[:, data] != _signs(sent)[:, data]
        bit_errors.append(np.sum(wrong, axis=(1, 2, 3)))
    energy = np.sum(np.abs(h[:, :, current]) ** 2, (1, 2, 3)).mean()
    bits = 2 * len(data) * FFT
    return Continuous(tuple(num_slots), np.array(error) / energy, np.array(bit_errors), bits)


def table(results: Continuous, seed: int = 0) -> str:
    """One line a memory: NMSE, BER, and its ratio to the first with a paired 95 % interval."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, results.error.shape[1], (_RESAMPLES, results.error.shape[1]))
    lines = ["slots   NMSE in dB   BER        BER over the first [95 %]"]
    for n, error, wrong in zip(*results[:3], strict=True):
        ratios = wrong[draws].sum(axis=1) / results.bit_errors[0][draws].sum(axis=1)
        low, high = np.quantile(ratios, [0.025, 0.975])
        ratio = wrong.sum() / results.bit_errors[0].sum()
        lines.append(
            f"{n:5}   {10 * np.log10(error.mean()):10.2f}   {wrong.mean() / results.bits:.3e}  "
            f"{ratio:.3f} [{low:.3f}, {high:.3f}]"
        )
    return "\n".join(lines)


def _transmitted(
    grid: ResourceGrid,
    slots: int,
    trials: int,
    no: float,
    speed: float,
    num_ant: int,
    delay_spread: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Channel ``[B, A, M, K]``, symbols ``[B, M, K]`` and received grid of slots in a row."""
    rng = np.random.default_rng(config.seed)
    tdl = TDL("A", delay_spread, CARRIER, min_speed=speed, num_rx_ant=num_ant)
    rate = SPACING * FFT / (FFT + PREFIX)
    cir = tdl(trials, slots * SYMBOLS, rate)
    response = cir_to_ofdm_channel(subcarrier_frequencies(FFT, SPACING), *cir, normalize=False)
    h = response.numpy()[:, 0, :, 0, 0]
    shape = (trials, slots * SYMBOLS, FFT)
    x = (rng.choice([-1, 1], shape) + 1j * rng.choice([-1, 1], shape)) / np.sqrt(2)
    pilots = np.asarray(grid.pilot_pattern.pilots)[0, 0].reshape(len(PILOTS), FFT)
    for slot in range(slots):
        x[:, [slot * SYMBOLS + m for m in PILOTS]] = pilots
    noise = rng.standard_normal((2, *h.shape))
    y = h * x[:, None] + np.sqrt(no / 2) * (noise[0] + 1j * noise[1])
    return h, x, y


def _signs(symbols: np.ndarray) -> np.ndarray:
    """Bits of QPSK symbols, ``[..., 2]``."""
    return np.stack([symbols.real < 0, symbols.imag < 0], axis=-1)
