"""The training loop: gradient steps for all slots at once, each stopped on its held-out pilots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sims.training.optimizers import Optimizer

# A structure (tf.nest) of real tensors [B, ...], one set of parameters a slot.
Parameters = Any
# parameters -> (loss to descend [B], held-out error that decides when to stop [B])
Objective = Callable[[Parameters], tuple[tf.Tensor, tf.Tensor]]


class Training(NamedTuple):
    """What the training of B slots gave; NaN in the histories where a slot had stopped."""

    parameters: Parameters  # of the step with the smallest held-out error, for each slot
    held_out: tf.Tensor  # [B] that error
    best_step: tf.Tensor  # [B] int, that step; 0: the initial parameters
    losses: tf.Tensor  # [num_steps, 2, B] training loss and held-out error
    gradient_norms: tf.Tensor  # [num_steps, B] of the training loss
    snapshots: tf.Tensor | None = None  # [ceil(num_steps / every), B, ...] what was observed


class _Loop(NamedTuple):
    step: tf.Tensor
    vector: tf.Tensor  # [B, N] all parameters: one kernel for all of them
    memory: Any
    best: tf.Tensor
    held_out: tf.Tensor
    best_step: tf.Tensor
    seen: tf.TensorArray
    snapshots: tf.TensorArray


def train(
    objective: Objective,
    initial: Parameters,
    *,
    optimizer: Optimizer,
    patience: int,
    observe: Callable[[Parameters], tf.Tensor] | None = None,
    every: int = 1,
) -> Training:
    """Minimise the loss of every slot and keep the parameters that its held-out pilots like best.

    Slots share the loop and nothing else: a slot stops ``patience`` steps after its best, whatever
    the others do, and a slot whose loss is no longer finite keeps what it had.

    Args:
        objective: losses ``[B]`` of parameters; entry b depends on the parameters of slot b alone.
        initial: parameters, real tensors ``[B, ...]``.
        optimizer: the optimizer, which also knows the number of steps.
        patience: steps without a new best after which a slot stops, >= 1.
        observe: what to record of the parameters, ``[B, ...]``, such as poles.
        every: steps between recordings, >= 1; the first is that of the initial parameters.

    Returns:
        See :class:`Training`.

    Raises:
        ValueError: if ``patience`` or ``every`` is below 1.

    Notes:
        Compiles under ``tf.function``, ``jit_compile`` included. The last step's parameters are
        not looked at: evaluating them would cost a step.

    Example:
        >>> from sims.training.optimizers import Adam
        >>> x = tf.constant([[4.0], [-1.0]])
        >>> def squares(x):
        ...     return x[:, 0] ** 2, x[:, 0] ** 2
        >>> result = train(squares, x, optimizer=Adam(0.5, num_steps=60), patience=20)
        >>> bool(tf.reduce_all(result.held_out < 1e-2))
        True
    """
    for name, value in (("patience", patience), ("every", every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    start, unpacked = _packed(initial), _unpacker(initial)

    def look(vector: tf.Tensor) -> tf.Tensor:
        return vector[:, :0] if observe is None else observe(unpacked(vector))

    def unfinished(loop: _Loop) -> tf.Tensor:
        return tf.reduce_any(loop.step - loop.best_step <= patience)

    def step(loop: _Loop) -> tuple[_Loop]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(loop.vector)
            loss, held_out = objective(unpacked(loop.vector))
            total = tf.reduce_sum(loss)
        gradient = tf.ensure_shape(tape.gradient(total, loop.vector), loop.vector.shape)
        running = loop.step - loop.best_step <= patience
        better = running & (held_out < loop.held_out)
        seen = tf.stack([loss, held_out, tf.norm(gradient, axis=1)])
        seen = tf.where(running, seen, float("nan"))
        place = loop.step // every
        view = tf.where(loop.step % every == 0, look(loop.vector), loop.snapshots.read(place))
        vector, memory = optimizer.step(loop.step, loop.vector, gradient, loop.memory)
        return (
            _Loop(
                loop.step + 1,
                vector,
                memory,
                tf.where(better[:, None], loop.vector, loop.best),
                tf.where(better, held_out, loop.held_out),
                tf.where(better, loop.step, loop.best_step),
                loop.seen.write(loop.step, seen),
                loop.snapshots.write(place, view),
            ),
        )

    (end,) = tf.while_loop(
        unfinished,
        step,
        (_start(start, optimizer, look(start), every),),
        maximum_iterations=optimizer.num_steps,
    )
    seen = end.seen.stack()
    return Training(
        unpacked(end.best),
        end.held_out,
        end.best_step,
        seen[:, :2],
        seen[:, 2],
        None if observe is None else end.snapshots.stack(),
    )


def _start(vector: tf.Tensor, optimizer: Optimizer, view: tf.Tensor, every: int) -> _Loop:
    infinite = tf.zeros_like(vector[:, 0]) + float("inf")
    num_steps = optimizer.num_steps
    return _Loop(
        step=tf.constant(0),
        vector=vector,
        memory=optimizer.start(vector),
        best=vector,
        held_out=infinite,
        best_step=tf.zeros_like(infinite, tf.int32),
        seen=_empty(num_steps, tf.stack([infinite] * 3)),
        snapshots=_empty(-(-num_steps // every), view),
    )


def _packed(parameters: Parameters) -> tf.Tensor:
    """All parameters of a slot in one row, ``[B, N]``."""
    flat = tf.nest.flatten(parameters)
    batch = tf.shape(flat[0])[0]
    rows = [tf.reshape(x, tf.stack([batch, int(np.prod(x.shape[1:]))])) for x in flat]
    return tf.ensure_shape(tf.concat(rows, axis=1), [flat[0].shape[0], None])


def _unpacker(like: Parameters) -> Callable[[tf.Tensor], Parameters]:
    """From such rows back to the structure."""
    shapes = [x.shape for x in tf.nest.flatten(like)]
    sizes = [int(np.prod(shape[1:])) for shape in shapes]

    def unpacked(vector: tf.Tensor) -> Parameters:
        batch = tf.shape(vector)[0]
        parts = [
            tf.ensure_shape(tf.reshape(x, tf.stack([batch, *shape[1:]])), shape)
            for x, shape in zip(tf.split(vector, sizes, axis=1), shapes, strict=True)
        ]
        return tf.nest.pack_sequence_as(like, parts)

    return unpacked


def _empty(length: int, like: tf.Tensor) -> tf.TensorArray:
    """Room for ``length`` tensors, NaN until they are written."""
    missing = tf.cast(tf.fill(tf.shape(like), float("nan")), like.dtype)
    array = tf.TensorArray(like.dtype, length, clear_after_read=False)
    every = tf.tile(missing[None], [length, *[1] * like.shape.rank])
    return array.unstack(tf.ensure_shape(every, [length, *like.shape]))
