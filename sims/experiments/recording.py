"""Training seen from outside: losses, gradients, and the parameters at chosen epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rx_fixedpole import poles as placements
from sims.experiments import equalization as task
from sims.training import (
    OPTIMIZERS,
    DenseRNN,
    Network,
    Regression,
    Training,
    Weights,
    train,
)

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

RADIUS = 0.9  # spectral radius, or radius of the disc of poles, at the start
# Learning rates among which every method has its choice.
RATES = {
    "sgd": (0.01, 0.03, 0.1),
    "momentum": (0.003, 0.01, 0.03),
    "rmsprop": (0.0003, 0.001, 0.003),
    "adam": (0.0003, 0.001, 0.003),
    "adamw": (0.0003, 0.001, 0.003),
}
LABELS = {
    "sgd": "SGD",
    "momentum": "SGD, momentum",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}


class Course(NamedTuple):
    """The training of B slots, looked at every few epochs."""

    slots: task.Slots
    regression: Regression
    training: Training
    epochs: NDArray[np.int64]  # [E]
    weights: list[Weights]  # at these epochs, tensors [B, ...]


def make_network(kind: str, size: int, seed: int) -> Network:
    """A network of linear recurrence: "dense" with a random matrix, or "free" or "stable" poles."""
    if kind == "dense":
        rng = np.random.default_rng([seed, size])
        return DenseRNN.random(size, 1, activation="linear", radius=RADIUS, rng=rng)
    return task.bank(placements.disc(size, RADIUS, seed=seed), parametrization=kind)


def run(
    kind: str,
    size: int,
    optimizer: str,
    rate: float,
    *,
    slots: task.Slots,
    num_steps: int,
    every: int,
    seed: int,
) -> Course:
    """Train on the pilots of slots from random parameters, as many epochs as there are steps.

    Args:
        kind, size: of the network, see make_network.
        optimizer: a name of OPTIMIZERS.
        rate: its learning rate.
        slots: what to train on; all start from the same parameters.
        num_steps: epochs.
        every: epochs between two looks.
        seed: of the parameters at the start.

    Returns:
        The course, which no early stopping cuts short.
    """
    regression = task.regression(make_network(kind, size, seed), slots)
    data = slots.training()

    @tf.function(jit_compile=True, autograph=False)
    def descend(initial: Weights) -> Training:
        return train(
            lambda weights: regression.losses(weights, data),
            initial,
            optimizer=OPTIMIZERS[optimizer](rate, num_steps),
            patience=num_steps,
            observe=_flat,
            every=every,
        )

    initial = regression.start(data)
    training = descend(initial)
    views = training.snapshots
    return Course(
        slots,
        regression,
        training,
        np.arange(0, num_steps, every),
        [_unflat(views[i], initial) for i in range(views.shape[0])],
    )


def search_rate(key: Mapping[str, Any]) -> float:
    """Score a learning rate on slots of its own: mean logarithm of the best held-out error."""
    slots = task.draw(
        10_000 + key["seed"] + np.arange(key["num_slots"]),
        np.full(key["num_slots"], key["snr_db"]),
        num_pilots=key["num_pilots"],
        delay=key["size"] // 2,
    )
    course = run(
        key["kind"], key["size"], key["optimizer"], key["rate"],
        slots=slots, num_steps=key["num_steps"], every=key["num_steps"], seed=key["seed"],
    )  # fmt: skip
    held_out = np.nan_to_num(course.training.held_out.numpy(), nan=np.inf, posinf=1e6)
    return float(np.mean(np.log(held_out)))


def matrices(course: Course, index: int) -> ComplexArray:
    """W_rec ``[B, H, H]`` at an epoch."""
    network = course.regression.network
    found = network.matrix(course.weights[index].recurrent)
    if found is None:
        raise ValueError("the network has no recurrent matrix")
    matrix = found.numpy().astype(np.complex128)
    return matrix if matrix.ndim == 3 else np.stack([np.diag(poles) for poles in matrix])


def states(course: Course, index: int) -> ComplexArray:
    """States at the pilots, ``[B, P, H]``, at an epoch."""
    recurrent = course.weights[index].recurrent
    data = course.slots.training()
    result = course.regression.network.states(recurrent, data.u).numpy()
    return result[:, task.WARM_UP :].astype(np.complex128)


def _flat(weights: Weights) -> tf.Tensor:
    parts = tf.nest.flatten(weights)
    return tf.concat([tf.reshape(p, tf.stack([tf.shape(p)[0], -1])) for p in parts], axis=1)


def _unflat(flat: tf.Tensor, like: Weights) -> Weights:
    parts = tf.nest.flatten(like)
    sizes = [int(np.prod(part.shape[1:])) for part in parts]
    split = tf.split(flat, sizes, axis=1)
    return tf.nest.pack_sequence_as(
        like, [tf.reshape(piece, part.shape) for piece, part in zip(split, parts, strict=True)]
    )
