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


# --- equalizer -------------------------------------------------------------------------------


def bank_features(y, poles, basis):
    """Return the unit-power features ``[K, T]`` of one antenna's samples, filter by filter."""
    rows, passed = [], np.asarray(y, np.complex128)
    for p in poles:
        scale = np.sqrt(1 - abs(p) ** 2)
        source = passed if basis == "orthonormal" else y
        rows.append(scale * lfilter([1], [1, -p], source))
        passed = lfilter([-np.conj(p), 1], [1, -p], passed)
    return np.array(rows)


def equalize(y, grid, poles, *, window, delay, loading, basis, l_min):
    """Return the ridge estimate of the data ``[B, S, D]`` of samples ``[B, A, T]``, by loops.

    All streams share one pilot mask; a delay line, then the poles, for each antenna.
    """
    fft, cp = int(grid.fft_size), int(grid.cyclic_prefix_length)
    mask = np.asarray(grid.pilot_pattern.mask)[0, 0].astype(bool)
    pilots = np.asarray(grid.pilot_pattern.pilots)
    pilots = pilots.reshape(-1, pilots.shape[-1]).astype(np.complex128)
    occupied = np.asarray(grid.effective_subcarrier_ind)
    dft = np.exp(-2j * np.pi * np.outer(np.arange(fft) - fft // 2, np.arange(fft)) / fft)
    dft /= np.sqrt(fft)
    slots = []
    for slot in y:
        spectra = []
        for samples in slot:
            padded = np.concatenate([np.zeros(window + delay), samples, np.zeros(delay)])
            lines = [padded[window + delay - w :][: len(samples) + delay] for w in range(window)]
            leaving = np.concatenate([np.zeros(window), samples, np.zeros(delay)])
            bank = bank_features(leaving[: len(samples) + delay], poles, basis)
            for feature in [*lines, *bank]:
                starts = np.arange(len(mask)) * (fft + cp) + cp - l_min + delay
                spectra.append([dft @ feature[start : start + fft] for start in starts])
        spectra = np.array(spectra)[..., occupied]  # [A F, M, occupied]
        trained = spectra[:, mask].T
        size = trained.shape[1]
        augmented = np.concatenate([trained, np.sqrt(loading) * np.eye(size)])
        targets = np.concatenate([pilots.T, np.zeros((size, len(pilots)))])
        weights = np.linalg.lstsq(augmented, targets, rcond=None)[0]
        slots.append((spectra[:, ~mask].T @ weights).T)
    return np.array(slots)


# --- recurrences and readouts ----------------------------------------------------------------

# The one constant of every tolerance: double 1e-10, single CONSTANT * eps * gain.
CONSTANT = 8


def tolerance(dtype, gain=1.0):
    """Return the error allowed relative to the largest value; gain = 1 / (1 - |p|) or so."""
    if dtype == "complex128":
        return 1e-10
    return CONSTANT * float(np.finfo(np.float32).eps) * gain


def bank_states(u, poles, basis="parallel"):
    """Return the features ``[B, T, N K]``, one lfilter a pole and stage, in complex128."""
    features = []
    for n in range(u.shape[-1]):
        passed_on = u[..., n].astype(np.complex128)
        for p in np.asarray(poles, np.complex128):
            gain = 1.0 if basis == "parallel" else np.sqrt(1 - abs(p) ** 2)
            features.append(lfilter([gain], [1, -p], passed_on, axis=1))
            if basis == "orthonormal":
                passed_on = lfilter([-np.conj(p), 1], [1, -p], passed_on, axis=1)
    return np.stack(features, axis=-1)


def driven_states(u, poles, input_weights):
    """Return the features ``[B, T, K]`` of one bank driven by ``W u``."""
    drive = u.astype(np.complex128) @ np.asarray(input_weights).T
    columns = [lfilter([1], [1, -p], drive[..., k], axis=1) for k, p in enumerate(poles)]
    return np.stack(columns, axis=-1)


def weighted_ridge(features, targets, loading, prior=0.0, row_weights=None):
    """Return one slot's ridge weights ``[F, S]`` by least squares on augmented rows."""
    num_features = features.shape[1]
    root = np.sqrt(np.ones(len(features)) if row_weights is None else row_weights)[:, None]
    rows = np.concatenate([root * features, np.sqrt(loading) * np.eye(num_features)])
    prior = np.broadcast_to(prior, (num_features, targets.shape[1]))
    right = np.concatenate([root * targets, np.sqrt(loading) * prior])
    return np.linalg.lstsq(rows, right, rcond=None)[0]


# --- baseline receivers ----------------------------------------------------------------------


def joint_mmse(values, symbols, columns, time, frequency, no):
    """Return (filters ``[S, M, K, P]``, error variances ``[S, M, K]``) of the joint MMSE.

    Every stream's channel is one long vector over (symbol, subcarrier) with covariance
    ``kron(time, frequency)``; the pilots observe the sum of all streams and noise.
    """
    num_streams, num_pilots = values.shape
    size = len(time) * len(frequency)
    covariance = np.kron(time, frequency)
    picked = np.zeros((num_pilots, size))
    picked[np.arange(num_pilots), symbols * len(frequency) + columns] = 1
    observe = [np.diag(v) @ picked for v in values]
    total = sum(a @ covariance @ a.conj().T for a in observe) + no * np.eye(num_pilots)
    shape = (len(time), len(frequency))
    filters, errors = [], []
    for a in observe:
        w = covariance @ a.conj().T @ np.linalg.inv(total)
        filters.append(w.reshape(*shape, num_pilots))
        errors.append(np.diag(covariance - w @ a @ covariance).real.reshape(shape))
    return np.array(filters), np.array(errors)


def wiener_filter(taps, frequencies, fft_size, cp_length, l_min, window, delay, no):
    """Return the time-domain MMSE weights ``[S, A, W]`` by dense convolution matrices.

    ``taps [A, S, L]``; every stream is white on the given subcarriers and independent, and so are
    OFDM symbols. The wanted sample may be anywhere in its symbol.
    """
    num_antennas, num_streams, num_taps = taps.shape
    # times of the transmitted samples that reach positions 0 .. W-1, relative to the wanted one
    times = np.arange(delay - window + 1 - (l_min + num_taps - 1), delay - l_min + 1)
    phases = np.exp(2j * np.pi * np.outer(times, frequencies) / fft_size)
    places = np.arange(fft_size + cp_length)[:, None] + times  # of each sample, in its own symbol
    symbols = places // (fft_size + cp_length)
    together = np.mean(symbols[:, :, None] == symbols[:, None, :], axis=0)
    waveform = phases @ phases.conj().T / fft_size * together
    convolve = np.zeros((num_streams, num_antennas * window, len(times)), np.complex128)
    for s in range(num_streams):
        for a in range(num_antennas):
            for w in range(window):
                for tap in range(num_taps):
                    sent = np.flatnonzero(times == delay - w - (l_min + tap))[0]
                    convolve[s, a * window + w, sent] = taps[a, s, tap]
    covariance = sum(c @ waveform @ c.conj().T for c in convolve)
    covariance = covariance + no * np.eye(len(covariance))
    now = np.flatnonzero(times == 0)[0]
    weights = [np.linalg.solve(covariance, c @ waveform[:, now]) for c in convolve]
    return np.array(weights).reshape(num_streams, num_antennas, window)


def tanh_reservoir(inputs, recurrent, drive):
    """Return the states ``[T, K]`` of ``s = tanh(W s + u D)``, tanh on each part, by a loop."""
    state, states = np.zeros(len(recurrent), np.complex128), []
    for u in inputs:
        z = recurrent @ state + u @ drive
        state = np.tanh(z.real) + 1j * np.tanh(z.imag)
        states.append(state)
    return np.array(states)
