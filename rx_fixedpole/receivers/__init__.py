"""Receivers as Sionna Blocks, each trained on the pilots of every slot it sees."""

from .equalizer import FixedPoleEqualizer
from .pusch import TimeDomainPUSCHReceiver

__all__ = ["FixedPoleEqualizer", "TimeDomainPUSCHReceiver"]
