"""Convolution with taps that move linearly from knot to knot, by FFT: for long channels."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def moving_convolution(x: tf.Tensor, taps: tf.Tensor, *, step: int, length: int) -> tf.Tensor:
    r"""Filters streams and adds them up at every antenna.

    $y_a[t] = \sum_{s,l} h_{a,s,l}(t) \, x_s[t - l]$ with h(t) linear between its knots

    Args:
        x: ``[B, S, T_x]`` complex samples.
        taps: ``[B, A, S, num_knots, L]`` complex, at times 0, step, 2 step, ...; one knot: static.
        step: samples from knot to knot.
        length: T, samples wanted; at most step x (num_knots - 1), or step for one knot.

    Returns:
        ``[B, A, T]`` complex. Costs an FFT of about step + L samples per knot, antenna and stream.
    """
    num_knots, num_taps = taps.shape[-2:]
    segments, past = math.ceil(length / step), num_taps - 1
    size = 1 << (step + past - 1).bit_length()
    index = np.arange(segments)[:, None] * step + np.arange(step + past)
    tail = max(int(index.max()) + 1 - past - x.shape[-1], 0)
    pieces = tf.gather(tf.pad(x, [[0, 0], [0, 0], [past, tail]]), index, axis=-1)
    # [B, segments, size, S, 1]
    spectra = tf.transpose(tf.signal.fft(_padded(pieces, size)), [0, 2, 3, 1])[..., None]
    # [B, knots, size, A, S]
    response = tf.transpose(tf.signal.fft(_padded(taps, size)), [0, 3, 4, 1, 2])
    start = _samples(response[:, :segments] @ spectra, past, step)
    if num_knots > 1:
        change = response[:, 1 : segments + 1] - response[:, :segments]
        rise = _samples(change @ spectra, past, step)
        start += tf.cast(np.arange(step) / step, x.dtype) * rise
    return tf.reshape(start, [-1, taps.shape[1], segments * step])[..., :length]


def _samples(spectra: tf.Tensor, past: int, step: int) -> tf.Tensor:
    """[B, segments, size, A, 1] -> [B, A, segments, step], without what wraps around."""
    y = tf.signal.ifft(tf.transpose(spectra[..., 0], [0, 3, 1, 2]))
    return y[..., past : past + step]


def _padded(x: tf.Tensor, size: int) -> tf.Tensor:
    return tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, size - x.shape[-1]]])
