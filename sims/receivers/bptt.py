"""A recurrent network whose poles are learnt too: backpropagation through time, slot by slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import tensorflow as tf

from rx_fixedpole import poles as placements
from rx_fixedpole.receivers import reliability
from rx_fixedpole.receivers.equalizer import PILOTS_PER_FEATURE, SHORTEST_WINDOW
from rx_fixedpole.receivers.frontend import TimeFrontEnd, antenna_responses
from rx_fixedpole.receivers.layout import StreamLayout
from sims.link import Link, Slots
from sims.receivers.grid import pilot_grid
from sims.receivers.waveform import Waveform
from sims.training import Adam, LinearRNN, PilotLoss, Training, held_out_mask, train
from sims.training.linear import Weights

_SEED = 0


class Equalizer:
    def __init__(self, link, rnn, loss, *, window, delay, reg, optimizer, patience):
        self.link, self.rnn, self.loss = link, rnn, loss
        self.window, self.delay, self.reg = window, delay, reg
        self.optimizer, self.patience = optimizer, patience
        self.waveform = Waveform.of(link)
        grid = link.resource_grid
        self.dtype = "complex128" if link.precision == "double" else "complex64"
        self.front_end = TimeFrontEnd(grid, np.zeros(0, np.complex128), "parallel", window, delay, self.dtype, link.l_min)
        self.starts = (self.waveform.starts() + delay - link.l_min)[loss.symbols]
        self.fft = int(grid.fft_size)
        self.learn = tf.function(self._learn, jit_compile=True, autograph=False)

    def pilot_outputs(self, weights, u, features):
        last = int(self.starts[-1]) + self.fft
        signal = self.rnn.bank_output(weights, u[:, :last])
        signal = tf.transpose(signal, [0, 2, 1])
        parts = tf.stack([signal[..., s : s + self.fft] for s in self.starts], axis=2)
        spectra = self.waveform.to_grid(parts)
        shape = [-1, spectra.shape[1], len(self.loss.elements)]
        return tf.transpose(tf.reshape(spectra, shape), [0, 2, 1]) + features @ tf.complex(*weights.taps)

    def _learn(self, u, features, no):
        def objective(weights):
            learnt, held_out = self.loss(self.pilot_outputs(weights, u, features))
            return learnt + self.reg * no / self.loss.num_learnt * self.rnn.linear_power(weights), held_out
        initial = self.rnn.initial(u.shape[0], self.link.resource_grid.rdtype)
        return train(objective, initial, optimizer=self.optimizer, patience=self.patience)

    def prepare(self, slots):
        y = slots.y_time[:, 0]
        power = tf.reduce_mean(tf.abs(y) ** 2, axis=[1, 2])
        y = y / tf.cast(tf.sqrt(power), y.dtype)[:, None, None]
        return y, slots.no / power

    def train(self, slots):
        y, no = self.prepare(slots)
        u = tf.transpose(y, [0, 2, 1])
        features = self.front_end.features(y, self.loss.elements)
        return y, u, features, no, self.learn(u, features, no)

    def grid(self, slots):
        y, u, features, no, t = self.train(slots)
        w = t.parameters
        taps = tf.complex(*w.taps)
        signal = tf.transpose(self.rnn.bank_output(w, u), [0, 2, 1])
        out = self.waveform.to_grid(self.waveform.windows(signal, delay=self.delay))
        if self.window:
            out = out + self.front_end.apply(y, taps)
        omega = 2*np.pi*(np.arange(self.fft)-self.fft//2)/self.fft
        resp = self.rnn.bank_response(w, omega) * tf.constant(np.exp(1j*omega*self.delay), taps.dtype)
        resp = resp + antenna_responses(taps, self.front_end.responses, self.dtype)
        noise = no[:,None,None]*tf.reduce_sum(tf.abs(resp)**2, axis=2)
        errors = self.loss.held_out_errors(self.pilot_outputs(w, u, features))
        return out, noise, errors, t
