"""Receivers as Sionna Blocks."""

from .equalizer import FixedPoleEqualizer
from .pusch import TimeDomainPUSCHReceiver
from .wiener import WienerEqualizer

__all__ = ["FixedPoleEqualizer", "TimeDomainPUSCHReceiver", "WienerEqualizer"]
