"""A readout fitted inside the forward pass, slot by slot."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from .._backend import Tensor
from ..readout import READOUTS, Ridge
from .base import complex_dtype, require_signal


@keras.saving.register_keras_serializable(package="rx_fixedpole")
class PilotReadout(keras.layers.Layer):
    """Fits a readout on the pilots of every slot and applies it to the whole slot.

    ``weights = readout.fit(features at pilots, targets at pilots, no)``, ``outputs = features @
    weights``: no trainable variables, and nothing passes from one slot to another.

    Args:
        readout: an instance of one of ``rx_fixedpole.readout.READOUTS``; ``Ridge()`` if None.
        name, dtype, trainable: as in every Keras layer; ``dtype`` float32 or float64.

    Call arguments:
        features: complex ``[B, P, F]``.
        targets: complex ``[B, P, S]``; looked at where ``pilot_mask`` is true only.
        pilot_mask: boolean ``[P]``, NumPy or a list: known when a graph is traced.
        no: noise variance, >= 0, a scalar or ``[B]``.
        prior: weights to shrink towards, ``[F, S]`` or ``[B, F, S]``; zero if None.

    Returns:
        Outputs ``[B, P, S]``, and leave-one-out errors ``[B, P_pilots, S]`` (target minus output of
        a fit without that pilot), whose power is an honest estimate of the error on data.

    Raises:
        TypeError, ValueError: if ``readout`` is none of ``READOUTS``, features or targets are real
            or of another rank than 3, or ``pilot_mask`` is not boolean ``[P]`` with a pilot in it.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> features = (rng.normal(size=(1, 20, 2)) + 1j * rng.normal(size=(1, 20, 2)))
        >>> targets = features @ np.array([[1], [2j]])
        >>> outputs, _ = PilotReadout(dtype="float64")(features, targets, [True, False] * 10, 0.0)
        >>> bool(np.allclose(outputs, targets))
        True
    """

    def __init__(
        self,
        readout: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        readout = Ridge() if readout is None else readout
        if not isinstance(readout, tuple(READOUTS.values())):
            kinds = ", ".join(kind.__name__ for kind in READOUTS.values())
            raise TypeError(f"readout must be an instance of {kinds}, got {readout!r}")
        complex_dtype(self)
        self.readout: Any = readout

    def __call__(
        self,
        features: Tensor,
        targets: Tensor,
        pilot_mask: Any,
        no: Tensor,
        prior: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        # Keras turns arrays into tensors, and the number of pilots would no longer be static.
        return super().__call__(
            features,
            targets,
            pilot_mask=_check_mask(pilot_mask),
            no=no,
            prior=prior,
            training=training,
        )

    def call(
        self,
        features: Tensor,
        targets: Tensor,
        pilot_mask: tuple[bool, ...],
        no: Tensor,
        prior: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        _check_shapes(features, targets, pilot_mask)
        dtype = complex_dtype(self)
        features, targets = ops.cast(features, dtype), ops.cast(targets, dtype)
        pilots = np.flatnonzero(pilot_mask)
        fit = self.readout.fit(
            ops.take(features, pilots, axis=1), ops.take(targets, pilots, axis=1), no, prior=prior
        )
        return features @ fit.weights, fit.leave_one_out

    def compute_output_spec(
        self,
        features: Any,
        targets: Any,
        pilot_mask: tuple[bool, ...],
        no: Any,
        prior: Any = None,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        _check_shapes(features, targets, pilot_mask)
        batch, num_samples, _ = features.shape
        num_streams, dtype = targets.shape[-1], complex_dtype(self)
        return (
            keras.KerasTensor((batch, num_samples, num_streams), dtype=dtype),
            keras.KerasTensor((batch, sum(pilot_mask), num_streams), dtype=dtype),
        )

    def get_config(self) -> dict[str, Any]:
        readout = keras.saving.serialize_keras_object(self.readout)
        return {**super().get_config(), "readout": readout}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PilotReadout:
        readout = keras.saving.deserialize_keras_object(config["readout"])
        return super().from_config({**config, "readout": readout})


def _check_mask(pilot_mask: Any) -> tuple[bool, ...]:
    mask = np.asarray(pilot_mask)
    if mask.dtype != bool:
        raise TypeError(f"pilot_mask must be boolean, got dtype {mask.dtype}")
    if mask.ndim != 1 or not mask.any():
        raise ValueError(f"pilot_mask must be [P] with at least one pilot, got {mask!r}")
    return tuple(mask.tolist())


def _check_shapes(features: Any, targets: Any, pilot_mask: tuple[bool, ...]) -> None:
    require_signal(features, "features")
    require_signal(targets, "targets")
    for name, x in (("features", features), ("targets", targets)):
        if x.shape[1] not in (None, len(pilot_mask)):
            raise ValueError(
                f"{name} must have shape [B, {len(pilot_mask)}, any] to fit pilot_mask, "
                f"got {tuple(x.shape)}"
            )
