"""A bank of fixed poles as a Keras layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from .._backend import Tensor
from ..poles import validate
from ..recurrence import BASES, states
from .base import PoleRNN, to_pairs


@keras.saving.register_keras_serializable(package="rx_fixedpole")
class FixedPoleRNN(PoleRNN):
    r"""A linear recurrent layer whose poles stay where they were put.

    .. math:: s_k[n] = p_k s_k[n-1] + u[n]

    Nothing in it is trained: a readout on its features is a linear problem.

    Args:
        poles: ``[K]``, ``|p| < 1``, for example from :mod:`rx_fixedpole.poles`.
        window: number of lags of a delay line of the input put behind the features, >= 0.
        basis: ``"parallel"`` or ``"orthonormal"`` (Takenaka-Malmquist; not with ``input_weights``).
        input_weights: ``[K, N]``: all N inputs drive one bank. None: each drives a bank of its own.
        name, dtype, trainable: as in every Keras layer; ``dtype`` float32 or float64.

    Call arguments:
        u: complex ``[B, T, N]``, cast to complex64 (float32 layer) or complex128 (float64).

    Returns:
        ``[B, T, F]``, F = N K (feature ``n K + k``) or, with ``input_weights``, K; then N window
        lags, ``n window + w`` holding ``u_n[t - w]``.

    Raises:
        TypeError, ValueError: at construction for arguments out of range; at the call if ``u`` is
            real, has another rank than 3 or another N than ``input_weights``.

    Example:
        >>> import numpy as np
        >>> layer = FixedPoleRNN([0.5, -0.5j], window=3)
        >>> layer(np.ones((1, 10, 2), "complex64")).shape[-1]  # 2 x 2 poles + 2 x 3 lags
        10
    """

    def __init__(
        self,
        poles: Any,
        *,
        window: int = 0,
        basis: str = "parallel",
        input_weights: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        self._poles = validate(poles)
        super().__init__(len(self._poles), input_weights, window, name, dtype, trainable)
        if basis not in BASES:
            raise ValueError(f"basis must be one of {sorted(BASES)}, got {basis!r}")
        if basis != "parallel" and input_weights is not None:
            raise ValueError(f"input_weights need basis 'parallel', got {basis!r}")
        self.basis = basis

    @property
    def poles(self) -> np.ndarray:
        """The poles, complex128 ``[K]``."""
        return self._poles.copy()

    def bank_states(self, u: Tensor) -> Tensor:
        return states(u, self._poles, basis=self.basis, input_weights=self._input_weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "poles": to_pairs(self._poles), "basis": self.basis}
