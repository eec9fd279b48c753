"""Recurrent parameters trained offline, over many slots, for the readout that each slot fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sims.training.optimizers import Optimizer
from sims.training.regression import Data, Regression, Weights


def pretrain(regression: Regression, draw: Callable[[], Data], optimizer: Optimizer) -> Any:
    r"""Train one recurrence for all slots, through the ridge regression that each of them solves.

    .. math:: \min_\theta \; E \Big[ \log \sum_{p \text{ held out}} |x[p] - A_\theta[p] \,
              w_\theta|^2 \Big], \qquad w_\theta \text{ the ridge solution on the learnt rows}

    Args:
        regression: the network, its rows and masks; ``reg`` > 0.
        draw: gives a new batch of slots at every call, of the same shapes.
        optimizer: the gradient method, which also knows the number of batches.

    Returns:
        The network's parameters, a structure of arrays without the axis of slots, for
        :meth:`Network.starting_at`.
    """
    one = regression.network.initial(1, tf.float64)

    @tf.function(autograph=False)
    def step(index: tf.Tensor, recurrent: Any, memory: Any, data: Data) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(recurrent)
            loss = tf.reduce_mean(tf.math.log(_held_out(regression, recurrent, data)))
        gradients = tape.gradient(loss, recurrent, unconnected_gradients="zero")
        return optimizer.step(index, recurrent, gradients, memory)

    memory = optimizer.start(one)
    for index in range(optimizer.num_steps):
        one, memory = step(tf.constant(index), one, memory, draw())
    return tf.nest.map_structure(lambda x: x[0].numpy().astype(np.float64), one)


def _held_out(regression: Regression, one: Any, data: Data) -> tf.Tensor:
    """Held-out error ``[B]`` of the readouts that the learnt rows give one recurrence."""
    dtype, batch = data.u.dtype.real_dtype, tf.shape(data.u)[0]
    recurrent = tf.nest.map_structure(lambda x: tf.repeat(tf.cast(x, dtype), batch, axis=0), one)
    readout = regression.solve(recurrent, data, regression.learnt, unit_power=True)
    weights = Weights(recurrent, readout.readout, readout.taps)
    return regression.losses(weights, data)[1]
