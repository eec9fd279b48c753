"""A recurrence step by step, with its adjoint written out: the derivative of a compiled loop.

    r[n] = s[n-1] U,   s[n] = cell(d[n], r[n], s[n-1])

The cell is elementwise and all that is dense stands outside: the drive d before the loop, and the
gradient with respect to U after the adjoint loop, each as one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# (drive [.., D], recurrent [.., Q], state [.., N]) -> state [.., N], elementwise over the dots
Cell = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def scan(cell: Cell, drive: tf.Tensor, matrix: tf.Tensor, num_states: int) -> tf.Tensor:
    """States of a recurrence from rest, with one recurrent matrix a slot.

    Args:
        cell: the recurrence's elementwise part.
        drive: real ``[B, T, D]`` or ``[B, R, T, D]``, R runs of every slot.
        matrix: U, real ``[B, H, Q]``; it acts on the first H entries of the state.
        num_states: N >= H, entries of the state.

    Returns:
        Real ``[B, T, N]`` or ``[B, R, T, N]``; differentiable once, in ``drive`` and ``matrix``.
    """
    if drive.shape.rank == 3:
        return scan(cell, drive[:, None], matrix, num_states)[:, 0]
    length, width = drive.shape[2], matrix.shape[1]

    @tf.custom_gradient
    def run(drive: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        # The tape must not look inside: the adjoint is below.
        drive, matrix = tf.stop_gradient(drive), tf.stop_gradient(matrix)
        states = _forward(cell, drive, matrix, num_states)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)
            inner = _slots_first(before[..., :width])
            recurrent = _time_first(inner @ matrix, length)
            slopes = _backward(cell, drive, recurrent, before, matrix, upstream)
            return slopes[0], tf.linalg.matmul(inner, _slots_first(slopes[1]), adjoint_a=True)

        return states, gradient

    states = run(tf.transpose(drive, [2, 0, 1, 3]), matrix)
    return tf.transpose(states, [1, 2, 0, 3])


def _forward(cell: Cell, drive: tf.Tensor, matrix: tf.Tensor, num_states: int) -> tf.Tensor:
    """Time first: ``[T, B, R, D] -> [T, B, R, N]``."""
    length, width = drive.shape[0], matrix.shape[1]
    rest = tf.zeros_like(drive[0, ..., :1]) + tf.zeros([num_states], drive.dtype)

    def step(n: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple:
        state = cell(drive[n], state[..., :width] @ matrix, state)
        return n + 1, state, states.write(n, state)

    array = tf.TensorArray(drive.dtype, length, element_shape=rest.shape)
    loop = (tf.constant(0), rest, array)
    _, _, array = tf.while_loop(lambda n, *_: n < length, step, loop, maximum_iterations=length)
    return tf.ensure_shape(array.stack(), [length, *rest.shape])


def _backward(
    cell: Cell,
    drive: tf.Tensor,
    recurrent: tf.Tensor,
    before: tf.Tensor,
    matrix: tf.Tensor,
    upstream: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients with respect to d and r, time first."""
    length, (width, num_states) = drive.shape[0], (matrix.shape[1], before.shape[-1])
    back = tf.linalg.matrix_transpose(matrix)
    missing = [[0, 0], [0, 0], [0, num_states - width]]

    def step(n: tf.Tensor, later: tf.Tensor, drives: tf.TensorArray, rs: tf.TensorArray) -> tuple:
        parts = (drive[n], recurrent[n], before[n])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parts)
            state = cell(*parts)
        d, r, s = tape.gradient(
            state,
            parts,
            output_gradients=later + upstream[n],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return n - 1, s + tf.pad(r @ back, missing), drives.write(n, d), rs.write(n, r)

    arrays = [
        tf.TensorArray(drive.dtype, length, element_shape=x.shape[1:]) for x in (drive, recurrent)
    ]
    loop = (tf.constant(length - 1), tf.zeros_like(before[0]), *arrays)
    _, _, *arrays = tf.while_loop(lambda n, *_: n >= 0, step, loop, maximum_iterations=length)
    return arrays[0].stack(), arrays[1].stack()


def _slots_first(x: tf.Tensor) -> tf.Tensor:
    """``[T, B, R, X] -> [B, R T, X]``."""
    shape = tf.shape(x)
    return tf.reshape(tf.transpose(x, [1, 2, 0, 3]), tf.stack([shape[1], -1, x.shape[3]]))


def _time_first(x: tf.Tensor, length: int) -> tf.Tensor:
    """``[B, R T, X] -> [T, B, R, X]``."""
    shape = tf.shape(x)
    return tf.transpose(tf.reshape(x, tf.stack([shape[0], -1, length, x.shape[2]])), [2, 0, 1, 3])
