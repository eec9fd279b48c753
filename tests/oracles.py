"""Independent references for the tests: float64 and complex128, nothing of the project."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.signal import lfilter

# --- poles -----------------------------------------------------------------------------------


def pole_sequences(poles, num_samples):
    """Return the sequences beta_k^n as columns, ``[num_samples, K]``."""
    return np.asarray(poles, np.complex128) ** np.arange(num_samples)[:, None]


def takenaka_malmquist_sequences(poles, num_samples):
    """Return the impulse responses of the Takenaka-Malmquist cascade, ``[num_samples, K]``."""
    passed_on = np.zeros(num_samples, np.complex128)
    passed_on[0] = 1
    columns = []
    for pole in np.asarray(poles, np.complex128):
        norm = np.sqrt(1 - abs(pole) ** 2)
        columns.append(lfilter([norm], [1, -pole], passed_on))
        passed_on = lfilter([-np.conj(pole), 1], [1, -pole], passed_on)
    return np.stack(columns, axis=1)


def takenaka_malmquist_factor(poles):
    """Return R, upper triangular, with Gram = R^H R for the sequences beta_k^n.

    R[m, k] is the conjugate of stage m's transfer function at z^-1 = conj(beta_k): the
    projection of the k-th sequence on the m-th orthonormal one, a product of differences.
    """
    poles = np.asarray(poles, np.complex128)
    point = np.conj(poles)
    passed_on = np.ones_like(poles)
    rows = []
    for pole in poles:
        rows.append(np.conj(np.sqrt(1 - abs(pole) ** 2) / (1 - pole * point) * passed_on))
        passed_on = passed_on * (point - np.conj(pole)) / (1 - pole * point)
    return np.stack(rows)


# --- links -----------------------------------------------------------------------------------


def q_function(x):
    """Return the tail probability of the standard normal distribution."""
    return stats.norm.sf(x)


def ber_terms(num_bits):
    """Return (weight, c) with BER = sum of weight Q(c sqrt(Eb/N0)) for Gray QPSK or 16-QAM."""
    if num_bits == 2:
        return [(1.0, np.sqrt(2))]
    a = np.sqrt(4 / 5)
    return [(3 / 4, a), (1 / 2, 3 * a), (-1 / 4, 5 * a)]


def ber_awgn(num_bits, ebno_db):
    """Return the exact bit error rate of Gray-labelled QPSK or 16-QAM in Gaussian noise."""
    ebno = 10 ** (ebno_db / 10)
    return sum(w * q_function(c * np.sqrt(ebno)) for w, c in ber_terms(num_bits))


def ber_rayleigh(num_bits, ebno_db):
    """Return its mean over an exponentially distributed Eb/N0, one receive antenna."""
    ebno = 10 ** (ebno_db / 10)
    means = [(w, c**2 * ebno / 2) for w, c in ber_terms(num_bits)]
    return sum(w * (1 - np.sqrt(g / (1 + g))) / 2 for w, g in means)


def ofdm_waveform(grid, cp_length):
    """Return the samples of OFDM symbols ``[M, N]`` by the sum over their subcarriers."""
    _, n = grid.shape
    k, t = np.arange(n) - n // 2, np.arange(-cp_length, n)
    return (grid @ np.exp(2j * np.pi * np.outer(k, t) / n) / np.sqrt(n)).ravel()


def time_variant_filter(x, h):
    """Return y[b] = sum_l h[b, l] x[b - l], ``h [T + L - 1, L]``, by the definition."""
    num_out, num_taps = h.shape
    y = np.zeros(num_out, np.complex128)
    for b in range(num_out):
        for lag in range(num_taps):
            if 0 <= b - lag < len(x):
                y[b] += h[b, lag] * x[b - lag]
    return y


def rapp(x, p, backoff_db):
    """Return the Rapp amplifier's output for one waveform, in polar form."""
    saturation = np.sqrt(np.mean(np.abs(x) ** 2)) * 10 ** (backoff_db / 20)
    r = np.abs(x)
    return r / (1 + (r / saturation) ** (2 * p)) ** (1 / (2 * p)) * np.exp(1j * np.angle(x))


def mid_rise(v, num_bits, full_scale):
    """Return the nearest of the 2^num_bits levels at odd half steps, by search."""
    step = 2 * full_scale / 2**num_bits
    levels = (np.arange(2**num_bits) - 2 ** (num_bits - 1) + 0.5) * step
    return levels[np.argmin(np.abs(np.asarray(v)[..., None] - levels), axis=-1)]
