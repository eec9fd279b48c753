"""The classical echo state network: a random dense tanh reservoir, its readout trained per slot.

    s[n] = tanh(W_rec s[n-1] + scale W_in u[n]),   x_hat[n] = W_out [s[n + d], u[n + d]]

tanh acts on real and imaginary part and the ridge sees s / scale, so that it weighs neurons and
inputs alike; u holds the last `window` samples of every antenna, divided
by the slot's RMS. W_out is a ridge regression on the slot's pilot symbols. The readout commutes
with the FFT, so it is fitted on the occupied subcarriers of the pilot symbols: the same rows as
in time (Parseval), without the empty subcarriers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from rx_fixedpole.readout import Ridge
from rx_fixedpole.receivers.reliability import Reliability
from sims.link import Link, Slots
from sims.receivers.base import COUNT, POSITIVE, SHARE, WHOLE, Options
from sims.receivers.grid import PilotGrid, fourier, pilot_grid
from sims.receivers.waveform import Waveform, data_elements
from sims.scenario import Scenario

_WINDOW = 24


def has_enough_pilots(scenario: Scenario, options: Options) -> str | None:
    """Refuse more features than pilots."""
    num_neurons, window = options["num_neurons"], options["window"]
    if window is None:
        window = _window_for(scenario.num_pilots // 2, num_neurons, scenario.num_rx_ant)
    return _shortage(scenario.num_pilots, num_neurons + scenario.num_rx_ant * window)


def esn(
    link: Link,
    *,
    num_neurons: COUNT = 16,
    spectral_radius: SHARE = 0.5,
    input_scale: POSITIVE = 0.1,
    window: COUNT | None = None,
    delay: WHOLE | None = None,
    reg: POSITIVE = 1.0,
    seed: WHOLE = 0,
) -> Callable[[Slots], tf.Tensor]:
    """Echo state network equalizer.

    Args:
        link: the link to receive on.
        num_neurons: complex neurons of the reservoir, >= 1.
        spectral_radius: largest eigenvalue magnitude of W_rec, in (0, 1).
        input_scale: standard deviation of a neuron's drive in units of the received RMS, > 0.
        window: samples per antenna in the input, >= 1; None: 24, or less where the features
            would outnumber half of the pilots.
        delay: decision delay in samples, >= 0; None: half the window.
        reg: ridge regularisation in units of the noise variance, > 0.
        seed: of the random matrices.

    Returns:
        (slots) -> llr.
    """
    grid, waveform = pilot_grid(link.resource_grid), Waveform.of(link)
    num_antennas, cdtype = link.scenario.num_rx_ant, link.resource_grid.cdtype
    if window is None:
        window = _window_for(grid.symbols.size // 2, num_neurons, num_antennas)
    delay = window // 2 if delay is None else delay
    num_inputs = num_antennas * window
    targets = tf.constant(_targets(grid, num_neurons + num_inputs), cdtype)
    pilot_symbols = np.unique(grid.symbols)
    rng = np.random.default_rng(seed)
    recurrent = _reservoir(rng, num_neurons, spectral_radius)
    drive = _complex_normal(rng, num_inputs, num_neurons) / np.sqrt(num_inputs)
    run = _runner(recurrent, input_scale * drive, cdtype)
    responses = tf.constant(_responses(recurrent, drive, grid, window), cdtype)
    num_columns = grid.subcarriers.size
    reliability = Reliability(grid.columns, np.arange(num_columns), num_columns)
    readout, extract = Ridge(reg=reg), data_elements(link)

    def receive(slots: Slots) -> tf.Tensor:
        y = slots.y_time[:, 0]
        power = tf.reduce_mean(tf.abs(y) ** 2, axis=[1, 2])
        y = tf.pad(y, [[0, 0], [0, 0], [0, delay]])  # the network rings on after the last sample
        u = _window(y / tf.cast(tf.sqrt(power), cdtype)[:, None, None], window)
        features = _spectra(tf.concat([run(u) / input_scale, u], axis=1), waveform, delay, grid)
        pilots = tf.gather(features, pilot_symbols, axis=1)
        pilots = tf.reshape(pilots, [-1, targets.shape[0], features.shape[-1]])
        wanted = tf.broadcast_to(targets, [tf.shape(pilots)[0], *targets.shape])
        fit = readout.fit(pilots, wanted, slots.no / power)
        x_hat = tf.einsum("bmkf,bfs->bsmk", features, fit.weights)
        through = tf.reduce_sum(tf.abs(tf.einsum("bfs,fak->bsak", fit.weights, responses)) ** 2, 2)
        noise = (slots.no / power)[:, None, None] * through
        error = reliability.error_variance(fit.leave_one_out, x_hat, noise)[:, :, None]
        no_eff = tf.broadcast_to(error / (1 - error), tf.shape(x_hat))
        return link.demap(extract(x_hat / tf.cast(1 - error, cdtype)), extract(no_eff))

    return receive


def _window_for(num_features: int, num_neurons: int, num_antennas: int) -> int:
    """The default window, or the longest one that keeps to a number of features."""
    return max(1, min(_WINDOW, (num_features - num_neurons) // num_antennas))


def _spectra(features: tf.Tensor, waveform: Waveform, delay: int, grid: PilotGrid) -> tf.Tensor:
    """Samples of features [B, F, T] -> their grids [B, M, K, F]."""
    spectra = waveform.to_grid(waveform.windows(features, delay=delay))
    return tf.gather(tf.transpose(spectra, [0, 2, 3, 1]), grid.subcarriers, axis=2)


def _targets(grid: PilotGrid, num_features: int) -> np.ndarray:
    """Pilots [P, S]: whole OFDM symbols only, and more of them than features."""
    num_pilots = grid.symbols.size
    if num_pilots != np.unique(grid.symbols).size * grid.subcarriers.size:
        raise ValueError("esn needs pilot symbols that carry no data")
    shortage = _shortage(num_pilots, num_features)
    if shortage is not None:
        raise ValueError(f"esn {shortage}")
    return grid.values.T


def _shortage(num_pilots: int, num_features: int) -> str | None:
    if num_features <= num_pilots:
        return None
    return f"has {num_features} features but only {num_pilots} pilots: reduce num_neurons or window"


def _complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def _reservoir(rng: np.random.Generator, num_neurons: int, spectral_radius: float) -> np.ndarray:
    """Random dense complex matrix [K, K] with the given spectral radius."""
    matrix = _complex_normal(rng, num_neurons, num_neurons)
    return spectral_radius * matrix / np.abs(np.linalg.eigvals(matrix)).max()


def _real_form(matrix: np.ndarray) -> np.ndarray:
    """The real [2K, 2K] matrix R with [re, im] @ R = [re, im] of (matrix @ s)."""
    re, im = matrix.real.T, matrix.imag.T
    return np.block([[re, im], [-im, re]])


def _window(y: tf.Tensor, window: int) -> tf.Tensor:
    """Delayed copies [B, A, T] -> [B, A*W, T], zeros before the first sample."""
    padded = tf.pad(y, [[0, 0], [0, 0], [window - 1, 0]])
    steps = [padded[..., window - 1 - w : padded.shape[-1] - w] for w in range(window)]
    return tf.reshape(tf.stack(steps, axis=2), [-1, y.shape[1] * window, y.shape[2]])


def _responses(
    recurrent: np.ndarray, drive: np.ndarray, grid: PilotGrid, window: int
) -> np.ndarray:
    """Frequency responses [F, A, K] of the features without their tanh, delay left out.

    They tell how much thermal noise passes the readout on each subcarrier.
    """
    delays = fourier(grid.frequencies, np.arange(window), grid.fft_size)
    z = np.exp(-2j * np.pi * grid.frequencies / grid.fft_size)[:, None, None]
    num_antennas = drive.shape[0] // window
    states = np.linalg.solve(np.eye(len(recurrent)) - z * recurrent, drive.T[None])
    states = states.reshape(*states.shape[:2], num_antennas, window)
    inputs = np.einsum("ab,kw->awbk", np.eye(num_antennas), delays)
    inputs = inputs.reshape(num_antennas * window, num_antennas, -1)
    return np.concatenate([np.einsum("knaw,kw->nak", states, delays), inputs])


def _runner(
    recurrent: np.ndarray, drive: np.ndarray, cdtype: tf.DType
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The reservoir: inputs [B, A*W, T] -> complex states [B, neurons, T]."""
    num_neurons = len(recurrent)
    matrix = tf.constant(_real_form(recurrent), cdtype.real_dtype)
    inputs = tf.constant(drive, cdtype)

    def run(u: tf.Tensor) -> tf.Tensor:
        driven = tf.einsum("bft,fk->tbk", u, inputs)
        states = _run(tf.concat([tf.math.real(driven), tf.math.imag(driven)], axis=-1), matrix)
        states = tf.complex(states[..., :num_neurons], states[..., num_neurons:])
        return tf.transpose(states, [1, 2, 0])

    return run


@tf.function(jit_compile=True)
def _run(drive: tf.Tensor, recurrent: tf.Tensor) -> tf.Tensor:
    """The sequential recurrence; one compiled loop is many times faster than a graph's."""
    return tf.scan(
        lambda state, step: tf.tanh(state @ recurrent + step), drive, tf.zeros_like(drive[0])
    )
