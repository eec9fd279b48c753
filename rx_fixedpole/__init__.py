"""Fixed-pole recurrent receivers for OFDM links (after arXiv:2602.21454).

A bank of one-pole filters, ``s_k[n] = beta_k s_k[n-1] + u[n]``, keeps the past of a received
signal. Its poles stay where they were put; only the linear readout ``y[n] = s[n] @ weights`` is
trained, in closed form, on the pilots of each slot.

Shape legend, used in every docstring::

    B  batch (slots)    N  inputs             S  streams
    R  receivers        K  poles              M  OFDM symbols
    A  antennas         F  features           D  data resource elements
    T  samples          P  pilots

Quick start: one slot without a cyclic prefix, through a channel of three taps that is not known.

>>> import numpy as np
>>> import tensorflow as tf
>>> from sionna.phy.mapping import BinarySource, Demapper, Mapper
>>> from sionna.phy.mimo import StreamManagement
>>> from sionna.phy.ofdm import OFDMModulator, ResourceGrid, ResourceGridMapper
>>> from rx_fixedpole import FixedPoleEqualizer, poles
>>> grid = ResourceGrid(num_ofdm_symbols=14, fft_size=64, subcarrier_spacing=30e3,
...                     pilot_pattern="kronecker", pilot_ofdm_symbol_indices=[2, 11])
>>> equalizer = FixedPoleEqualizer(grid, StreamManagement(np.array([[1]]), 1),
...                                poles=poles.ring(4, radius=0.7), window=12, l_min=0)
>>> bits = BinarySource()([1, 1, 1, 2 * 64 * 12])
>>> x = OFDMModulator(0)(ResourceGridMapper(grid)(Mapper("qam", 2)(bits)))
>>> y = np.convolve(x.numpy().ravel(), [1.0, 0.5j, -0.3])
>>> y += 0.05 * np.random.default_rng(0).normal(size=(len(y), 2)) @ [1, 1j]
>>> y = tf.constant(y.reshape(1, 1, 1, -1), tf.complex64)   # [B, R, A, T], first sample: l_min
>>> x_hat, no_eff = equalizer(y, no=2 * 0.05**2)            # trained on this slot's pilots
>>> llr = Demapper("app", "qam", 2)(x_hat, no_eff)
>>> int(np.sum((llr.numpy() > 0) != bits.numpy()))          # of 1536 bits
0

The numerics (``poles``, ``recurrence``, ``readout``, ``layers``) run on Keras; the receivers are
Sionna Blocks; ``theory`` holds the statements behind them. Nothing but NumPy is loaded until a
name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_fixedpole import layers as layers
    from rx_fixedpole import poles as poles
    from rx_fixedpole import readout as readout
    from rx_fixedpole import recurrence as recurrence
    from rx_fixedpole import theory as theory
    from rx_fixedpole.layers import FixedPoleRNN, PilotReadout, TrainablePoleRNN
    from rx_fixedpole.readout import ARDRidge, BlockRLS, Ridge
    from rx_fixedpole.receivers.auto import AutoReceiver
    from rx_fixedpole.receivers.continuous import ContinuousChannelEstimator
    from rx_fixedpole.receivers.detector import FixedPoleDetector
    from rx_fixedpole.receivers.equalizer import FixedPoleEqualizer
    from rx_fixedpole.receivers.estimator import FixedPoleChannelEstimator
    from rx_fixedpole.receivers.iterative import IterativeReceiver
    from rx_fixedpole.receivers.pusch import TimeDomainPUSCHReceiver
    from rx_fixedpole.receivers.tracking import TrackingEqualizer
    from rx_fixedpole.receivers.wiener import WienerEqualizer

__version__ = "0.1.0"

_MODULES = ("layers", "poles", "readout", "recurrence", "theory")
_HOMES = {
    "ARDRidge": "readout",
    "AutoReceiver": "receivers.auto",
    "BlockRLS": "readout",
    "ContinuousChannelEstimator": "receivers.continuous",
    "FixedPoleChannelEstimator": "receivers.estimator",
    "FixedPoleDetector": "receivers.detector",
    "FixedPoleEqualizer": "receivers.equalizer",
    "FixedPoleRNN": "layers",
    "IterativeReceiver": "receivers.iterative",
    "PilotReadout": "layers",
    "Ridge": "readout",
    "TimeDomainPUSCHReceiver": "receivers.pusch",
    "TrainablePoleRNN": "layers",
    "TrackingEqualizer": "receivers.tracking",
    "WienerEqualizer": "receivers.wiener",
}

__all__ = [
    "ARDRidge",
    "AutoReceiver",
    "BlockRLS",
    "ContinuousChannelEstimator",
    "FixedPoleChannelEstimator",
    "FixedPoleDetector",
    "FixedPoleEqualizer",
    "FixedPoleRNN",
    "IterativeReceiver",
    "PilotReadout",
    "Ridge",
    "TimeDomainPUSCHReceiver",
    "TrainablePoleRNN",
    "TrackingEqualizer",
    "WienerEqualizer",
    "__version__",
    "layers",
    "poles",
    "readout",
    "recurrence",
    "theory",
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
