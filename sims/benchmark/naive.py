"""The naive form: a loop over samples that stores every state, as one would write it first."""

from __future__ import annotations

import tensorflow as tf


def states(drive: tf.Tensor, poles: tf.Tensor) -> tf.Tensor:
    """``s[n] = poles * s[n-1] + drive[n]``: ``[B, T, K]`` of ``[B, T, K]``."""
    steps = tf.transpose(drive, [1, 0, 2])
    num_samples = steps.shape[0]
    result = tf.TensorArray(drive.dtype, size=num_samples)

    def body(
        n: tf.Tensor, state: tf.Tensor, result: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        state = poles * state + steps[n]
        return n + 1, state, result.write(n, state)

    initial = (tf.constant(0), tf.zeros_like(steps[0]), result)
    _, _, result = tf.while_loop(lambda n, *_: n < num_samples, body, initial)
    return tf.transpose(result.stack(), [1, 0, 2])


def train(features: tf.Tensor, targets: tf.Tensor, no: float) -> tf.Tensor:
    """Ridge regression in double precision: ``[B, K, S]`` of ``[B, P, K]`` and ``[B, P, S]``."""
    f, t = tf.cast(features, tf.complex128), tf.cast(targets, tf.complex128)
    gram = tf.matmul(f, f, adjoint_a=True) + no * tf.eye(f.shape[-1], dtype=f.dtype)
    weights = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), tf.matmul(f, t, adjoint_a=True))
    return tf.cast(weights, features.dtype)
