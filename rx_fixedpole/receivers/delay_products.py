r"""Gram matrix of a delay line's spectra at pilots from its displacement structure.

The window of the next lag is the window of this one, moved on by a sample: one comes in at the
front and one goes out at the end. On subcarrier k of a symbol, with ``z = exp(-2j pi k / N)``,

.. math:: F_{w+1}(k) = z F_w(k) + d_w , \qquad
          d_w = (y[-1 - w] - y[N - 1 - w]) / \sqrt N

so ``sum conj(F_(w+1)) F_(v+1)`` is ``sum conj(F_w) F_v`` and, for each symbol, ``conj(q_w) d_v +
conj(d_w) q_v + n conj(d_w) d_v`` with ``q_w = sum z F_w``, whichever n subcarriers the pilots take.
What is left to sum over the pilots are the first row, ``q`` and the moment with the targets, and
these are sums over samples as well: no feature is formed, nothing but samples is rounded.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.recurrence.lags import lag_gram


def delay_products(
    starts: np.ndarray, taken: np.ndarray, targets: np.ndarray, window: int, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Gram matrix of the features at pilots, and their moment with the targets.

    Args:
        starts: sample at which the FFT window of each pilot symbol starts, int ``[M]``.
        taken: which bins of the DFT are pilots, bool ``[M, N]``.
        targets: on these bins, complex ``[M, N, S]``, zero on all others.
        window: number of lags W of each antenna's delay line.
        y: samples, complex ``[B, A, T]``, zero outside.

    Returns:
        complex128 ``[B, A W, A W]`` and ``[B, A W, S]``, feature ``a W + w``.
    """
    num_symbols, size = taken.shape
    num_ant = y.shape[1]
    y = ops.cast(y, "complex128")
    lags = np.arange(window)
    samples = starts[:, None] + np.arange(size) - lags[:, None, None]
    lines = take_samples(y, samples)  # [B, A, W, M, N]
    first = lines[:, :, 0]
    if not taken.all():
        pilots = _backend.constant(taken.astype(np.float64), "complex128")
        first = _backend.ifft(pilots * _backend.fft(first))
    first = ops.reshape(first, (-1, num_ant, num_symbols * size))
    known = _backend.constant(_known_signals(taken, targets), "complex128")
    known = known + ops.zeros_like(first[:, :1])
    signals = ops.concatenate([first, known], axis=1)
    lines = ops.reshape(lines, (-1, num_ant * window, num_symbols * size))
    products = ops.conj(lines) @ ops.swapaxes(signals, 1, 2)
    lagged = _backend.adjoint(products[..., :num_ant])
    turned = _backend.adjoint(products[..., num_ant : num_ant + num_symbols])
    steps = take_samples(y, starts[:, None] - 1 - lags)
    steps = (steps - take_samples(y, starts[:, None] + size - 1 - lags)) / np.sqrt(size)
    steps = ops.reshape(ops.swapaxes(steps, 1, 2), (-1, num_symbols, num_ant * window))
    half = turned + _backend.constant(0.5 * taken.sum(axis=1)[:, None], "complex128") * steps
    ends = _backend.adjoint(half) @ steps
    ends = ends + _backend.adjoint(ends)
    gram = lag_gram(lagged, _next_lags(ends, num_ant, window))
    return gram, products[..., num_ant + num_symbols :]


def _known_signals(taken: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What windows are to be multiplied with for q of each symbol and the moment: ``[M + S, M N]``.

    The signals whose spectra are ``conj(z)`` on the pilots of one symbol, and the targets.
    """
    num_symbols, size = taken.shape
    turn = np.exp(2j * np.pi * np.arange(size) / size) * taken
    spectra = [np.eye(num_symbols)[:, :, None] * turn, np.moveaxis(targets, -1, 0)]
    signals = np.fft.ifft(np.concatenate(spectra), norm="ortho")
    return signals.reshape(-1, num_symbols * size)


def _next_lags(ends: Tensor, num_ant: int, window: int) -> Tensor:
    """Entry (w, v) of every pair of antennas moved to (w + 1, v + 1)."""
    ends = ops.reshape(ends, (-1, num_ant, window, num_ant, window))[:, :, :-1, :, :-1]
    ends = ops.pad(ends, ((0, 0), (0, 0), (1, 0), (0, 0), (1, 0)))
    return ops.reshape(ends, (-1, num_ant * window, num_ant * window))


def take_samples(x: Tensor, samples: np.ndarray) -> Tensor:
    """``x[..., samples]`` with zeros outside the received stretch: ``[..., *samples.shape]``."""
    before = max(0, -int(samples.min()))
    after = max(0, int(samples.max()) + 1 - x.shape[-1])
    padded = ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(before, after)])
    return ops.take(padded, samples + before, axis=-1)
