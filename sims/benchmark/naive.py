"""The naive form: a loop over samples that stores every state, as one would write it first.

On TensorFlow that is a `while_loop`, elsewhere a loop in Python over the backend's operations.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from rx_fixedpole import _backend
from sims.benchmark import engine

Tensor = Any

if engine.NAME == "tensorflow":
    import tensorflow as tf

    LOOP = "while_loop"

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

else:
    LOOP = "Python loop"

    def states(drive: Tensor, poles: Tensor) -> Tensor:
        """``s[n] = poles * s[n-1] + drive[n]``: ``[B, T, K]`` of ``[B, T, K]``."""
        state = ops.zeros_like(drive[:, 0])
        result = []
        for step in ops.unstack(drive, axis=1):
            state = poles * state + step
            result.append(state)
        return ops.stack(result, axis=1)


def train(features: Tensor, targets: Tensor, no: float) -> Tensor:
    """Ridge regression in double precision: ``[B, K, S]`` of ``[B, P, K]`` and ``[B, P, S]``."""
    f, t = ops.cast(features, "complex128"), ops.cast(targets, "complex128")
    loading = ops.cast(no * ops.eye(f.shape[-1], dtype="float64"), "complex128")
    gram = _backend.adjoint_product(f, f) + loading
    weights = _backend.cholesky_solve(gram, _backend.adjoint_product(f, t))
    return ops.cast(weights, _backend.dtype(features))
