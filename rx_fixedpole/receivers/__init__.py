"""Receivers as Sionna Blocks, each trained on the pilots of every slot it sees."""

from .detector import FixedPoleDetector
from .equalizer import FixedPoleEqualizer

__all__ = ["FixedPoleDetector", "FixedPoleEqualizer"]
