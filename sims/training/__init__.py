"""Networks trained by gradient descent on the pilots of every slot, the slots side by side."""

from __future__ import annotations

from sims.training.adam import Adam
from sims.training.fit import Objective, Parameters, Training, train
from sims.training.linear import LinearRNN, Weights
from sims.training.pilots import PilotLoss, held_out_mask

__all__ = [
    "Adam",
    "LinearRNN",
    "Objective",
    "Parameters",
    "PilotLoss",
    "Training",
    "Weights",
    "held_out_mask",
    "train",
]
