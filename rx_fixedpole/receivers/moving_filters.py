"""Linear MMSE filters at a few times of a slot: designed, applied, and told what they leave."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .anchors import anchors
from .demodulation import advance
from .frontend import antenna_responses
from .mmse import MMSEDesign
from .time_frontend import TimeFrontEnd


class Filtered(NamedTuple):
    """One receiver's outputs of the filters at J times in the slot, on N subcarriers."""

    outputs: Tensor  # [B, J, S, M, N] unbiased
    known: Tensor  # [B, J, S, N] error variance as far as taps, noise and err_var tell it
    learnt: Tensor  # [B, J, S, N] the part of it due to err_var


class MovingFilters:
    """Filters of one grid, window and delay at evenly spaced times of the slot.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        window: filter length W an antenna.
        delay: decision delay d in samples.
        number: times J, 1 .. M.
        l_min: time of the first received sample.
        first_lag: first lag of the taps that are looked for.
        capture: start of the FFT window that the channel was estimated in, relative to the end
            of the prefix.
        dtype: ``"complex64"`` or ``"complex128"``.
    """

    def __init__(
        self,
        resource_grid: Any,
        window: int,
        delay: int,
        number: int,
        *,
        l_min: int,
        first_lag: int,
        capture: int,
        dtype: str,
    ) -> None:
        self._size, self._dtype = int(resource_grid.fft_size), dtype
        # Centred on the prefix, as the channel with its filter reaches both ways
        shift = -(int(resource_grid.cyclic_prefix_length) // 2)
        self._design = MMSEDesign(resource_grid, window, delay, first_lag, (capture, shift))
        self._front_end = TimeFrontEnd(
            resource_grid, np.zeros(0), "orthonormal", window, delay + shift, dtype, l_min=l_min
        )
        self._delay_ramp = advance(self._size, -shift)
        self._mixing, self._times = anchors(int(resource_grid.num_ofdm_symbols), number)

    def apply(self, y: Tensor, h: Tensor, err_var: Tensor, no: Tensor) -> Filtered:
        """Design the filters, apply them, and tell what they leave.

        Args:
            y: samples, complex ``[B, A, T]``.
            h: channel on the occupied subcarriers, complex ``[B, A, S, M, K]``.
            err_var: its error variance, real, of the same shape.
            no: thermal noise, real ``[B]``.
        """
        num_ant, num_streams, num_times = y.shape[1], h.shape[2], len(self._times)
        times = _backend.constant(self._times, self._dtype)
        then = ops.transpose(times @ h, (0, 3, 1, 2, 4))
        err_var = ops.transpose(ops.real(times) @ err_var, (0, 3, 1, 2, 4))
        err_var = ops.reshape(err_var, (-1, *err_var.shape[2:]))
        err_var = ops.mean(ops.sum(err_var, axis=2), axis=(1, 2))  # [B J]
        taps, removed = self._design.taps(ops.reshape(then, (-1, *then.shape[2:])))
        err_var = self._design.remaining(err_var, removed)
        thermal = ops.repeat(no, num_times)
        load = ops.cast(thermal + err_var, "float64")
        weights = self._design.filters(taps, load)
        response = self._design.response(weights, taps)
        weights = ops.cast(weights, self._dtype)
        gain = ops.cast(response.gain, self._dtype)
        power = _backend.at_least(_backend.power(gain), 1e-30)
        squared = antenna_responses(weights, self._front_end.responses, self._dtype)
        squared = ops.sum(_backend.power(squared), axis=2)  # [B J, S, N]
        learnt = err_var[:, None, None] * squared / power
        leak = ops.cast(response.leak, _backend.dtype(no))
        known = leak / power + learnt + thermal[:, None, None] * squared / power
        inverse = ops.conj(gain) / ops.cast(power, self._dtype)
        inverse = inverse * _backend.constant(self._delay_ramp, self._dtype)
        rows = (-1, num_times, num_ant * self._design.window, num_streams)
        weights = ops.transpose(ops.reshape(weights, rows), (0, 2, 1, 3))
        weights = ops.reshape(weights, (-1, rows[2], num_times * num_streams))
        outputs = self._front_end.apply(y, weights)
        split = (-1, num_times, num_streams)
        outputs = ops.reshape(outputs, (*split, *outputs.shape[2:]))
        inverse = ops.reshape(inverse, (*split, 1, self._size))
        known, learnt = (ops.reshape(x, (*split, self._size)) for x in (known, learnt))
        return Filtered(outputs * inverse, known, learnt)

    def over_time(self, x: Tensor) -> Tensor:
        """``[B, J, S, M or 1, N]`` at J times to ``[B, S, M, N]`` at those of the symbols."""
        mixing = self._mixing.T[:, None, :, None]  # [J, 1, M, 1]
        return ops.sum(x * _backend.constant(mixing, _backend.dtype(x)), axis=1)
