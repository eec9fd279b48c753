"""Networks trained on the pilots of every slot: gradient methods, L-BFGS, variable projection.

Nothing here knows OFDM: a :class:`Regression` has rows, which may be samples or resource elements.
"""

from __future__ import annotations

from sims.training.descent import Descent
from sims.training.fit import Objective, Parameters, Training, train
from sims.training.lbfgs import LBFGS
from sims.training.networks import (
    ACTIVATIONS,
    GRU,
    LSTM,
    NETWORKS,
    DenseRNN,
    DiagonalRNN,
    Network,
    complex_normal,
)
from sims.training.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Momentum,
    Optimizer,
    RMSprop,
)
from sims.training.pilots import PilotRows, held_out_mask
from sims.training.pretraining import pretrain
from sims.training.regression import Data, Readout, Regression, Weights
from sims.training.varpro import VarPro

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LBFGS",
    "LSTM",
    "NETWORKS",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "Data",
    "DenseRNN",
    "Descent",
    "DiagonalRNN",
    "Momentum",
    "Network",
    "Objective",
    "Optimizer",
    "Parameters",
    "PilotRows",
    "RMSprop",
    "Readout",
    "Regression",
    "Training",
    "VarPro",
    "Weights",
    "complex_normal",
    "held_out_mask",
    "pretrain",
    "train",
]
