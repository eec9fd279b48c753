"""OFDM in the time domain, where the FFT window stands and what channel it sees there."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sims.scenario import Scenario


def modulate(x: tf.Tensor, scenario: Scenario) -> tf.Tensor:
    r"""Transforms a grid to samples with cyclic prefixes, in the precision of the grid.

    $x[m (N + N_{cp}) + N_{cp} + n] = \frac{1}{\sqrt N} \sum_k x_{m,k} \, e^{2 \pi j k n / N}$
    for $n = -N_{cp}, \dots, N - 1$

    Args:
        x: ``[..., num_ofdm_symbols, fft_size]`` complex, subcarriers in ascending order.
        scenario: gives the grid.

    Returns:
        ``[..., num_ofdm_symbols * (fft_size + cp_length)]`` complex samples.
    """
    n, cp = scenario.fft_size, scenario.cp_length
    symbols = tf.signal.ifft(tf.signal.ifftshift(x, axes=-1)) * tf.cast(np.sqrt(n), x.dtype)
    prefixed = tf.concat([symbols[..., n - cp :], symbols], -1)
    return tf.reshape(prefixed, [*x.shape[:-2], scenario.num_ofdm_symbols * (n + cp)])


def demodulate(y_time: tf.Tensor, scenario: Scenario, offset: int) -> tf.Tensor:
    r"""Cuts received samples into OFDM symbols and transforms them.

    $y_{m,k} = \frac{1}{\sqrt N} \sum_n y[m (N + N_{cp}) + N_{cp} + o + n]
    \, e^{-2 \pi j k (n + l_{min} + o) / N}$

    Args:
        y_time: ``[..., T]`` complex samples, the first one at time l_min.
        scenario: gives the grid and the lags.
        offset: o, samples by which the windows stand later than Sionna's OFDMDemodulator has
            them, in -cp_length .. l_max - l_min. The phase is compensated: the frequency
            response stays that of the taps.

    Returns:
        ``[..., num_ofdm_symbols, fft_size]`` complex grid, subcarriers in ascending order.

    Raises:
        ValueError: if a window would leave the received samples.
    """
    n, (l_min, _) = scenario.fft_size, scenario.lags
    grid = tf.signal.fft(tf.gather(y_time, window_index(scenario, offset), axis=-1))
    phase = np.exp(-2j * np.pi * np.arange(n) * (l_min + offset) / n) / np.sqrt(n)
    return tf.signal.fftshift(grid * tf.constant(phase, grid.dtype), axes=-1)


def window_index(scenario: Scenario, offset: int) -> np.ndarray:
    """Returns the received samples ``[num_ofdm_symbols, fft_size]`` int of every FFT window."""
    l_min, l_max = scenario.lags
    if not -scenario.cp_length <= offset <= l_max - l_min:
        raise ValueError(
            f"offset must be in {-scenario.cp_length}..{l_max - l_min} samples, got {offset}"
        )
    symbol = scenario.fft_size + scenario.cp_length
    first = np.arange(scenario.num_ofdm_symbols) * symbol + scenario.cp_length + offset
    return first[:, None] + np.arange(scenario.fft_size)


def window_means(scenario: Scenario, offset: int, num_samples: int) -> np.ndarray:
    """Returns the matrix ``[num_ofdm_symbols, T]`` that averages over every FFT window."""
    means = np.zeros([scenario.num_ofdm_symbols, num_samples])
    index = window_index(scenario, offset)
    means[np.arange(scenario.num_ofdm_symbols)[:, None], index] = 1 / scenario.fft_size
    return means


def frequency_response(taps: tf.Tensor, scenario: Scenario) -> tf.Tensor:
    r"""Transforms taps to subcarriers, $H_k = \sum_l h_l e^{-2 \pi j k l / N}$.

    Args:
        taps: ``[..., L]`` complex at the scenario's lags.
        scenario: gives N and the lags.

    Returns:
        ``[..., fft_size]`` complex, subcarriers in ascending order.
    """
    n, (l_min, l_max) = scenario.fft_size, scenario.lags
    k = np.arange(n) - n // 2
    kernel = np.exp(-2j * np.pi * np.outer(np.arange(l_min, l_max + 1), k) / n)
    return tf.tensordot(taps, tf.constant(kernel, taps.dtype), 1)


def best_offset(tap_powers: np.ndarray, scenario: Scenario) -> int:
    r"""Finds the window offset of largest signal to self-interference ratio.

    A tap outside the reach of the prefix by e samples leaves the useful power
    $(1 - e/N)^2$ of its own and turns $2 e/N - (e/N)^2$ of it into interference between symbols
    and between carriers. Ties go to the smallest shift.

    Args:
        tap_powers: ``[L]`` mean power of the taps at the scenario's lags.
        scenario: gives the grid and the lags.

    Returns:
        The offset in samples for `demodulate`.

    >>> from sims.scenario import SCENARIOS
    >>> import numpy as np
    >>> s = SCENARIOS["nominal_siso"]
    >>> best_offset(np.eye(21)[20], s)
    4
    """
    l_min, l_max = scenario.lags
    lags = np.arange(l_min, l_max + 1)
    # Rounding noise of a tap that is zero must not decide between offsets.
    powers = np.where(tap_powers > 1e-12 * tap_powers.sum(), tap_powers, 0.0)
    offsets = sorted(range(-scenario.cp_length, l_max - l_min + 1), key=lambda o: (abs(o), o))
    ratios = []
    for offset in offsets:
        first = l_min + offset
        last = first + scenario.cp_length
        outside = np.maximum(np.maximum(first - lags, lags - last), 0)
        lost = np.minimum(outside / scenario.fft_size, 1.0)
        ratios.append((powers @ (2 * lost - lost**2)) / (powers @ (1 - lost) ** 2))
    return offsets[int(np.argmin(ratios))]
