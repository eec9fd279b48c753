"""Gradient descent on all parameters of all slots at once, compiled."""

from __future__ import annotations

from sims.training.compiled import compiled
from sims.training.fit import Training, train
from sims.training.optimizers import Optimizer
from sims.training.regression import Data, Regression, Weights


class Descent:
    """Trains readout, taps and recurrence by backpropagation through time.

    Args:
        regression: the network, its rows and its loss.
        optimizer: the gradient method, which also knows the number of steps.
        patience: steps without a smaller held-out error after which a slot stops, >= 1.
        record_every: steps between recordings of the recurrent matrix; None: no recording.

    Raises:
        ValueError: if an argument is out of range, or the network has no recurrent matrix to
            record.
    """

    def __init__(
        self,
        regression: Regression,
        optimizer: Optimizer,
        *,
        patience: int,
        record_every: int | None = None,
    ) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience!r}")
        self._regression, self._optimizer, self._patience = regression, optimizer, patience
        self._every = record_every
        self._train = compiled(self._run)

    def __call__(self, data: Data, initial: Weights) -> Training:
        """Train B slots from given weights."""
        return self._train(data, initial)

    def _run(self, data: Data, initial: Weights) -> Training:
        network = self._regression.network
        recording = self._every is not None
        if recording and network.matrix(initial.recurrent) is None:
            raise ValueError("record_every must be None: the network has no recurrent matrix")
        return train(
            lambda weights: self._regression.losses(weights, data),
            initial,
            optimizer=self._optimizer,
            patience=self._patience,
            observe=(lambda weights: network.matrix(weights.recurrent)) if recording else None,
            every=self._every or 1,
        )
