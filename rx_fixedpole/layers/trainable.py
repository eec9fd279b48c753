"""A bank of trainable poles as a Keras layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles import validate
from ..recurrence import states
from .base import PoleRNN, to_pairs


def _free_from(poles: np.ndarray) -> np.ndarray:
    return np.stack([poles.real, poles.imag])


def _free_to(pair: Tensor) -> Tensor:
    return _backend.complex(pair[0], pair[1])


def _stable_from(poles: np.ndarray) -> np.ndarray:
    if np.any(poles == 0):
        raise ValueError("poles at 0 have no exponential form: use parametrization='free'")
    return np.stack([np.log(-np.log(np.abs(poles))), np.angle(poles)])


def _stable_to(pair: Tensor) -> Tensor:
    radius = ops.exp(-ops.exp(pair[0]))
    return _backend.complex(radius * ops.cos(pair[1]), radius * ops.sin(pair[1]))


# Name -> (real pair [2, K] of given poles, poles of a real pair).
PARAMETRIZATIONS = {"free": (_free_from, _free_to), "stable": (_stable_from, _stable_to)}


@keras.saving.register_keras_serializable(package="rx_fixedpole")
class TrainablePoleRNN(PoleRNN):
    r"""The map of :class:`FixedPoleRNN` with its poles, and input weights if any, trained.

    .. math:: s_k[n] = p_k s_k[n-1] + \textstyle\sum_i W_{ki} u_i[n]

    Everything trained is stored as real pairs: Keras' adaptive optimizers are wrong on complex
    weights. Gradients go back through all of time, and the layer compiles under XLA. Keras' losses
    drop imaginary parts: end a model for ``fit`` with real and imaginary parts side by side.

    Args:
        poles: initial poles ``[K]``, ``|p| < 1``.
        window: number of lags of a delay line of the input put behind the features, >= 0.
        input_weights: initial input weights ``[K, N]``, trained. None: every input drives a bank of
            its own and the poles alone are trained, a linear readout making input gains redundant.
        parametrization: ``"free"``, real and imaginary part, which may leave the unit circle; or
            ``"stable"``, ``p = exp(-exp(nu) + j theta)`` (Orvieto et al. 2023), which cannot.
        name, dtype, trainable: as in every Keras layer; ``dtype`` float32 or float64.

    Call arguments:
        u: complex ``[B, T, N]``, cast to complex64 (float32 layer) or complex128 (float64).

    Returns:
        ``[B, T, F]`` as :class:`FixedPoleRNN`.

    Raises:
        TypeError, ValueError: as :class:`FixedPoleRNN`, for an unknown ``parametrization``, and for
            a pole at 0 that is to be ``"stable"``.

    Example:
        >>> import numpy as np
        >>> layer = TrainablePoleRNN([0.5, 0.5j], parametrization="stable")
        >>> layer(np.ones((1, 10, 3), "complex64")).shape[-1], layer.count_params()
        (6, 4)
    """

    def __init__(
        self,
        poles: Any,
        *,
        window: int = 0,
        input_weights: Any = None,
        parametrization: str = "free",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        self._initial_poles = validate(poles)
        super().__init__(len(self._initial_poles), input_weights, window, name, dtype, trainable)
        if parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"parametrization must be one of {sorted(PARAMETRIZATIONS)}, "
                f"got {parametrization!r}"
            )
        self.parametrization = parametrization
        from_poles, self._to_poles = PARAMETRIZATIONS[parametrization]
        self._initial_pair = from_poles(self._initial_poles)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.pole_pair = self._add_pair("poles", self._initial_pair)
        self.weight_pair = None
        if self._input_weights is not None:
            self.weight_pair = self._add_pair("input_weights", _free_from(self._input_weights))

    @property
    def poles(self) -> np.ndarray:
        """The poles as they are now, complex128 ``[K]``."""
        if not self.built:
            return self._initial_poles.copy()
        return ops.convert_to_numpy(self._to_poles(self.pole_pair)).astype(np.complex128)

    def bank_states(self, u: Tensor) -> Tensor:
        weights = None if self.weight_pair is None else _free_to(self.weight_pair)
        return states(u, self._to_poles(self.pole_pair), input_weights=weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "poles": to_pairs(self._initial_poles),
            "parametrization": self.parametrization,
        }

    def _add_pair(self, name: str, values: np.ndarray) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=values.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(values, dtype),
        )
