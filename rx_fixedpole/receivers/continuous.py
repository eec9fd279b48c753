"""Channel estimation over the last few slots of a transmission that goes on."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.ofdm import PilotPattern, ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .estimator import FixedPoleChannelEstimator

_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(FixedPoleChannelEstimator).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "precision"
)


class ContinuousChannelEstimator(Block):
    r"""Estimates the channel of a slot from its pilots and those of the slots just before it.

    The slots are taken as one long slot: its pilots tell the powers of the delays, how fast the
    channel moves and, as far as it stands still, the channel itself, over which noise averages.
    Nothing has to be told about the speed. What is remembered goes in and comes out explicitly:
    the received grids of the last slots, so that the Block itself has no state.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` of one slot; all slots have its pilots.
        num_slots: slots that are looked at, the current one included, >= 1.
        options: options of :class:`FixedPoleChannelEstimator` as a dictionary, None for defaults.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, M, fft_size]`` complex, the grid of Sionna's ``OFDMDemodulator``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``, of all slots.
        state: what the call for the slot before returned; None for the first slot.

    Output:
        h_hat, err_var: as :class:`FixedPoleChannelEstimator`, of the current slot.
        state: ``[B, R, A, at most (num_slots - 1) M, fft_size]`` for the next call.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range, or the state is not of
            these slots.

    Notes:
        Cost: pilots are matched once for every slot of the window. The slots must follow each other
        without a gap, and with the same phase reference.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> estimator = ContinuousChannelEstimator(grid, num_slots=2)
        >>> state = None
        >>> for y in tf.zeros([3, 2, 1, 2, 4, 64], tf.complex64):
        ...     h_hat, err_var, state = estimator(y, 0.1, state)
        >>> h_hat.shape.as_list(), state.shape.as_list()
        ([2, 1, 2, 1, 1, 4, 64], [2, 1, 2, 4, 64])
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        *,
        num_slots: int = 3,
        options: dict[str, Any] | None = None,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_grid(resource_grid)
        num_slots = arguments.integer(num_slots, "num_slots", at_least=1)
        options = {} if options is None else options
        for name in options:
            if name not in _OPTIONS:
                raise ValueError(f"options must be among {', '.join(_OPTIONS)}, got {name!r}")
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        self._num_slots = num_slots
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._estimators = [
            FixedPoleChannelEstimator(_repeated(resource_grid, n), precision=precision, **options)
            for n in range(1, num_slots + 1)
        ]

    def call(
        self, y: Tensor, no: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the channel of the slot that follows those of the state."""
        y = ops.cast(_backend.require_complex(y, "y", "B", "R", "A", "M", "fft"), self._dtype)
        if state is None:
            state = y[..., :0, :]
        wanted = (*y.shape[:3], (self._num_slots - 1) * self._num_symbols, y.shape[4])
        state = _backend.require_complex(state, "state", "B", *y.shape[1:3], "M", y.shape[4])
        past, left = divmod(int(state.shape[3]), self._num_symbols)
        if left or past >= self._num_slots:
            raise ValueError(
                f"state must be what the last call returned, at most {list(wanted)}, "
                f"got {tuple(state.shape)}"
            )
        window = ops.concatenate([ops.cast(state, self._dtype), y], axis=3)
        h_hat, err_var = self._estimators[past](window, no)
        kept = min(past + 1, self._num_slots - 1) * self._num_symbols
        state = window[..., window.shape[3] - kept :, :]
        current = slice(past * self._num_symbols, None)
        return h_hat[..., current, :], err_var[..., current, :], state


def _repeated(grid: ResourceGrid, times: int) -> ResourceGrid:
    """The grid of some slots in a row, all with the pilots of the one."""
    pattern = grid.pilot_pattern
    mask = np.tile(np.asarray(pattern.mask), (1, 1, times, 1))
    pilots = np.tile(np.asarray(pattern.pilots), (1, 1, times))
    return ResourceGrid(
        times * int(grid.num_ofdm_symbols),
        int(grid.fft_size),
        float(grid.subcarrier_spacing),
        num_tx=int(grid.num_tx),
        num_streams_per_tx=int(grid.num_streams_per_tx),
        cyclic_prefix_length=int(grid.cyclic_prefix_length),
        num_guard_carriers=tuple(int(n) for n in grid.num_guard_carriers),
        dc_null=bool(grid.dc_null),
        pilot_pattern=PilotPattern(mask, pilots, precision=str(grid.precision)),
        precision=str(grid.precision),
    )
