"""What each equalizer makes of a slot, in the form in which they are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .choice import Candidate, CommonPilots
from .equalizer import FixedPoleEqualizer
from .estimator import FixedPoleChannelEstimator
from .held_out import HeldOut, PilotSymbols
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
        symbols: those of the pilots.
        layout: where streams and data are.
        white, coloured: which of the two are wanted.
    """

    def __init__(
        self,
        resource_grid: Any,
        pilots: CommonPilots,
        symbols: PilotSymbols,
        layout: StreamLayout,
        *,
        white: bool,
        coloured: bool,
    ) -> None:
        occupied = grid_elements(resource_grid)
        places = np.searchsorted(occupied, pilots.elements)
        self._held_out = HeldOut(places, pilots.sent, len(occupied))
        self._symbols = symbols
        self._rejection = InterferenceRejection(resource_grid, None, None)
        self._sent, self._layout = pilots.sent, layout
        self._white, self._coloured = white, coloured

    def __call__(
        self,
        y: Tensor,
        h_hat: Tensor,
        err_var: Tensor,
        no: Tensor,
        without: tuple[Tensor, ...] = (),
    ) -> tuple[list[Candidate], Tensor]:
        """Candidates of a received grid, and whether its pilots show more than thermal noise.

        Args:
            y, h_hat, err_var, no: as for :class:`.InterferenceRejection`.
            without: channel and error variance on the pilot symbols without these, if known.
        """
        symbols = self._symbols
        unscaled = y
        y, h, err_var = self._rejection.scaled(y, h_hat, err_var, no)
        held_out = (y, *self._held_out(y, h, err_var))
        if without:
            without = self._rejection.scaled(symbols.of(unscaled), *without, no)
        witness = self._rejection.residuals(y)
        excess, concealed = shown(
            self._held_out.residual(y, h),
            self._held_out.residual(y, held_out[1]),
            self._held_out.leverage(err_var),
            witness,
        )
        found = []
        if self._white:
            whole = one_tap(*without) if without else ()
            found.append(self._candidate(one_tap(*held_out), whole, concealed[:, None, None]))
        if self._coloured:
            interference = self._rejection.revealed(*witness)
            hidden = ops.square(self._rejection.optimism(interference))[:, None]
            detected, whole = (
                self._rejection.detect(y, h, err_var, interference, used) if used else ()
                for used in (held_out, without)
            )
            found.append(self._candidate(detected, whole, hidden))
        return found, excess

    def _candidate(
        self, held_out: tuple[Tensor, Tensor], whole: tuple[Tensor, ...], hidden: Tensor
    ) -> Candidate:
        """Of outputs and their variance without each pilot, and without its symbol.

        Args:
            held_out: ``[B R, streams, M, K]``.
            whole: ``[B R, streams, Mp, K]``, or nothing.
            hidden: what the power of errors is short of, real ``[B R, 1, P or 1]``.
        """
        x_hat, no_eff = held_out
        on_pilots = [self._held_out.on_pilots(x) for x in held_out]
        if whole:
            whole_symbols = [self._symbols.on_pilots(x) for x in whole]
            on_pilots = [_joined(*both) for both in zip(on_pilots, whole_symbols, strict=True)]
            hidden = hidden + ops.zeros_like(whole_symbols[1])
            hidden = _joined(hidden, hidden)
        sent = np.tile(self._sent.T, 1 + bool(whole))
        power = _backend.power(on_pilots[0] - _backend.constant(sent, _backend.dtype(x_hat)))
        layout = self._layout
        return Candidate(
            layout.occupied_data(x_hat),
            layout.occupied_data(no_eff),
            layout.rows(hidden * power),
            layout.rows(on_pilots[1]),
        )


def trained_candidate(
    equalizer: FixedPoleEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    without: bool = False,
) -> Candidate:
    """A trained equalizer's, from errors on pilots that have not trained it.

    Args:
        equalizer, pilots, layout: its parts.
        y, no: as it takes them.
        without: whether to leave out whole symbols too.
    """
    outputs, error, *left = equalizer.trained(y, no, without)
    size = int(outputs.shape[-1])
    at = ops.take(error, pilots.elements % size, axis=-1)
    dtype = _backend.dtype(outputs)
    sent = ops.cast(at, dtype) * _backend.constant(pilots.sent.T, dtype)
    powers = []
    for errors in left[: 1 + without]:  # x less the output
        errors = pilots.of_groups([ops.swapaxes(e, 1, 2) for e in errors])
        powers.append(layout.rows(_backend.power(sent - errors) / ops.square(1.0 - at)))
    data = layout.subcarriers(error)
    stated = layout.rows(at / (1.0 - at))
    return Candidate(
        layout.data(outputs) / ops.cast(1.0 - data, dtype),
        data / (1.0 - data),
        _joined(*powers),
        _joined(*[stated] * len(powers)),
    )


def wiener_candidate(
    equalizer: WienerEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    first: tuple[Tensor, Tensor],
    symbols: PilotSymbols | None = None,
    estimator: FixedPoleChannelEstimator | None = None,
) -> Candidate:
    """The Wiener equalizer's, whose channel was fitted to the pilots: what that hides is added.

    Without a whole symbol the channel there would have been another one; what of the change the
    filters would have passed is added too.

    Args:
        equalizer, pilots, layout: its parts.
        y: samples ``[B, R, A, T]``.
        no: thermal noise ``[B R]``.
        first: what the estimator answers to that noise.
        symbols: those of the pilots.
        estimator: what leaves symbols out. None: none is left out.
    """
    rows = ops.reshape(y, (-1, *y.shape[2:]))
    without: list[Tensor] = []

    def asked(spectra: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        answer = estimator.leaving_symbols_out(spectra, variance)
        without.extend(answer[2:])
        return answer[:2]

    h, err_var, seen = equalizer.identified(y, no, first, asked if estimator else None)
    outputs, error, powers, passed = equalizer.equalized(rows, no, h, err_var, seen)
    no_eff = error / (1.0 - error)

    def at(grid: Tensor) -> Tensor:
        flat = ops.reshape(grid, (-1, grid.shape[1], grid.shape[2] * grid.shape[3]))
        return ops.take(flat, pilots.elements, axis=-1)

    power, stated = pilots.of_groups(powers), at(no_eff)
    if estimator:
        other, error = equalizer.flat(*without)
        moved = _backend.power(other - symbols.of(h))
        unsure = _backend.at_least(error - symbols.of(err_var), 0.0)
        moved, unsure = (ops.mean(ops.sum(x, axis=2), axis=1)[:, None] for x in (moved, unsure))
        passed = at(passed + ops.zeros_like(no_eff))
        power = _joined(power, power + passed * symbols.on_pilots(moved))
        stated = _joined(stated, stated + passed * symbols.on_pilots(unsure))
    return Candidate(
        layout.data(outputs), layout.data(no_eff), layout.rows(power), layout.rows(stated)
    )


def _joined(*parts: Tensor) -> Tensor:
    """Parts side by side along the last axis."""
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
