"""What the recurrent layers share: shapes, dtypes, and complex numbers in a configuration."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles.checks import whole
from ..recurrence import delay_line


def to_pairs(values: np.ndarray | None) -> Any:
    """Complex numbers as nested ``[real, imag]`` lists, exact through JSON."""
    if values is None:
        return None
    values = np.asarray(values, np.complex128)
    return np.stack([values.real, values.imag], axis=-1).tolist()


def from_pairs(pairs: Any) -> np.ndarray | None:
    """The inverse of :func:`to_pairs`."""
    if pairs is None:
        return None
    return np.ascontiguousarray(pairs, dtype=np.float64).view(np.complex128)[..., 0]


def complex_dtype(layer: keras.layers.Layer) -> str:
    """complex64 for a float32 layer, complex128 for a float64 one."""
    if layer.compute_dtype not in _backend.COMPLEX_OF:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {layer.compute_dtype!r}")
    return _backend.COMPLEX_OF[layer.compute_dtype]


def require_signal(x: Any, name: str) -> None:
    """Refuse what is not complex ``[B, any, any]``, symbolic or not."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype not in _backend.REAL_OF:
        raise TypeError(
            f"{name} must be complex64 or complex128, got {dtype}; "
            "keras.Input needs dtype='complex64'"
        )
    if len(x.shape) != 3:
        raise ValueError(f"{name} must have three axes, got shape {tuple(x.shape)}")


class PoleRNN(keras.layers.Layer):
    """The map ``[B, T, N] -> [B, T, F]`` of a bank beside a delay line, the bank left open."""

    def __init__(
        self,
        num_poles: int,
        input_weights: Any,
        window: int,
        name: str | None,
        dtype: Any,
        trainable: bool,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        complex_dtype(self)
        self.window = whole(window, "window", minimum=0)
        self._num_poles = num_poles
        self._input_weights = _initial_weights(input_weights, num_poles)

    def bank_states(self, u: Tensor) -> Tensor:
        """The features of the bank, ``[B, T, K]`` or ``[B, T, N K]``."""
        raise NotImplementedError

    def call(self, u: Tensor) -> Tensor:
        require_signal(u, "u")
        u = ops.cast(u, complex_dtype(self))
        features = self.bank_states(u)
        if self.window == 0:
            return features
        return ops.concatenate([features, delay_line(u, self.window)], axis=-1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        weights = self._input_weights
        if weights is not None and input_shape[-1] != weights.shape[1]:
            raise ValueError(
                f"input_weights are for {weights.shape[1]} inputs, got u of {tuple(input_shape)}"
            )
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, num_samples, num_inputs = input_shape
        if num_inputs is None:
            raise ValueError(f"u must have a static last axis, got {tuple(input_shape)}")
        num_banks = num_inputs if self._input_weights is None else 1
        num_features = num_banks * self._num_poles + num_inputs * self.window
        return (batch, num_samples, num_features)

    def compute_output_spec(self, u: Any) -> keras.KerasTensor:
        require_signal(u, "u")
        return keras.KerasTensor(self.compute_output_shape(u.shape), dtype=complex_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "window": self.window,
            "input_weights": to_pairs(self._input_weights),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PoleRNN:
        pairs = {key: from_pairs(config[key]) for key in ("poles", "input_weights")}
        return super().from_config({**config, **pairs})


def _initial_weights(input_weights: Any, num_poles: int) -> np.ndarray | None:
    if input_weights is None:
        return None
    weights = np.asarray(input_weights)
    if weights.dtype.kind not in "iufc":
        raise TypeError(f"input_weights must hold numbers, got dtype {weights.dtype}")
    if weights.ndim != 2 or weights.shape[0] != num_poles or weights.shape[1] == 0:
        raise ValueError(f"input_weights must have shape [{num_poles}, N], got {weights.shape}")
    if not np.all(np.isfinite(weights)):
        raise ValueError("input_weights must be finite")
    return weights.astype(np.complex128)
