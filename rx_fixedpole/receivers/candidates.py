"""What each equalizer makes of a slot, in the form in which they are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .choice import Candidate, CommonPilots
from .equalizer import FixedPoleEqualizer
from .held_out import HeldOut
from .layout import StreamLayout
from .one_tap import one_tap
from .pilot_noise import shown
from .pilots import grid_elements
from .rejection import InterferenceRejection
from .wiener import WienerEqualizer


class GridCandidates:
    """Detection of a channel estimate on the grid: in white noise, and against interference.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        pilots: where the candidates are compared.
        layout: where streams and data are.
        white, coloured: which of the two are wanted.
    """

    def __init__(
        self,
        resource_grid: Any,
        pilots: CommonPilots,
        layout: StreamLayout,
        *,
        white: bool,
        coloured: bool,
    ) -> None:
        occupied = grid_elements(resource_grid)
        places = np.searchsorted(occupied, pilots.elements)
        self._held_out = HeldOut(places, pilots.sent, len(occupied))
        self._rejection = InterferenceRejection(resource_grid, None, None)
        self._sent, self._layout = pilots.sent, layout
        self._white, self._coloured = white, coloured

    def __call__(
        self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor
    ) -> tuple[list[Candidate], Tensor]:
        """Candidates of a received grid, arguments as for :class:`.InterferenceRejection`.

        Beside them, whether the pilots show more than thermal noise, bool ``[B R]``.
        """
        y, h, err_var = self._rejection.scaled(y, h_hat, err_var, no)
        held_out = self._held_out(y, h, err_var)
        witness = self._rejection.residuals(y)
        error, leverage = self._held_out.residual(y, h), self._held_out.leverage(err_var)
        excess, concealed = shown(error, leverage, *witness)
        found = []
        if self._white:
            found.append(self._candidate(*one_tap(y, *held_out), concealed[:, None, None]))
        if self._coloured:
            interference = self._rejection.revealed(*witness)
            detected = self._rejection.detect(y, h, err_var, interference, held_out)
            hidden = ops.square(self._rejection.optimism(interference))
            found.append(self._candidate(*detected, hidden[:, None]))
        return found, excess

    def _candidate(self, x_hat: Tensor, no_eff: Tensor, hidden: Tensor) -> Candidate:
        """Of ``[B R, streams, M, K]``; ``hidden`` is what the power of errors is short of."""
        sent = _backend.constant(self._sent.T, _backend.dtype(x_hat))
        power = hidden * _backend.power(self._held_out.on_pilots(x_hat) - sent)
        layout = self._layout
        return Candidate(
            layout.occupied_data(x_hat),
            layout.occupied_data(no_eff),
            layout.rows(power),
            layout.rows(self._held_out.on_pilots(no_eff)),
        )


def trained_candidate(
    equalizer: FixedPoleEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    *,
    by_symbol: bool,
) -> Candidate:
    """A trained equalizer's, from its errors on pilots that have not trained it.

    Args:
        equalizer, pilots, layout: its parts.
        y, no: as it takes them.
        by_symbol: whether whole OFDM symbols are left out too; half the power is then from these.
    """
    outputs, error, *left_out = equalizer.trained(y, no, by_symbol=by_symbol)
    size = int(outputs.shape[-1])
    at = ops.take(error, pilots.elements % size, axis=-1)
    dtype = _backend.dtype(outputs)
    sent = ops.cast(at, dtype) * _backend.constant(pilots.sent.T, dtype)
    powers = []
    for errors in left_out[: 1 + by_symbol]:  # x less the output
        left = pilots.of_groups([ops.swapaxes(e, 1, 2) for e in errors])
        powers.append(_backend.power(sent - left) / ops.square(1.0 - at))
    data = layout.subcarriers(error)
    return Candidate(
        layout.data(outputs) / ops.cast(1.0 - data, dtype),
        data / (1.0 - data),
        layout.rows(sum(powers[1:], powers[0]) / len(powers)),
        layout.rows(at / (1.0 - at)),
    )


def wiener_candidate(
    equalizer: WienerEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    first: tuple[Tensor, Tensor],
) -> Candidate:
    """The Wiener equalizer's, whose channel was fitted to the pilots: what that hides is added.

    Args:
        equalizer, pilots, layout: its parts.
        y: samples ``[B, R, A, T]``.
        no: thermal noise ``[B R]``.
        first: what the estimator answers to that noise.
    """
    rows = ops.reshape(y, (-1, *y.shape[2:]))
    outputs, error, powers = equalizer.equalized(rows, no, *equalizer.identified(y, no, first))
    no_eff = error / (1.0 - error)
    flat = ops.reshape(no_eff, (-1, no_eff.shape[1], no_eff.shape[2] * no_eff.shape[3]))
    return Candidate(
        layout.data(outputs),
        layout.data(no_eff),
        layout.rows(pilots.of_groups(powers)),
        layout.rows(ops.take(flat, pilots.elements, axis=-1)),
    )
