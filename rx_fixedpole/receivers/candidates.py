"""What detection on the grid makes of a slot, in the form in which equalizers are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .choice import Candidate, CommonPilots
from .held_out import HeldOut
from .layout import StreamLayout
from .pilot_noise import shown
from .pilots import grid_elements
from .rejection import InterferenceRejection
from .small_matrices import adjoint_product, linear_mmse

# Channel [A, streams, B R, M, K] and samples [A, B R, M, K] in noise of unit variance.
Whitened = tuple[Tensor, Tensor]


class GridCandidates:
    """Detection of a channel estimate on the grid: in white noise, and against interference.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        pilots: where the candidates are compared.
        layout: where streams and data are.
        white, coloured: which of the two are wanted.
        joint: whether streams may be detected together.
    """

    def __init__(
        self,
        resource_grid: Any,
        pilots: CommonPilots,
        layout: StreamLayout,
        *,
        white: bool,
        coloured: bool,
        joint: bool = False,
    ) -> None:
        occupied = grid_elements(resource_grid)
        places = np.searchsorted(occupied, pilots.elements)
        self._held_out = HeldOut(places, pilots.sent, len(occupied))
        self._rejection = InterferenceRejection(resource_grid, None, None)
        self._sent, self._layout = pilots.sent, layout
        self._white, self._coloured, self._joint = white, coloured, joint

    def __call__(
        self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor
    ) -> tuple[list[Candidate], list[Whitened], Tensor]:
        """Candidates of a received grid, arguments as for :class:`.InterferenceRejection`.

        Beside them, what to detect jointly, and whether the pilots show more than thermal noise,
        bool ``[B R]``.
        """
        y, h, err_var = self._rejection.scaled(y, h_hat, err_var, no)
        held_out = self._held_out(y, h, err_var)
        witness = self._rejection.residuals(y)
        error, leverage = self._held_out.residual(y, h), self._held_out.leverage(err_var)
        excess, concealed = shown(error, leverage, *witness)
        found, white = [], []
        if self._white:
            white.append(in_white_noise(y, *held_out))
            found.append(self._candidate(*white[-1], concealed[:, None, None]))
        if self._coloured:
            interference = self._rejection.revealed(*witness)
            white.append(self._rejection.whitened(y, h, err_var, interference, held_out))
            hidden = ops.square(self._rejection.optimism(interference))
            found.append(self._candidate(*white[-1], hidden[:, None]))
        return found, white if self._joint else [], excess

    def _candidate(self, channel: Tensor, signal: Tensor, hidden: Tensor) -> Candidate:
        """Of whitened samples; ``hidden`` is what the power of errors is short of."""
        x_hat, no_eff = (ops.transpose(x, (1, 0, 2, 3)) for x in linear_mmse(channel, signal))
        sent = _backend.constant(self._sent.T, _backend.dtype(x_hat))
        power = hidden * _backend.power(self._held_out.on_pilots(x_hat) - sent)
        layout, gram = self._layout, None
        if self._joint:
            size = channel.shape[-2] * channel.shape[-1]
            flat = ops.reshape(channel, (*channel.shape[:2], -1, size))
            flat = ops.take(flat, self._held_out.places, axis=-1)
            gram = adjoint_product(flat, flat)
        return Candidate(
            layout.occupied_data(x_hat),
            layout.occupied_data(no_eff),
            layout.rows(power),
            layout.rows(self._held_out.on_pilots(no_eff)),
            gram,
        )


def in_white_noise(y: Tensor, h: Tensor, err_var: Tensor) -> Whitened:
    """The same in noise of unit variance; the channel's error counts as noise.

    Args:
        y: samples in units of the noise's standard deviation, complex ``[N, A, M, K]``.
        h: channel likewise, ``[N, A, streams, M, K]``.
        err_var: its error variance, mean over the antennas, real ``[N, streams, M, K]``.
    """
    scale = ops.cast(ops.rsqrt(1.0 + ops.sum(err_var, axis=1)), _backend.dtype(y))
    return ops.transpose(h, (1, 2, 0, 3, 4)) * scale, ops.transpose(y, (1, 0, 2, 3)) * scale
