"""Receivers as Sionna Blocks, each trained on the pilots of every slot it sees.

What they compute (front ends, reliability) imports without Sionna.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auto import AutoReceiver
    from .continuous import ContinuousChannelEstimator
    from .detector import FixedPoleDetector
    from .equalizer import FixedPoleEqualizer
    from .estimator import FixedPoleChannelEstimator
    from .iterative import IterativeReceiver
    from .pusch import TimeDomainPUSCHReceiver
    from .tracking import TrackingEqualizer
    from .wiener import WienerEqualizer

_HOMES = {
    "AutoReceiver": "auto",
    "ContinuousChannelEstimator": "continuous",
    "FixedPoleChannelEstimator": "estimator",
    "FixedPoleDetector": "detector",
    "FixedPoleEqualizer": "equalizer",
    "IterativeReceiver": "iterative",
    "TimeDomainPUSCHReceiver": "pusch",
    "TrackingEqualizer": "tracking",
    "WienerEqualizer": "wiener",
}

__all__ = [
    "AutoReceiver",
    "ContinuousChannelEstimator",
    "FixedPoleChannelEstimator",
    "FixedPoleDetector",
    "FixedPoleEqualizer",
    "IterativeReceiver",
    "TimeDomainPUSCHReceiver",
    "TrackingEqualizer",
    "WienerEqualizer",
]


def __getattr__(name: str) -> Any:
    """Import a Block when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
