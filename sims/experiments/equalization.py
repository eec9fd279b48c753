"""The task on which training methods are compared in isolation: equalize a random channel.

    y[n] = sum_l h[l] x[n - l] + w[n],   x_hat[n] = sum_k c_k s_k[n + delay],

with QPSK symbols x, a channel of unit energy whose tap powers fall exponentially, white noise w,
and a bank of K poles that y drives, alone: no delay line helps it. A slot is a warm-up whose
symbols are unknown, a stretch of pilots to learn from, and data that measure what was learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.signal import lfilter

from rx_fixedpole import poles as placements
from rx_fixedpole import recurrence
from rx_fixedpole.readout import Ridge
from sims.training import Data, DiagonalRNN, Network, Regression, Weights, held_out_mask

WARM_UP, NUM_DATA = 64, 2048
NUM_TAPS, DELAY_SPREAD = 12, 2.0  # of the channel, in samples
HELD_OUT = 0.2


class Slots(NamedTuple):
    """B slots of warm-up, pilots and data, one after the other; the receiver is `delay` late."""

    u: np.ndarray  # [B, T, 1] complex128, received samples, advanced by the delay
    x: np.ndarray  # [B, T, 1] complex128, symbols
    no: np.ndarray  # [B] noise variance
    num_pilots: int

    @property
    def rows(self) -> np.ndarray:
        """Pilots among the samples up to the last of them, bool ``[WARM_UP + num_pilots]``."""
        return np.arange(WARM_UP + self.num_pilots) >= WARM_UP

    def training(self) -> Data:
        """What a receiver may see, in single precision."""
        end = WARM_UP + self.num_pilots
        u, x = (tf.constant(part[:, :end], tf.complex64) for part in (self.u, self.x))
        return Data(
            u, tf.zeros([len(self.u), end, 0], u.dtype), x, tf.constant(self.no, tf.float32)
        )


def draw(
    seeds: np.ndarray, snr_db: np.ndarray, *, num_pilots: int, delay: int, real: bool = False
) -> Slots:
    """Draw slots; a seed fixes channel, symbols and noise, whatever the SNR and the other slots.

    Args:
        seeds: int ``[B]``.
        snr_db: signal to noise ratio per sample in dB, ``[B]``.
        num_pilots: symbols to learn from.
        delay: decision delay in samples, >= 0.
        real: whether symbols (BPSK), channel and noise are real.

    Returns:
        The slots.
    """
    length = WARM_UP + num_pilots + NUM_DATA
    no = 10 ** (-np.asarray(snr_db, np.float64) / 10)
    u = np.empty((len(seeds), length, 1), np.complex128)
    x = np.empty_like(u)
    for b, seed in enumerate(seeds):
        rng = np.random.default_rng([int(seed), num_pilots])
        taps = _gaussian(rng, NUM_TAPS, real) * np.exp(-np.arange(NUM_TAPS) / (2 * DELAY_SPREAD))
        taps /= np.linalg.norm(taps)
        symbols = rng.choice([-1.0, 1.0], (2, length + delay)) / (1 if real else np.sqrt(2))
        sent = symbols[0] + (0 if real else 1j) * symbols[1]
        noise = np.sqrt(no[b]) * _gaussian(rng, length + delay, real)
        u[b, :, 0] = (lfilter(taps, [1.0], sent) + noise)[delay:]
        x[b, :, 0] = sent[:length]
    return Slots(u, x, no, num_pilots)


def bank(poles: np.ndarray, *, parametrization: str = "stable") -> DiagonalRNN:
    """A trainable bank with states of unit power for white input of unit power."""
    gains = np.sqrt(1 - np.abs(poles) ** 2)[:, None] + 0j
    return DiagonalRNN(poles, gains, parametrization=parametrization)


def random_banks(num_poles: int, radius: float, num_slots: int, seed: int) -> Any:
    """First parameters of B slots: poles drawn in a disc, anew for every slot."""
    banks = [
        bank(placements.disc(num_poles, radius, seed=1000 * seed + b)).initial(1, tf.float32)
        for b in range(num_slots)
    ]
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *banks)


def regression(network: Network, slots: Slots) -> Regression:
    """The network's loss on four fifths of the pilots, the others held out."""
    held_out = np.zeros(len(slots.rows), bool)
    held_out[WARM_UP:] = held_out_mask(slots.num_pilots, HELD_OUT)
    return Regression(
        network, lambda signal: signal, learnt=slots.rows & ~held_out, held_out=held_out, reg=1.0
    )


def fixed_trainer(poles: np.ndarray) -> Callable[[Data], tf.Tensor]:
    """The training of fixed poles: a ridge on all pilots, ``[B, K, 1]``, as a graph."""

    @tf.function(autograph=False)
    def fit(data: Data) -> tf.Tensor:
        states: tf.Tensor = recurrence.states(data.u, poles, basis="orthonormal")
        return Ridge().fit(states[:, WARM_UP:], data.targets[:, WARM_UP:], data.no).weights

    return fit


def fixed_error(slots: Slots, poles: np.ndarray, weights: tf.Tensor) -> np.ndarray:
    """Mean squared error on the data, ``[B]``, of fixed poles and a readout."""
    u = tf.constant(slots.u, tf.complex64)
    output: tf.Tensor = recurrence.output(u, poles, weights, basis="orthonormal")
    return _data_error(slots, output.numpy())


def fixed_loss(slots: Slots, poles: np.ndarray) -> np.ndarray:
    """What the regression's loss is on all pilots, ``[B]``, for fixed poles and a ridge."""
    end = WARM_UP + slots.num_pilots
    states: tf.Tensor = recurrence.states(tf.constant(slots.u[:, :end]), poles, basis="orthonormal")
    features, targets = states[:, WARM_UP:], tf.constant(slots.x[:, WARM_UP:end])
    weights = Ridge().fit(features, targets, tf.constant(slots.no)).weights
    error = np.sum(np.abs((targets - features @ weights).numpy()) ** 2, axis=(1, 2))
    size = np.sum(np.abs(weights.numpy()) ** 2, axis=(1, 2))
    return (error + slots.no * size) / slots.num_pilots


def learnt_error(slots: Slots, regression: Regression, trained: Weights) -> np.ndarray:
    """Mean squared error on the data, ``[B]``, after a last ridge on all pilots."""
    data = slots.training()
    solved = regression.solve(trained.recurrent, data, slots.rows, unit_power=True)
    u = tf.constant(slots.u, tf.complex64)
    output = regression.network.output(trained.recurrent, u, tf.complex(*solved.readout))
    return _data_error(slots, output.numpy())


def _data_error(slots: Slots, output: np.ndarray) -> np.ndarray:
    start = WARM_UP + slots.num_pilots
    error = np.abs(slots.x[:, start:] - output[:, start:]) ** 2
    return error.mean(axis=(1, 2))


def _gaussian(rng: np.random.Generator, size: int, real: bool) -> np.ndarray:
    """Circular (or real) Gaussian numbers of unit power."""
    parts = rng.standard_normal((2, size))
    return parts[0] if real else (parts[0] + 1j * parts[1]) / np.sqrt(2)
