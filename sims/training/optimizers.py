"""Gradient methods as pure functions: fresh state at every call, inside a compiled loop too.

All of them are elementwise: parameters with a leading axis of slots are trained slot by slot. The
parameters must be real; a complex one is a pair of real ones, as the square of a complex gradient
is not its power.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Optimizer(ABC):
    r"""What all methods share: a learning rate that decays to zero along half a cosine.

    .. math:: \eta_t = \eta \frac{1 + \cos(\pi (t - 1) / T)}{2}, \qquad t = 1, ..., T

    Args:
        learning_rate: first step size, > 0.
        num_steps: T >= 1, steps until the rate has decayed to zero.

    Raises:
        ValueError: if an argument is out of range.
    """

    learning_rate: float
    num_steps: int

    def __post_init__(self) -> None:
        _positive(self, "learning_rate")
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {self.num_steps!r}")

    def rate(self, index: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """The step size of step ``index`` = 0, 1, ... (int, scalar)."""
        done = tf.cast(index, dtype)
        return self.learning_rate * (1 + tf.cos(np.pi * done / self.num_steps)) / 2

    @abstractmethod
    def start(self, parameters: Any) -> Any:
        """What is remembered before the first step."""

    @abstractmethod
    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters and memory after step ``index`` = 0, 1, ... (int, scalar)."""


@dataclass(frozen=True)
class SGD(Optimizer):
    r"""Gradient descent, :math:`\theta \leftarrow \theta - \eta_t g`; see :class:`Optimizer`.

    Example:
        >>> sgd = SGD(0.1, num_steps=10)
        >>> x, _ = sgd.step(tf.constant(0), tf.constant([1.0, -2.0]), tf.constant([3.0, 0.0]), ())
        >>> print(x.numpy())
        [ 0.7 -2. ]
    """

    def start(self, parameters: Any) -> Any:
        """Nothing is remembered."""
        return ()

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters after step ``index``, and nothing."""
        return _moved(self, index, parameters, gradients), memory


@dataclass(frozen=True)
class Momentum(Optimizer):
    r"""Gradient descent with momentum.

    .. math:: v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta_t v

    Args:
        learning_rate, num_steps: see :class:`Optimizer`.
        momentum: mu in [0, 1).
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _forgetting(self, "momentum")

    def start(self, parameters: Any) -> Any:
        """No velocity."""
        return tf.nest.map_structure(tf.zeros_like, parameters)

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters and velocity after step ``index``."""
        velocity = tf.nest.map_structure(lambda v, g: self.momentum * v + g, memory, gradients)
        return _moved(self, index, parameters, velocity), velocity


@dataclass(frozen=True)
class RMSprop(Optimizer):
    r"""Steps scaled by the running root mean square of each gradient (Tieleman and Hinton, 2012).

    .. math:: v \leftarrow \rho v + (1 - \rho) g^2, \qquad
              \theta \leftarrow \theta - \eta_t \, g / (\sqrt v + \epsilon)

    Args:
        learning_rate, num_steps: see :class:`Optimizer`.
        rho: forgetting of the mean square, in [0, 1).
        epsilon: floor of the denominator, > 0.
    """

    rho: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _forgetting(self, "rho")
        _positive(self, "epsilon")

    def start(self, parameters: Any) -> Any:
        """A mean square of zero."""
        return tf.nest.map_structure(tf.zeros_like, parameters)

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters and mean squares after step ``index``."""
        square = _mean(self.rho, memory, tf.nest.map_structure(tf.square, gradients))
        scaled = tf.nest.map_structure(
            lambda g, v: g / (tf.sqrt(v) + self.epsilon), gradients, square
        )
        return _moved(self, index, parameters, scaled), square


class Moments(NamedTuple):
    """Running means of the gradients and of their squares, each shaped like the parameters."""

    first: Any
    second: Any


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""Adam (Kingma and Ba, 2015).

    .. math:: \theta \leftarrow \theta - \eta_t
              \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        learning_rate, num_steps: see :class:`Optimizer`.
        beta_1, beta_2: forgetting of the moments m and v, in [0, 1).
        epsilon: floor of the denominator, > 0.

    Example:
        >>> adam = Adam(0.1, num_steps=10)
        >>> x = {"x": tf.constant([1.0, -2.0], tf.float64)}
        >>> x, moments = adam.step(tf.constant(0), x, {"x": 3 * x["x"]}, adam.start(x))
        >>> print(x["x"].numpy())
        [ 0.9 -1.9]
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _forgetting(self, "beta_1")
        _forgetting(self, "beta_2")
        _positive(self, "epsilon")

    def start(self, parameters: Any) -> Any:
        """Moments of zero."""
        zeros = tf.nest.map_structure(tf.zeros_like, parameters)
        return Moments(zeros, zeros)

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters and moments after step ``index``."""
        first = _mean(self.beta_1, memory.first, gradients)
        second = _mean(self.beta_2, memory.second, tf.nest.map_structure(tf.square, gradients))

        def scaled(m: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            time = tf.cast(index, m.dtype) + 1
            m_hat, v_hat = m / (1 - self.beta_1**time), v / (1 - self.beta_2**time)
            return m_hat / (tf.sqrt(v_hat) + self.epsilon)

        direction = tf.nest.map_structure(scaled, first, second)
        return _moved(self, index, parameters, direction), Moments(first, second)


@dataclass(frozen=True)
class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    .. math:: \theta \leftarrow (1 - \eta_t \lambda) \, \theta - \eta_t \,
              \text{(Adam's direction)}

    Args:
        learning_rate, num_steps, beta_1, beta_2, epsilon: see :class:`Adam`.
        weight_decay: lambda >= 0, of all parameters.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay!r}")

    def step(
        self, index: tf.Tensor, parameters: Any, gradients: Any, memory: Any
    ) -> tuple[Any, Any]:
        """Parameters and moments after step ``index``."""
        decayed = tf.nest.map_structure(
            lambda p: p * (1 - self.weight_decay * self.rate(index, p.dtype)), parameters
        )
        return super().step(index, decayed, gradients, memory)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def _moved(optimizer: Optimizer, index: tf.Tensor, parameters: Any, direction: Any) -> Any:
    return tf.nest.map_structure(
        lambda p, d: p - optimizer.rate(index, p.dtype) * d, parameters, direction
    )


def _mean(forgetting: float, mean: Any, new: Any) -> Any:
    """The running mean with a new value in it."""
    return tf.nest.map_structure(lambda old, x: forgetting * old + (1 - forgetting) * x, mean, new)


def _positive(optimizer: Optimizer, name: str) -> None:
    if not getattr(optimizer, name) > 0:
        raise ValueError(f"{name} must be positive, got {getattr(optimizer, name)!r}")


def _forgetting(optimizer: Optimizer, name: str) -> None:
    if not 0 <= getattr(optimizer, name) < 1:
        raise ValueError(f"{name} must be in [0, 1), got {getattr(optimizer, name)!r}")
