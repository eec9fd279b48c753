"""A recurrent network whose poles are learnt too, by backpropagation through time in every slot.

    s[n] = diag(p) s[n-1] + W_in y[n],   x_hat[n] = C s[n + d - W] + sum_(w<W) T_w y[n + d - w]

Poles p, input weights W_in, readout C and taps T all start anew in every slot and are trained by
Adam on that slot's pilots. The loss is that of the fixed-pole equalizer: the error at the pilot
resource elements after the FFT over the pilot symbols, plus reg no (|C|^2 + |T|^2).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from rx_fixedpole import poles as placements
from rx_fixedpole.receivers.equalizer import PILOTS_PER_FEATURE, SHORTEST_WINDOW
from rx_fixedpole.receivers.frontend import TimeFrontEnd, antenna_responses
from rx_fixedpole.receivers.layout import StreamLayout
from rx_fixedpole.receivers.reliability import Reliability
from sims.link import Link, Slots
from sims.receivers.grid import pilot_grid
from sims.receivers.waveform import Waveform
from sims.training import Adam, LinearRNN, PilotLoss, Training, Weights, held_out_mask, train


def bptt(
    link: Link,
    *,
    num_poles: int = 8,
    radius: float = 0.9,
    init: Literal["random", "ring"] = "random",
    parametrization: Literal["stable", "free"] = "stable",
    window: int | None = None,
    delay: int | None = None,
    learning_rate: float = 0.03,
    num_steps: int = 200,
    patience: int = 40,
    held_out: float = 0.2,
    reg: float = 1.0,
    seed: int = 0,
) -> BPTTReceiver:
    """Linear diagonal RNN, trained from scratch in every slot.

    Args:
        link: the link to receive on.
        num_poles: poles of the one bank that all antennas drive, >= 1.
        radius: the initial poles lie in the disc, or on the ring, of this radius, in (0, 1).
        init: initial poles, "random" in the disc or a "ring".
        parametrization: "stable" (the poles cannot leave the unit circle) or "free" (they can, and
            a slot in which they do keeps its best step before that).
        window: samples per antenna of the delay line before the poles, >= 0; None: as many as
            FixedPoleEqualizer without poles has.
        delay: decision delay in samples, >= 0; None: half of window + num_poles.
        learning_rate: of Adam, at first; it decays to zero along half a cosine. Of 0.003, 0.01,
            0.03 and 0.1 on 48 slots of cdl_2x2, nominal_siso and short_cp, the last two have bit
            error rates within 3 % of each other, the others are worse; twice the steps change it
            by less than 1 %.
        num_steps: most steps of Adam.
        patience: steps without a smaller held-out error after which a slot stops, >= 1.
        held_out: share of the pilots that decide when to stop and give the error variance.
        reg: ridge regularisation of readout and taps in units of the noise variance, >= 0.
        seed: of the initial poles and input weights.

    Returns:
        The receiver, (slots) -> llr.

    Raises:
        ValueError: if an option is out of range.
    """
    grid, num_antennas = pilot_grid(link.resource_grid), link.scenario.num_rx_ant
    if window is None:
        longest = max(SHORTEST_WINDOW, 2 * link.scenario.cp_length)
        window = max(1, min(longest, grid.symbols.size // (PILOTS_PER_FEATURE * num_antennas)))
    delay = (window + num_poles) // 2 if delay is None else delay
    for name, value, least in (
        ("window", window, 0), ("delay", delay, 0), ("reg", reg, 0), ("patience", patience, 1)
    ):  # fmt: skip
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if init == "ring":
        poles = placements.ring(num_poles, radius)
    else:
        poles = placements.disc(num_poles, radius, seed=seed)
    network = LinearRNN(
        poles,
        _input_weights(poles, num_antennas, seed),
        window=window,
        num_streams=link.scenario.num_streams,
        parametrization=parametrization,
    )
    return BPTTReceiver(
        link,
        network,
        Adam(learning_rate, num_steps),
        window=window,
        delay=delay,
        patience=patience,
        held_out=held_out,
        reg=reg,
    )


class Inputs(NamedTuple):
    """What the network is trained on: B slots, scaled to unit power."""

    y: tf.Tensor  # [B, A, T] complex
    pilots: tf.Tensor  # [B, E, A W] complex, the delay line at the pilot symbols' elements
    no: tf.Tensor  # [B] noise variance


class BPTTReceiver:
    """Trains the network on the pilots of every slot and applies it to the slot's data.

    Args:
        link: the link to receive on.
        network: the network.
        optimizer: its optimizer.
        window, delay, patience, held_out, reg: as in bptt.
    """

    def __init__(
        self,
        link: Link,
        network: LinearRNN,
        optimizer: Adam,
        *,
        window: int,
        delay: int,
        patience: int,
        held_out: float,
        reg: float,
    ) -> None:
        self.network = network
        self._link, self._optimizer, self._patience = link, optimizer, patience
        self._window, self._delay, self._reg = window, delay, reg
        grid, self._waveform = pilot_grid(link.resource_grid), Waveform.of(link)
        elements = grid.symbols * grid.fft_size + grid.subcarriers[grid.columns]
        mask = held_out_mask(len(elements), held_out)
        self._loss = PilotLoss(elements, grid.values.T, mask, grid.fft_size)
        self._held_out, self._held_out_targets = elements[mask], grid.values[:, mask]
        self._starts = (self._waveform.starts() + delay - link.l_min)[self._loss.symbols]
        self._layout = StreamLayout(link.resource_grid, link.stream_management)
        self._reliability = Reliability(
            self._held_out % grid.fft_size, grid.subcarriers, grid.fft_size
        )
        self._cdtype = link.resource_grid.cdtype
        no_poles = np.zeros(0, np.complex128)
        self._line = TimeFrontEnd(
            link.resource_grid, no_poles, "parallel", window, delay, self._cdtype.name, link.l_min
        )
        self._learn = tf.function(self._train, jit_compile=True, autograph=False)

    def __call__(self, slots: Slots) -> tf.Tensor:
        """LLRs [B, num_users, S, n]."""
        inputs = self._inputs(slots)
        weights = self._learn(inputs).parameters
        outputs = self._outputs(weights, inputs.y)
        noise = inputs.no[:, None, None] * self._noise_gain(weights)
        errors = self._held_out_errors(outputs)
        error = self._reliability.error_variance(errors, outputs, noise)
        error = self._layout.subcarriers(error)
        x_hat = self._layout.data(outputs) / tf.cast(1 - error, self._cdtype)
        return self._link.demap(x_hat, error / (1 - error))

    def train(self, slots: Slots) -> Training:
        """Train on the pilots of every slot, to look at the losses and the poles."""
        return self._learn(self._inputs(slots))

    def _inputs(self, slots: Slots) -> Inputs:
        y = slots.y_time[:, 0]
        power = tf.reduce_mean(tf.math.real(y * tf.math.conj(y)), axis=[1, 2])
        y = y / tf.cast(tf.sqrt(power), y.dtype)[:, None, None]
        if self._window:
            pilots = self._line.features(y, self._loss.elements)
        else:
            pilots = tf.zeros([tf.shape(y)[0], len(self._loss.elements), 0], y.dtype)
        return Inputs(y, pilots, slots.no / power)

    def _train(self, inputs: Inputs) -> Training:
        # Later samples have no part in the loss
        last = int(self._starts[-1]) + self._waveform.fft_size
        u = self._delayed(inputs.y)[:, :last]
        u = tf.pad(u, [[0, 0], [0, last - u.shape[1]], [0, 0]])

        def objective(weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
            learnt, held_out = self._loss(self._pilot_outputs(weights, u, inputs.pilots))
            ridge = self._reg / self._loss.num_learnt * inputs.no
            return learnt + ridge * self.network.readout_power(weights), held_out

        initial = self.network.initial(tf.shape(u)[0], inputs.no.dtype)
        return train(objective, initial, optimizer=self._optimizer, patience=self._patience)

    def _delayed(self, y: tf.Tensor) -> tf.Tensor:
        """What leaves the delay line, which is what drives the bank: [B, W + T + delay, A].

        The filters ring on after the last sample, so zeros follow it.
        """
        padding = [[0, 0], [self._window, self._delay], [0, 0]]
        return tf.pad(tf.transpose(y, [0, 2, 1]), padding)

    def _pilot_outputs(self, weights: Weights, u: tf.Tensor, pilots: tf.Tensor) -> tf.Tensor:
        """Outputs [B, E, S] on the pilot symbols' elements."""
        signal = tf.transpose(self.network.bank_output(weights, u), [0, 2, 1])
        size = self._waveform.fft_size
        windows = tf.stack([signal[..., start : start + size] for start in self._starts], axis=2)
        spectra = self._waveform.to_grid(windows)
        spectra = tf.reshape(spectra, [-1, spectra.shape[1], len(self._loss.elements)])
        return tf.transpose(spectra, [0, 2, 1]) + pilots @ tf.complex(*weights.taps)

    def _outputs(self, weights: Weights, y: tf.Tensor) -> tf.Tensor:
        """Outputs [B, S, M, fft] on the whole grid."""
        signal = self.network.bank_output(weights, self._delayed(y))
        windows = self._waveform.windows(tf.transpose(signal, [0, 2, 1]), delay=self._delay)
        outputs = self._waveform.to_grid(windows)
        if self._window:
            outputs += self._line.apply(y, tf.complex(*weights.taps))
        return outputs

    def _held_out_errors(self, outputs: tf.Tensor) -> tf.Tensor:
        """Errors [B, P, S] at the held-out pilots."""
        shape = [-1, outputs.shape[1], outputs.shape[2] * outputs.shape[3]]
        held_out = tf.gather(tf.reshape(outputs, shape), self._held_out, axis=-1)
        errors = tf.constant(self._held_out_targets, self._cdtype) - held_out
        return tf.transpose(errors, [0, 2, 1])

    def _noise_gain(self, weights: Weights) -> tf.Tensor:
        """What the output makes of unit white noise on every subcarrier, [B, S, fft]."""
        size = self._waveform.fft_size
        omega = 2 * np.pi * (np.arange(size) - size // 2) / size
        advance = np.exp(1j * omega * (self._delay - self._window))
        response = self.network.bank_response(weights, omega) * tf.constant(advance, self._cdtype)
        if self._window:
            taps = tf.complex(*weights.taps)
            response += antenna_responses(taps, self._line.responses, self._cdtype.name)
        return tf.reduce_sum(tf.math.real(response * tf.math.conj(response)), axis=2)


def _input_weights(poles: np.ndarray, num_antennas: int, seed: int) -> np.ndarray:
    """Random input weights [K, A] that give states of about unit power."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, len(poles), num_antennas)) / np.sqrt(2 * num_antennas)
    return (parts[0] + 1j * parts[1]) * np.sqrt(1 - np.abs(poles) ** 2)[:, None]
