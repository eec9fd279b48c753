"""LLR scaling of a receiver trained on pilots, from what it makes of pilots it has not seen.

The leave-one-out outputs z = t - e of the pilots t are modelled as z = mu t + w:

    mu = sum conj(t) z / sum |t|^2,   no_eff = E|w|^2 / |mu|^2

with E|w|^2 half its mean over the band, half smoothed over 9 neighbouring subcarriers.
"""

from __future__ import annotations

import tensorflow as tf

_NEIGHBOURS = 9


def unbiased(
    outputs: tf.Tensor, targets: tf.Tensor, leave_one_out: tf.Tensor, num_symbols: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Divide the outputs by the gain and give their effective noise variance.

    Args:
        outputs: complex [B, S, M, K], biased estimates of the transmitted grid.
        targets: complex [P, S], pilots, ordered by OFDM symbol, every occupied subcarrier of a
            pilot symbol among them (0 where the stream is silent): P = num_symbols * K.
        leave_one_out: complex [B, P, S], targets minus the outputs of a fit without each pilot.
        num_symbols: number of pilot symbols.

    Returns:
        x_hat [B, S, M, K] and no_eff [B, S, 1, K].
    """
    held_out = targets - leave_one_out
    energy = tf.reduce_sum(tf.abs(targets) ** 2, axis=0)
    gain = tf.reduce_sum(tf.math.conj(targets) * held_out, axis=1) / tf.cast(energy, outputs.dtype)
    error = tf.abs(held_out - gain[:, None, :] * targets) ** 2
    num_columns = outputs.shape[-1]
    error = tf.reshape(error, [-1, num_symbols, num_columns, outputs.shape[1]])
    error = tf.transpose(tf.reduce_mean(error, axis=1), [0, 2, 1])
    mean = tf.reduce_mean(error, axis=-1, keepdims=True)
    noise = 0.5 * (_smoothed(error) + mean)
    gain = gain[:, :, None, None]
    return outputs / gain, noise[:, :, None, :] / tf.abs(gain) ** 2


def _smoothed(error: tf.Tensor) -> tf.Tensor:
    """Moving average along the last axis, over fewer neighbours at the edges."""
    ones = tf.ones_like(error[:1, :1])
    kernel = tf.ones([_NEIGHBOURS, 1, 1], error.dtype)

    def moving_sum(x: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(x, [-1, x.shape[-1], 1])
        return tf.reshape(tf.nn.conv1d(rows, kernel, 1, "SAME"), tf.shape(x))

    return moving_sum(error) / moving_sum(ones)
