"""Keras layers, complex in and complex out."""

from .fixed import FixedPoleRNN
from .pilot import PilotReadout
from .trainable import PARAMETRIZATIONS, TrainablePoleRNN

__all__ = ["PARAMETRIZATIONS", "FixedPoleRNN", "PilotReadout", "TrainablePoleRNN"]
