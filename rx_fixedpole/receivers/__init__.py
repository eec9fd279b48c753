"""Receivers as Sionna Blocks, each trained on the pilots of every slot it sees."""

from .detector import FixedPoleDetector
from .equalizer import FixedPoleEqualizer
from .pusch import TimeDomainPUSCHReceiver
from .wiener import WienerEqualizer

__all__ = [
    "FixedPoleDetector",
    "FixedPoleEqualizer",
    "TimeDomainPUSCHReceiver",
    "WienerEqualizer",
]
