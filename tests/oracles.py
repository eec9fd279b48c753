"""Independent references for the tests: float64 and complex128, nothing of the project."""

from __future__ import annotations

import numpy as np
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
