"""Fixed-pole recurrent receivers for OFDM links (after arXiv:2602.21454).

A bank of one-pole filters, ``s_k[n] = beta_k s_k[n-1] + u[n]``, keeps the past of a received
signal. Its poles stay where they were put; only the linear readout ``y[n] = s[n] @ weights`` is
trained, in closed form, on the pilots of each slot.

Shape legend, used in every docstring::

    B  batch (slots)    N  inputs             S  streams
    R  receivers        K  poles              M  OFDM symbols
    A  antennas         F  features           D  data resource elements
    T  samples          P  pilots

Quick start: 14 poles, placed once, reach any real pole up to 0.95 within one in a thousand.

>>> import numpy as np
>>> from rx_fixedpole import poles
>>> poles.approximation_error(0.9, poles.zolotarev(14, radius=0.95)).item() < 1e-3
True

The numerics (``poles``, ``recurrence``, ``readout``, ``layers``) run on Keras; the receivers are
Sionna Blocks. Nothing but NumPy is loaded until a name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_fixedpole import layers as layers
    from rx_fixedpole import poles as poles
    from rx_fixedpole import readout as readout
    from rx_fixedpole import recurrence as recurrence
    from rx_fixedpole.layers import FixedPoleRNN, PilotReadout, TrainablePoleRNN
    from rx_fixedpole.readout import BlockRLS, Ridge
    from rx_fixedpole.receivers.equalizer import FixedPoleEqualizer

__version__ = "0.1.0"

_MODULES = ("layers", "poles", "readout", "recurrence")
_HOMES = {
    "BlockRLS": "readout",
    "FixedPoleEqualizer": "receivers.equalizer",
    "FixedPoleRNN": "layers",
    "PilotReadout": "layers",
    "Ridge": "readout",
    "TrainablePoleRNN": "layers",
}

__all__ = [
    "BlockRLS",
    "FixedPoleEqualizer",
    "FixedPoleRNN",
    "PilotReadout",
    "Ridge",
    "TrainablePoleRNN",
    "__version__",
    "layers",
    "poles",
    "readout",
    "recurrence",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that NumPy users load no framework."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
