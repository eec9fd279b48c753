"""What a readout accepts, said once."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from .. import _backend
from .._backend import Tensor


def positive(value: Any, name: str, *, at_most: float = np.inf) -> float:
    """``value`` as a float, refused if it is no number in ``(0, at_most]``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not 0 < number <= at_most or not np.isfinite(number):
        wanted = "positive and finite" if at_most == np.inf else f"in (0, {at_most:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


def check_pilots(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``[B, P, F]`` and targets ``[B, P, S]`` of one slot."""
    features = _backend.require_complex(features, "features", "B", "P", "F")
    batch, num_pilots, _ = features.shape
    return features, _backend.require_complex(
        targets, "targets", batch or "B", num_pilots or "P", "S"
    )


def check_blocks(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``[B, M, P, F]`` and targets ``[B, M, P, S]`` in blocks."""
    features = _backend.require_complex(features, "features", "B", "M", "P", "F")
    batch, num_blocks, num_pilots, _ = features.shape
    return features, _backend.require_complex(
        targets, "targets", batch or "B", num_blocks or "M", num_pilots or "P", "S"
    )


def check_prior(prior: Tensor, num_features: int, num_streams: int) -> Tensor:
    """Prior weights ``[F, S]`` or ``[B, F, S]``."""
    prior = _backend.require_complex(prior, "prior")
    batch = ("B",) if len(prior.shape) == 3 else ()
    return _backend.require_complex(prior, "prior", *batch, num_features, num_streams)
