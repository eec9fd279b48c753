"""A receiver around any network: trained on the pilots of every slot, used on its data.

All networks, optimizers and initial values share this one path, and its end is that of the
fixed-pole equalizer: with the trained recurrence frozen, readout and taps are a ridge regression
on all pilots, those held out included, and its leave-one-out errors tell how good the output is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from rx_fixedpole.readout import ARDRidge
from rx_fixedpole.receivers.frontend import antenna_responses
from rx_fixedpole.receivers.layout import StreamLayout
from rx_fixedpole.receivers.reliability import Reliability
from rx_fixedpole.receivers.time_frontend import TimeFrontEnd
from sims.link import Link, Slots
from sims.receivers.grid import pilot_grid
from sims.receivers.symbols import SymbolRows
from sims.receivers.waveform import Waveform
from sims.training import Data, Network, PilotRows, Regression, Training, Weights, held_out_mask
from sims.training.compiled import compiled
from sims.training.regression import power

# (data, initial weights) -> training of every slot
Trainer = Callable[[Data, Weights], Training]


@dataclass(frozen=True)
class Frame:
    """How a network is set into a receiver.

    Args:
        window: samples per antenna of the delay line, >= 0.
        delay: decision delay in samples, >= 0.
        held_out: share of the pilots that decide when to stop, in (0, 1).
        reg: ridge regularisation of readout and taps in units of the noise variance, >= 0.
        ridge_start: whether training starts from the best readout of the initial recurrence.
        refit: whether readout and taps are fitted anew, to all pilots, after training.
        readout: how, "ridge" with the known noise variance, or "ard", which learns prior powers and
            the error's variance from the pilots.

    Raises:
        ValueError: if an argument is out of range.
    """

    window: int
    delay: int
    held_out: float = 0.2
    reg: float = 1.0
    ridge_start: bool = False
    refit: bool = True
    readout: str = "ridge"

    def __post_init__(self) -> None:
        for name in ("window", "delay", "reg"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        if self.reg == 0 and (self.ridge_start or self.refit):
            raise ValueError(f"reg must be positive for a ridge regression, got {self.reg!r}")


class LearnedReceiver:
    """Trains a network on the pilots of every slot and applies it to the slot's data.

    Args:
        link: the link to receive on.
        network: the network.
        trainer: makes the function that trains it from the regression on the pilots; None: the
            recurrence stays as it is.
        frame: how the network is set into the receiver.

    Attributes:
        regression: the regression on the pilots.
    """

    def __init__(
        self,
        link: Link,
        network: Network,
        trainer: Callable[[Regression], Trainer] | None,
        frame: Frame,
    ) -> None:
        self.network, self.frame, self._link = network, frame, link
        grid, waveform = pilot_grid(link.resource_grid), Waveform.of(link)
        elements = grid.symbols * grid.fft_size + grid.subcarriers[grid.columns]
        mask = held_out_mask(len(elements), frame.held_out)
        pilots = PilotRows.of(elements, grid.values.T, mask, grid.fft_size)
        self._elements = elements if frame.refit else elements[mask]
        self._values = (grid.values if frame.refit else grid.values[:, mask]).T
        # What leaves the delay line drives a linear bank, which then repeats nothing. A nonlinear
        # network must see the newest samples, and runs up to each symbol on its own.
        self._lag = 0 if network.sequential else frame.window
        run_up = waveform.cp_length + frame.window if network.sequential else None
        self._pilots, self._all = (
            SymbolRows(waveform, symbols, delay=frame.delay, lag=self._lag, run_up=run_up)
            for symbols in (pilots.symbols, np.arange(waveform.num_symbols))
        )
        self._targets = pilots.targets
        self._line_elements = (
            pilots.symbols[:, None] * grid.fft_size + np.arange(grid.fft_size)
        ).reshape(-1)
        self.regression = Regression(
            network, self._pilots, learnt=pilots.learnt, held_out=pilots.held_out, reg=frame.reg
        )
        self._trainer = None if trainer is None else trainer(self.regression)
        self._layout = StreamLayout(link.resource_grid, link.stream_management)
        self._reliability = Reliability(
            self._elements % grid.fft_size, grid.subcarriers, grid.fft_size
        )
        self._fft_size, self._cdtype = grid.fft_size, link.resource_grid.cdtype
        self._line = TimeFrontEnd(
            link.resource_grid,
            np.zeros(0, np.complex128),
            "parallel",
            frame.window,
            frame.delay,
            self._cdtype.name,
            link.l_min,
        )
        self._network_outputs = compiled(self._run) if network.sequential else self._run

    def __call__(self, slots: Slots) -> tf.Tensor:
        """LLRs [B, num_users, S, n]."""
        y, no = normalized(slots)
        data = self.data(slots)
        weights = self._trained(data).parameters
        errors = None
        if self.frame.refit:
            rows = self.regression.learnt | self.regression.held_out
            ard = ARDRidge(self.frame.reg) if self.frame.readout == "ard" else None
            readout = self.regression.solve(
                weights.recurrent, data, rows, unit_power=True, readout=ard
            )
            weights = Weights(weights.recurrent, readout.readout, readout.taps)
            errors = readout.leave_one_out
        outputs = self._outputs(weights, y)
        if errors is None:
            errors = self._errors(outputs)
        noise = self._noise(weights, y, no, outputs)
        error = self._reliability.error_variance(errors, outputs, noise)
        error = self._layout.subcarriers(error)
        x_hat = self._layout.data(outputs) / tf.cast(1 - error, self._cdtype)
        return self._link.demap(x_hat, error / (1 - error))

    def train(self, slots: Slots) -> Training:
        """Train on the pilots of every slot, to look at the losses and the poles."""
        return self._trained(self.data(slots))

    def data(self, slots: Slots) -> Data:
        """What the network is trained on: the pilots of the slots, scaled to unit power."""
        y, no = normalized(slots)
        shape = [tf.shape(y)[0], *self._targets.shape]
        if self.frame.window:
            line = self._line.features(y, self._line_elements)
        else:
            line = tf.zeros([*shape[:2], 0], y.dtype)
        targets = tf.broadcast_to(tf.constant(self._targets, y.dtype), shape)
        targets = tf.ensure_shape(targets, [y.shape[0], *self._targets.shape])
        return Data(self._pilots.drive(y), line, targets, no)

    def _trained(self, data: Data) -> Training:
        initial = self.regression.start(data, ridge=self.frame.ridge_start)
        if self._trainer is not None:
            return self._trainer(data, initial)
        nothing = tf.zeros_like(data.no)
        losses = tf.zeros([0, 2, nothing.shape[0]], nothing.dtype)
        steps = tf.zeros_like(nothing, tf.int32)
        return Training(initial, nothing, steps, losses, losses[:, 0])

    def _run(self, weights: Weights, y: tf.Tensor) -> tf.Tensor:
        """The network's part of the outputs, [B, M fft, S]."""
        readout = tf.complex(*weights.readout)
        return self._all(self.network.output(weights.recurrent, self._all.drive(y), readout))

    def _outputs(self, weights: Weights, y: tf.Tensor) -> tf.Tensor:
        """Outputs [B, S, M, fft] on the whole grid."""
        rows = tf.transpose(self._network_outputs(weights, y), [0, 2, 1])
        outputs = tf.reshape(rows, [-1, rows.shape[1], self._line.num_symbols, self._fft_size])
        if self.frame.window:
            outputs += self._line.apply(y, tf.complex(*weights.taps))
        return outputs

    def _errors(self, outputs: tf.Tensor) -> tf.Tensor:
        """Errors [B, P, S] at the held-out pilots."""
        shape = [-1, outputs.shape[1], outputs.shape[2] * outputs.shape[3]]
        held_out = tf.gather(tf.reshape(outputs, shape), self._elements, axis=-1)
        errors = tf.constant(self._values.T, self._cdtype) - held_out
        return tf.transpose(errors, [0, 2, 1])

    def _noise(
        self, weights: Weights, y: tf.Tensor, no: tf.Tensor, outputs: tf.Tensor
    ) -> tf.Tensor:
        """Thermal noise in the outputs, [B, S, fft]: exact for a linear network."""
        size = self._fft_size
        omega = 2 * np.pi * (np.arange(size) - size // 2) / size
        states = self.network.response(weights.recurrent, omega)
        if states is None:
            return self._probed_noise(weights, y, no, outputs)
        advance = np.exp(1j * omega * (self.frame.delay - self._lag))
        readout = tf.complex(*weights.readout)
        response = tf.einsum("bks,bkan->bsan", readout, states) * tf.constant(advance, self._cdtype)
        if self.frame.window:
            taps = tf.complex(*weights.taps)
            response += antenna_responses(taps, self._line.responses, self._cdtype.name)
        return no[:, None, None] * tf.reduce_sum(power(response), axis=2)

    def _probed_noise(
        self, weights: Weights, y: tf.Tensor, no: tf.Tensor, outputs: tf.Tensor
    ) -> tf.Tensor:
        """What as much noise again changes in the outputs, averaged over symbols and neighbours."""
        parts = np.random.default_rng(0).standard_normal((2, *y.shape[1:])) / np.sqrt(2)
        noise = tf.constant(parts[0] + 1j * parts[1], y.dtype)
        noisy = y + tf.cast(tf.sqrt(no), y.dtype)[:, None, None] * noise
        change = tf.reduce_mean(power(self._outputs(weights, noisy) - outputs), axis=2)
        return (tf.roll(change, 1, -1) + change + tf.roll(change, -1, -1)) / 3


def normalized(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples [B, A, T] scaled to unit power in every slot, and their noise variance [B]."""
    y = slots.y_time[:, 0]
    mean = tf.reduce_mean(power(y), axis=[1, 2])
    return y / tf.cast(tf.sqrt(mean), y.dtype)[:, None, None], slots.no / mean
