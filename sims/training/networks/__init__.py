"""Recurrent networks that can be trained slot by slot.

To add one: a subclass of :class:`Network` and one entry here.
"""

from __future__ import annotations

from sims.training.networks.base import Network, Pair, Recurrent, complex_normal
from sims.training.networks.dense import ACTIVATIONS, DenseRNN
from sims.training.networks.diagonal import DiagonalRNN
from sims.training.networks.gated import GRU, LSTM

NETWORKS: dict[str, type[Network]] = {
    "diagonal": DiagonalRNN,
    "dense": DenseRNN,
    "gru": GRU,
    "lstm": LSTM,
}

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LSTM",
    "NETWORKS",
    "DenseRNN",
    "DiagonalRNN",
    "Network",
    "Pair",
    "Recurrent",
    "complex_normal",
]
