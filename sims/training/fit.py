"""The training loop: gradient steps for all slots at once, each stopped on its held-out pilots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
    parameters: Parameters
    memory: Any
    best: Parameters
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
    num_steps = optimizer.num_steps
    look = observe or _nothing

    def unfinished(loop: _Loop) -> tf.Tensor:
        return tf.reduce_any(loop.step - loop.best_step <= patience)

    def step(loop: _Loop) -> tuple[_Loop]:
        loss, held_out, gradients = _slopes(objective, loop.parameters)
        running = loop.step - loop.best_step <= patience
        better = running & (held_out < loop.held_out)
        best = tf.nest.map_structure(
            lambda new, old: tf.where(_like(better, new), new, old), loop.parameters, loop.best
        )
        seen = tf.stack([loss, held_out, _norm(gradients)])
        seen = tf.where(running, seen, float("nan"))
        place = loop.step // every
        view = tf.where(loop.step % every == 0, look(loop.parameters), loop.snapshots.read(place))
        parameters, memory = optimizer.step(loop.step, loop.parameters, gradients, loop.memory)
        return (
            _Loop(
                loop.step + 1,
                parameters,
                memory,
                best,
                tf.where(better, held_out, loop.held_out),
                tf.where(better, loop.step, loop.best_step),
                loop.seen.write(loop.step, seen),
                loop.snapshots.write(place, view),
            ),
        )

    start = _start(initial, optimizer, look(initial), every)
    (end,) = tf.while_loop(unfinished, step, (start,), maximum_iterations=num_steps)
    seen = end.seen.stack()
    return Training(
        end.best,
        end.held_out,
        end.best_step,
        seen[:, :2],
        seen[:, 2],
        None if observe is None else end.snapshots.stack(),
    )


def _slopes(
    objective: Objective, parameters: Parameters
) -> tuple[tf.Tensor, tf.Tensor, Parameters]:
    """Loss, held-out error, and the gradient of the loss."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(parameters)
        loss, held_out = objective(parameters)
        total = tf.reduce_sum(loss)
    gradients = tape.gradient(total, parameters, unconnected_gradients="zero")
    gradients = tf.nest.map_structure(
        lambda g, p: tf.ensure_shape(g, p.shape), gradients, parameters
    )
    return loss, held_out, gradients


def _start(initial: Parameters, optimizer: Optimizer, view: tf.Tensor, every: int) -> _Loop:
    first = tf.nest.flatten(initial)[0]
    slots = tf.shape(first)[:1]
    infinite = tf.fill(slots, tf.constant(float("inf"), first.dtype))
    infinite = tf.ensure_shape(infinite, first.shape[:1])
    num_steps = optimizer.num_steps
    return _Loop(
        step=tf.constant(0),
        parameters=initial,
        memory=optimizer.start(initial),
        best=initial,
        held_out=infinite,
        best_step=tf.zeros_like(infinite, tf.int32),
        seen=_empty(num_steps, tf.stack([infinite] * 3)),
        snapshots=_empty(-(-num_steps // every), view),
    )


def _empty(length: int, like: tf.Tensor) -> tf.TensorArray:
    """Room for ``length`` tensors, NaN until they are written."""
    missing = tf.cast(tf.fill(tf.shape(like), float("nan")), like.dtype)
    array = tf.TensorArray(like.dtype, length, clear_after_read=False)
    every = tf.tile(missing[None], [length, *[1] * like.shape.rank])
    return array.unstack(tf.ensure_shape(every, [length, *like.shape]))


def _nothing(parameters: Parameters) -> tf.Tensor:
    first = tf.nest.flatten(parameters)[0]
    return tf.zeros(tf.stack([tf.shape(first)[0], 0]), first.dtype)


def _norm(gradients: Parameters) -> tf.Tensor:
    """Euclidean norm ``[B]`` of a slot's whole gradient."""
    parts = [
        tf.reduce_sum(tf.reshape(g, tf.stack([tf.shape(g)[0], -1])) ** 2, axis=1)
        for g in tf.nest.flatten(gradients)
        if 0 not in g.shape[1:]
    ]
    return tf.sqrt(tf.add_n(parts))


def _like(mask: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Mask ``[B]`` with the rank of values ``[B, ...]``."""
    return tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (values.shape.rank - 1)], 0))
