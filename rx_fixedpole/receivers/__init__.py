"""Receivers as Sionna Blocks, each trained on the pilots of every slot it sees."""

from .equalizer import FixedPoleEqualizer
from .wiener import WienerEqualizer

__all__ = ["FixedPoleEqualizer", "WienerEqualizer"]
