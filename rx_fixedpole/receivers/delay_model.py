r"""What the pilots leave over once a channel of limited delay is fitted to them.

Along subcarriers a path of delay l is the unit-circle pole ``exp(-2j pi l / fft_size)``. On the
pilots of a slot the received samples of an antenna are then a Gaussian process: paths of equal
power in a window of delays, times the known pilots, plus white noise. The pilots and the poles do
not depend on the slot, so the process is diagonalised once, at construction; what is left to do
for a slot is a product with its eigenvectors, and no factorisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .pilots import pilot_groups

# Phase turns of the fastest path over the slot's pilots (radians) that a slot is tried with: from
# standing to 300 km/h at 3.5 GHz.
TURNS = (0.0, 0.5, 3.0)
# Noise over channel power that a slot is tried with, -50 to 15 dB.
RATIOS = 10.0 ** np.arange(-5.0, 1.6, 0.5)
# Delay of the earliest path: Sionna's first lag of a channel that starts at zero.
SHORTEST = -6
# Eigenvalues below this are lost in the noise at every ratio.
_SMALLEST = 1e-8


def known_elements(resource_grid: Any) -> tuple[np.ndarray, np.ndarray]:
    """Resource elements on which every stream is known, silent ones included.

    Returns:
        Flat indices ``symbol * fft_size + subcarrier``, int ``[P]``, ascending, and what the
        streams send there, complex128 ``[P, S]``.

    Raises:
        ValueError: if there is none.
    """
    groups = pilot_groups(resource_grid)
    elements = groups[0].elements
    for group in groups[1:]:
        elements = np.intersect1d(elements, group.elements)
    if elements.size == 0:
        raise ValueError(
            "resource_grid must have resource elements that every stream reserves for pilots, "
            "got none"
        )
    sent = np.zeros((elements.size, sum(len(group.streams) for group in groups)), np.complex128)
    for group in groups:
        sent[:, group.streams] = group.targets[np.searchsorted(group.elements, elements)]
    return elements, sent


def delay_window(
    resource_grid: Any, sent: np.ndarray, elements: np.ndarray, l_min: int | None, l_max: int | None
) -> np.ndarray:
    """Delays ``l_min .. l_max`` in samples, by default those a slot may well have.

    Pilots every c subcarriers do not tell delays apart that differ by ``fft_size / c``.
    """
    fft_size = int(resource_grid.fft_size)
    first = SHORTEST if l_min is None else l_min
    if l_max is None:
        l_max = max(int(resource_grid.cyclic_prefix_length), fft_size // 8)
    if l_max < first:
        raise ValueError(f"l_max must be >= l_min = {first}, got {l_max}")
    last = min(l_max, first + fft_size // _comb(sent, elements, fft_size) - 1)
    return np.arange(first, last + 1)


def _comb(sent: np.ndarray, elements: np.ndarray, fft_size: int) -> int:
    """Largest over the streams of the smallest distance of their pilots within a symbol."""
    distances = [1]
    for stream in sent.T:
        used = elements[stream != 0]
        steps = [np.diff(used[used // fft_size == m]) for m in np.unique(used // fft_size)]
        distances.append(int(min((step.min() for step in steps if step.size), default=1)))
    return max(distances)


class DelayModel:
    r"""Residuals of the pilots of every slot, antenna by antenna.

    .. math:: y = \sum_{s,l} c_{s,l}(m)\, x_s \phi_l + w, \quad e = (I - H) y, \quad
              H = K (K + \lambda I)^{-1}

    ``K`` is the covariance of the noiseless samples for unit channel power. How fast the channel
    moves and ``lambda``, the noise over the channel power, are those of the largest marginal
    likelihood, one choice a slot for all antennas; the noise is at least the thermal one.

    Args:
        elements: flat indices of the pilots, int ``[P]``.
        sent: what the streams send on them, complex128 ``[P, S]``.
        lags: delays of the paths in samples, int ``[L]``.
        fft_size: number of subcarriers.
    """

    def __init__(
        self, elements: np.ndarray, sent: np.ndarray, lags: np.ndarray, fft_size: int
    ) -> None:
        symbols = elements // fft_size
        turns = TURNS if len(np.unique(symbols)) > 1 else TURNS[:1]
        paths = np.exp(-2j * np.pi * np.outer(elements % fft_size, lags) / fft_size)
        paths = (sent[:, :, None] * paths[:, None]).reshape(len(elements), -1)
        spectra = [_spectrum(paths, symbols, turn) for turn in turns]
        rank = max(len(values) for _, values in spectra)
        vectors = [np.pad(u, ((0, 0), (0, rank - u.shape[1]))) for u, _ in spectra]
        values = [np.pad(v, (0, rank - len(v))) for _, v in spectra]
        self._vectors = np.concatenate(vectors, axis=1)  # [P, J rank]
        # Share of each eigenvector that each choice takes for signal, [J ratios, J rank]
        shares = np.zeros((len(turns), len(RATIOS), len(turns), rank))
        logs = np.zeros((len(turns), len(RATIOS)))
        for j, value in enumerate(values):
            shares[j, :, j] = value / (value + RATIOS[:, None])
            logs[j] = np.sum(np.log1p(value / RATIOS[:, None]), axis=1)
        self._shares = shares.reshape(-1, len(turns) * rank)
        self._logs = logs.reshape(-1)

    def residuals(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals and what the fit left of the noise in them.

        Args:
            y: complex ``[N, A, P]``, pilots in units of the thermal noise's standard deviation.

        Returns:
            Residuals ``[N, A, P]`` and slack ``1 - leverage`` ``[N, P]``: ``residual / slack`` is
            the error at a pilot of the fit without that pilot. Under the model the variance of a
            residual is ``slack`` times that of the noise.
        """
        dtype = _backend.dtype(y)
        y = ops.cast(y, "complex128")
        seen = y @ _backend.constant(self._vectors.conj(), "complex128")
        shares = _backend.constant(self._shares, "float64")
        chosen = self._choice(y, seen, shares)
        share = chosen @ shares
        fitted = seen * ops.cast(share[:, None], "complex128")
        residual = y - fitted @ _backend.constant(self._vectors.T, "complex128")
        leverage = share @ _backend.constant(np.abs(self._vectors.T) ** 2, "float64")
        slack = _backend.at_least(1.0 - leverage, 1e-6)
        return ops.cast(residual, dtype), ops.cast(slack, _backend.REAL_OF[dtype])

    def _choice(self, y: Tensor, seen: Tensor, shares: Tensor) -> Tensor:
        """The most likely choice of every slot, one-hot float64 ``[N, J ratios]``."""
        count = y.shape[1] * y.shape[2]
        explained = ops.sum(_backend.power(seen), axis=1) @ ops.transpose(shares)
        total = ops.sum(_backend.power(y), axis=(1, 2))[:, None]
        left = _backend.at_least(total - explained, 0.0)
        noise = _backend.at_least(left / count, 1.0)
        logs = y.shape[1] * _backend.constant(self._logs, "float64")
        likelihood = -logs - count * ops.log(noise) - left / noise
        return ops.one_hot(ops.argmax(likelihood, axis=-1), len(self._logs), dtype="float64")


def _spectrum(paths: np.ndarray, symbols: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors ``[P, rank]`` and eigenvalues of the signal on the pilots, of unit mean power.

    Args:
        paths: responses of all paths, complex128 ``[P, S L]``.
        symbols: OFDM symbol of each pilot.
        turn: phase turn over the pilots of the fastest path, whose Doppler spectrum is flat.
    """
    used, which = np.unique(symbols, return_inverse=True)
    time = (used - used[0]) / max(used[-1] - used[0], 1)
    values, functions = np.linalg.eigh(np.sinc(turn / np.pi * (time[:, None] - time)))
    functions = functions * np.sqrt(np.clip(values, 0, None))
    functions = functions[:, values > 1e-6 * values[-1]][which]
    features = (paths[:, :, None] * functions[:, None]).reshape(len(paths), -1)
    vectors, roots, _ = np.linalg.svd(features, full_matrices=False)
    power = roots**2
    # Silent elements do not count for the mean power
    power *= np.count_nonzero(np.any(paths != 0, axis=1)) / max(power.sum(), 1e-300)
    kept = power > _SMALLEST * max(power[0], 1e-300)
    return vectors[:, kept], power[kept]
