"""Recurrences before anything is learnt: their options, checked, and the network they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rx_fixedpole import poles as placements
from sims.training import GRU, LSTM, DenseRNN, DiagonalRNN, Network, complex_normal


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """What a network is before its training; a value that can be compared and remembered.

    Args:
        network, init, parametrization, bank, activation, num_poles, num_neurons, radius, seed: as
            in `bptt`.

    Raises:
        ValueError: if an option does not go with the network.
    """

    network: str = "diagonal"
    init: str = "random"
    parametrization: str = "stable"
    bank: str = "shared"
    activation: str = "linear"
    num_poles: int = 8
    num_neurons: int = 32
    radius: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        for name, owner, plain in (
            ("parametrization", "diagonal", ("stable",)),
            ("bank", "diagonal", ("shared",)),
            ("init", "diagonal", ("random", "ridge")),
            ("activation", "dense", ("linear",)),
        ):
            value = getattr(self, name)
            if self.network != owner and value not in plain:
                raise ValueError(f"{name} {value!r} needs network {owner!r}, got {self.network!r}")
        for name in ("num_poles", "num_neurons"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not 0 < self.radius < 1:
            raise ValueError(f"radius must be in (0, 1), got {self.radius!r}")

    @property
    def poles_an_antenna(self) -> int:
        """Poles that make features like those of the delay line: none unless every antenna has
        its bank."""
        return self.num_poles if self.bank == "per_antenna" else 0

    def make(self, num_antennas: int) -> Network:
        """The network with its first parameters, its states of about unit power."""
        rng = np.random.default_rng(self.seed)
        if self.network == "diagonal":
            return self._diagonal(num_antennas, rng)
        if self.network == "dense":
            return DenseRNN.random(
                self.num_neurons,
                num_antennas,
                activation=self.activation,
                radius=self.radius,
                rng=rng,
            )
        kind = {"gru": GRU, "lstm": LSTM}[self.network]
        return kind.random(self.num_neurons, num_antennas, rng=rng)

    def _diagonal(self, num_antennas: int, rng: np.random.Generator) -> DiagonalRNN:
        if self.init == "random":
            poles = placements.disc(self.num_poles, self.radius, seed=self.seed)
        else:
            poles = placements.ring(self.num_poles, self.radius)
        if self.bank == "per_antenna":
            inputs = np.kron(np.eye(num_antennas), np.ones((self.num_poles, 1))) + 0j
            poles = np.tile(poles, num_antennas)
        else:
            inputs = complex_normal(rng, self.num_poles, num_antennas) / np.sqrt(num_antennas)
        inputs = inputs * np.sqrt(1 - np.abs(poles) ** 2)[:, None]
        return DiagonalRNN(poles, inputs, parametrization=self.parametrization)
