"""The linear bound with a short cyclic prefix: time-domain Wiener equalizer with true taps.

    x_hat_s[n] = sum_{a,w} conj(w_s[a, w]) y_a[n + delay - w],   w_s = C^-1 p_s
    C = E[y y^H],   p_s = E[y conj(x_s[n])]

The transmitted waveform is taken as stationary with its correlation averaged over time: a symbol
of N + CP samples is correlated with itself alone, so the spectrum leaks into empty subcarriers,

    r[v] = max(0, 1 - |v| / (N + CP)) (1/N) sum_{k occupied} exp(j 2 pi k v / N)
    C_ab[i, j] = (1/G) sum_g S(g) sum_s H_as(g) conj(H_bs(g)) exp(j 2 pi g (j - i) / G) + no I
    p_as[w]    = (1/G) sum_g S(g) H_as(g) exp(j 2 pi g (delay - w) / G)

for filter positions i, j, with S the DFT of r on a grid of G points that is fine enough to hold
all lags. Prefix removal, FFT and a bias removal per subcarrier follow; the
effective noise has its exact parts (noise through the filter, other streams) and, for combined
taps that outrun the prefix by e samples, gain 1 - e/N and interference 2 e/N - (e/N)^2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rx_fixedpole.receivers.prefix import lost_share
from sims.link import Link, Slots
from sims.receivers.base import COUNT, Options
from sims.receivers.grid import fourier, pilot_grid
from sims.receivers.waveform import Waveform, data_elements
from sims.scenario import Scenario

_WINDOW = 64


def fits_the_grid(scenario: Scenario, options: Options) -> str | None:
    """Refuse a filter as long as an OFDM symbol."""
    window = options["window"]
    if window is None or window < scenario.fft_size:
        return None
    return f"needs a window of at most fft_size - 1 = {scenario.fft_size - 1}, got {window}"


def genie_wiener(
    link: Link, *, window: COUNT | None = None, delay: int | None = None
) -> Callable[[Slots], tf.Tensor]:
    """Time-domain linear MMSE equalizer from the true taps, all antennas and streams stacked.

    Args:
        link: the link to receive on.
        window: filter length in samples per antenna, 1 .. fft_size - 1; None: 64 or twice the
            number of taps, whichever is more, but at most 3/4 fft_size.
        delay: decision delay in samples; None: half the window and half the middle lag.

    Returns:
        (slots) -> llr. With a moving channel there is one filter per OFDM symbol, from the taps
        in its middle.
    """
    if window is None:
        taps = link.l_max - link.l_min + 1
        window = min(max(_WINDOW, 2 * taps), 3 * link.scenario.fft_size // 4)
    if not 1 <= window < link.scenario.fft_size:
        raise ValueError(f"window must be in 1 .. fft_size - 1, got {window}")
    if delay is None:
        delay = window // 2 + (link.l_min + link.l_max) // 4
    design = _design(link, window, delay)
    waveform = Waveform.of(link, shift=design.shift)
    extract = data_elements(link)

    def receive(slots: Slots) -> tf.Tensor:
        no = tf.cast(slots.no, tf.float64)
        taps = tf.cast(_symbol_taps(slots.h_time, link, waveform), tf.complex128)
        weights = _wiener_weights(taps, no, design)
        y = tf.cast(slots.y_time, tf.complex128)
        x_hat = _equalize(y, weights, waveform, delay)
        gain, no_eff = _after_equalization(weights, taps, no, design)
        x_hat = tf.gather(x_hat, design.subcarriers, axis=-1)
        no_eff = tf.broadcast_to(no_eff / tf.abs(gain) ** 2, tf.shape(x_hat))
        x_hat = tf.cast(extract(x_hat / gain), slots.y_time.dtype)
        return link.demap(x_hat, extract(no_eff))

    return receive


class _Design(NamedTuple):
    """Constants of one link, window and delay; matrices complex128.

    Without noise the weights on empty subcarriers are large, and what they do cancels.
    """

    response: tf.Tensor  # [L, G] taps -> fine frequency grid
    correlation: tf.Tensor  # [G, 2W - 1] spectrum -> correlation at steps -(W-1) .. W-1
    steps: np.ndarray  # [W, W] int, which of them belongs to filter positions i, j
    steering: tf.Tensor  # [G, W] spectrum -> correlation with the wanted sample
    filter_response: tf.Tensor  # [W, K]
    combined: tf.Tensor  # [W + L - 1, K] combined taps -> useful gain, prefix overrun included
    overrun: tf.Tensor  # [W + L - 1] float64, interference per combined tap power
    subcarriers: tf.Tensor  # [K] int
    window: int
    shift: int  # of the FFT window, samples (<= 0)


def _design(link: Link, window: int, delay: int) -> _Design:
    grid = pilot_grid(link.resource_grid)
    size, prefix = grid.fft_size, link.scenario.cp_length
    k = grid.frequencies
    positions = np.arange(window)
    lags = np.arange(link.l_min, link.l_max + 1)
    combined = np.arange(window + lags.size - 1) + link.l_min - delay
    shift = -(prefix // 2)
    lost = lost_share(combined, shift, prefix, size)
    spread = np.arange(1 - window, window)
    double = tf.complex128
    fine = 2 * (window + lags.size + abs(delay))
    fine_k = np.arange(fine)
    spectrum = _spectrum(k, size, prefix, fine)[:, None] / fine
    return _Design(
        response=tf.constant(fourier(fine_k, lags, fine).T, double),
        correlation=tf.constant(fourier(fine_k, -spread, fine) * spectrum, double),
        steps=positions[None, :] - positions[:, None] + window - 1,
        steering=tf.constant(fourier(fine_k, positions - delay, fine) * spectrum, double),
        filter_response=tf.constant(fourier(k, positions, size).T, double),
        combined=tf.constant((fourier(k, combined, size) * (1 - lost)).T, double),
        overrun=tf.constant(2 * lost - lost**2, tf.float64),
        subcarriers=tf.constant(grid.subcarriers, tf.int32),
        window=window,
        shift=shift,
    )


def _spectrum(k: np.ndarray, size: int, prefix: int, fine: int) -> np.ndarray:
    """S(g) [fine] of the waveform, with r cut beyond the lags that the grid can tell apart."""
    lags = np.arange(fine) - fine // 2
    correlation = np.maximum(1 - np.abs(lags) / (size + prefix), 0.0)
    correlation = correlation * fourier(k, -lags, size).sum(axis=0) / size
    return np.fft.fft(np.fft.ifftshift(correlation))


def _symbol_taps(h_time: tf.Tensor, link: Link, waveform: Waveform) -> tf.Tensor:
    """[B, 1, A, U, S, T or 1, L] -> [B, M or 1, A, U*S, L]: taps in the middle of each symbol."""
    if h_time.shape[5] > 1:
        h_time = tf.gather(h_time, waveform.centres(), axis=5)
    h = tf.transpose(h_time[:, 0], [0, 4, 1, 2, 3, 5])
    return tf.reshape(h, [-1, h.shape[1], h.shape[2], link.scenario.num_streams, h.shape[5]])


def _wiener_weights(taps: tf.Tensor, no: tf.Tensor, design: _Design) -> tf.Tensor:
    """Solve the normal equations: [B, M', S, A, W], not yet conjugated."""
    h = tf.tensordot(taps, design.response, 1)
    num_antennas, num_streams, window = h.shape[2], h.shape[3], design.window
    spectrum = tf.einsum("tmask,tmbsk->tmabk", h, tf.math.conj(h))
    correlation = tf.tensordot(spectrum, design.correlation, 1)
    correlation = tf.gather(correlation, design.steps, axis=-1)
    size = num_antennas * window
    correlation = tf.transpose(correlation, [0, 1, 2, 4, 3, 5])
    correlation = tf.reshape(correlation, [-1, h.shape[1], size, size])
    correlation += tf.cast(no, tf.complex128) * tf.eye(size, dtype=tf.complex128)
    wanted = tf.transpose(tf.tensordot(h, design.steering, 1), [0, 1, 2, 4, 3])
    wanted = tf.reshape(wanted, [-1, h.shape[1], size, num_streams])
    weights = tf.linalg.cholesky_solve(tf.linalg.cholesky(correlation), wanted)
    weights = tf.reshape(weights, [-1, h.shape[1], num_antennas, window, num_streams])
    return tf.transpose(weights, [0, 1, 4, 2, 3])


def _equalize(y_time: tf.Tensor, weights: tf.Tensor, waveform: Waveform, delay: int) -> tf.Tensor:
    """Filter every symbol's FFT window and transform it: [B, S, M, fft]."""
    window = weights.shape[-1]
    segments = waveform.windows(y_time[:, 0], delay=delay, history=window - 1)
    length = 1 << (waveform.fft_size + window - 2).bit_length()
    spectrum = tf.signal.fft(_padded(segments, length))
    filters = tf.signal.fft(_padded(tf.math.conj(weights), length))
    if filters.shape[1] == 1:
        filtered = tf.einsum("bamf,bsaf->bsmf", spectrum, filters[:, 0])
    else:
        filtered = tf.einsum("bamf,bmsaf->bsmf", spectrum, filters)
    filtered = tf.signal.ifft(filtered)
    return waveform.to_grid(filtered[..., window - 1 : window - 1 + waveform.fft_size])


def _after_equalization(
    weights: tf.Tensor, taps: tf.Tensor, no: tf.Tensor, design: _Design
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gain [B, S, M', K] of the wanted stream and variance of everything else."""
    length = design.combined.shape[0]
    filters = tf.math.conj(weights)
    spectra = tf.einsum(
        "bmsaf,bmarf->bmsrf",
        tf.signal.fft(_padded(filters, length)),
        tf.signal.fft(_padded(taps, length)),
    )
    combined = tf.signal.ifft(spectra)
    gains = tf.tensordot(combined, design.combined, 1)
    own = tf.transpose(tf.linalg.diag_part(tf.transpose(gains, [0, 1, 4, 2, 3])), [0, 3, 1, 2])
    others = tf.reduce_sum(tf.abs(gains) ** 2, axis=3)
    overrun = tf.reduce_sum(tf.abs(combined) ** 2 * design.overrun, axis=[3, 4])[..., None]
    through = tf.reduce_sum(tf.abs(tf.tensordot(filters, design.filter_response, 1)) ** 2, axis=3)
    noise = tf.transpose(others + overrun + no * through, [0, 2, 1, 3]) - tf.abs(own) ** 2
    return own, tf.maximum(noise, 1e-9 * tf.abs(own) ** 2)


def _padded(x: tf.Tensor, length: int) -> tf.Tensor:
    return tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, length - x.shape[-1]]])
