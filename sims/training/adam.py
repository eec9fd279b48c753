"""Adam as pure functions: fresh state at every call, inside a compiled loop too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Moments(NamedTuple):
    """Running means of the gradients and of their squares, each shaped like the parameters."""

    first: Any
    second: Any


@dataclass(frozen=True)
class Adam:
    r"""Adam (Kingma and Ba, 2015) with a learning rate that decays along half a cosine.

    .. math:: \theta \leftarrow \theta - \eta_t
              \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}, \qquad
              \eta_t = \eta \frac{1 + \cos(\pi (t - 1) / T)}{2}

    All is elementwise: parameters with a leading axis of slots are trained slot by slot. They must
    be real; a complex parameter is a pair of real ones, as the square of a complex gradient is not
    its power.

    Args:
        learning_rate: first step size, > 0.
        num_steps: T >= 1, steps until the rate has decayed to zero.
        beta_1, beta_2: forgetting of the moments, in [0, 1).
        epsilon: floor of the denominator, > 0.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> adam = Adam(0.1, num_steps=10)
        >>> x = {"x": tf.constant([1.0, -2.0], tf.float64)}
        >>> x, moments = adam.step(tf.constant(0), x, {"x": 3 * x["x"]}, adam.start(x))
        >>> print(x["x"].numpy())
        [ 0.9 -1.9]
    """

    learning_rate: float
    num_steps: int
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)!r}")
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {self.num_steps!r}")

    def start(self, parameters: Any) -> Moments:
        """Moments before the first step."""
        zeros = tf.nest.map_structure(tf.zeros_like, parameters)
        return Moments(zeros, zeros)

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, moments: Moments
    ) -> tuple[Any, Moments]:
        """Parameters and moments after step ``index`` = 0, 1, ... (int, scalar)."""
        squares = tf.nest.map_structure(tf.square, gradients)
        first = _mean(self.beta_1, moments.first, gradients)
        second = _mean(self.beta_2, moments.second, squares)

        def moved(theta: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            done = tf.cast(index, theta.dtype)
            m_hat = m / (1 - self.beta_1 ** (done + 1))
            v_hat = v / (1 - self.beta_2 ** (done + 1))
            rate = self.learning_rate * (1 + tf.cos(np.pi * done / self.num_steps)) / 2
            return theta - rate * m_hat / (tf.sqrt(v_hat) + self.epsilon)

        return tf.nest.map_structure(moved, parameters, first, second), Moments(first, second)


def _mean(forgetting: float, mean: Any, new: Any) -> Any:
    """The running mean with a new value in it."""
    return tf.nest.map_structure(lambda old, x: forgetting * old + (1 - forgetting) * x, mean, new)
