"""The training loop: gradient steps for all slots at once, each stopped on its held-out pilots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from sims.training.adam import Adam

# A structure (tf.nest) of real tensors [B, ...], one set of parameters a slot.
Parameters = Any
# parameters -> (loss to descend [B], held-out error that decides when to stop [B])
Objective = Callable[[Parameters], tuple[tf.Tensor, tf.Tensor]]


class Training(NamedTuple):
    """What the training of B slots gave."""

    parameters: Parameters  # of the step with the smallest held-out error, for each slot
    held_out: tf.Tensor  # [B] that error
    best_step: tf.Tensor  # [B] int, that step; 0: the initial parameters
    losses: tf.Tensor  # [num_steps, 2, B] training loss and held-out error; NaN where not reached


class _Loop(NamedTuple):
    step: tf.Tensor
    parameters: Parameters
    moments: Any
    best: Parameters
    held_out: tf.Tensor
    best_step: tf.Tensor
    losses: tf.TensorArray


def train(objective: Objective, initial: Parameters, *, optimizer: Adam, patience: int) -> Training:
    """Minimise the loss of every slot and keep the parameters that its held-out pilots like best.

    Slots share the loop and nothing else: a slot stops ``patience`` steps after its best, whatever
    the others do, and a slot whose loss is no longer finite keeps what it had.

    Args:
        objective: losses ``[B]`` of parameters; entry b depends on the parameters of slot b alone.
        initial: parameters, real tensors ``[B, ...]``.
        optimizer: the optimizer, which also knows the number of steps.
        patience: steps without a new best after which a slot stops, >= 1.

    Returns:
        See :class:`Training`.

    Raises:
        ValueError: if ``patience`` is below 1.

    Notes:
        Compiles under ``tf.function``, ``jit_compile`` included. The last step's parameters are
        not looked at: evaluating them would cost a step.

    Example:
        >>> x = tf.constant([[4.0], [-1.0]])
        >>> def squares(x):
        ...     return x[:, 0] ** 2, x[:, 0] ** 2
        >>> result = train(squares, x, optimizer=Adam(0.5, num_steps=60), patience=20)
        >>> bool(tf.reduce_all(result.held_out < 1e-2))
        True
    """
    if patience < 1:
        raise ValueError(f"patience must be at least 1, got {patience!r}")
    num_steps = optimizer.num_steps

    def unfinished(loop: _Loop) -> tf.Tensor:
        return tf.reduce_any(loop.step - loop.best_step <= patience)

    def step(loop: _Loop) -> tuple[_Loop]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(loop.parameters)
            loss, held_out = objective(loop.parameters)
            total = tf.reduce_sum(loss)
        gradients = tape.gradient(total, loop.parameters)
        gradients = tf.nest.map_structure(
            lambda g, p: tf.ensure_shape(g, p.shape), gradients, loop.parameters
        )
        running = loop.step - loop.best_step <= patience
        better = running & (held_out < loop.held_out)
        best = tf.nest.map_structure(
            lambda new, old: tf.where(_like(better, new), new, old), loop.parameters, loop.best
        )
        parameters, moments = optimizer.step(loop.step, loop.parameters, gradients, loop.moments)
        seen = tf.where(running, tf.stack([loss, held_out]), float("nan"))
        return (
            _Loop(
                loop.step + 1,
                parameters,
                moments,
                best,
                tf.where(better, held_out, loop.held_out),
                tf.where(better, loop.step, loop.best_step),
                loop.losses.write(loop.step, seen),
            ),
        )

    start = _start(initial, optimizer)
    (end,) = tf.while_loop(unfinished, step, (start,), maximum_iterations=num_steps)
    return Training(end.best, end.held_out, end.best_step, end.losses.stack())


def _start(initial: Parameters, optimizer: Adam) -> _Loop:
    first = tf.nest.flatten(initial)[0]
    slots = tf.shape(first)[:1]
    infinite = tf.fill(slots, tf.constant(float("inf"), first.dtype))
    infinite = tf.ensure_shape(infinite, first.shape[:1])
    empty = tf.fill(
        tf.concat([[optimizer.num_steps, 2], slots], 0), tf.constant(float("nan"), first.dtype)
    )
    losses = tf.TensorArray(first.dtype, optimizer.num_steps, clear_after_read=False)
    return _Loop(
        step=tf.constant(0),
        parameters=initial,
        moments=optimizer.start(initial),
        best=initial,
        held_out=infinite,
        best_step=tf.zeros_like(infinite, tf.int32),
        losses=losses.unstack(tf.ensure_shape(empty, [optimizer.num_steps, 2, first.shape[0]])),
    )


def _like(mask: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Mask ``[B]`` with the rank of values ``[B, ...]``."""
    return tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (values.shape.rank - 1)], 0))
