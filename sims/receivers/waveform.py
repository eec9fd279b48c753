"""Receivers that work on samples: from y_time to each symbol's FFT window, and on to the grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from sims.link import Link


@dataclass(frozen=True)
class Waveform:
    """Where the OFDM symbols lie in the received samples; y[i] is time i + l_min.

    Args:
        num_symbols, fft_size, cp_length: of the grid.
        l_min: first lag of the channel, <= 0.
        shift: start of the FFT window against the end of the prefix, -cp_length .. 0; its phase
            ramp is undone by to_grid.
    """

    num_symbols: int
    fft_size: int
    cp_length: int
    l_min: int
    shift: int = 0

    @classmethod
    def of(cls, link: Link, shift: int = 0) -> Waveform:
        """The waveform of a link."""
        scenario = link.scenario
        sizes = (scenario.num_ofdm_symbols, scenario.fft_size, scenario.cp_length)
        return cls(*sizes, link.l_min, shift)

    def starts(self) -> np.ndarray:
        """Transmit time [M] of the first sample in every FFT window."""
        length = self.fft_size + self.cp_length
        return np.arange(self.num_symbols) * length + self.cp_length + self.shift

    def centres(self) -> np.ndarray:
        """Received index [M] of the middle of every FFT window."""
        return self.starts() + self.fft_size // 2 - self.l_min

    def windows(self, samples: tf.Tensor, *, delay: int = 0, history: int = 0) -> tf.Tensor:
        """Cut samples [..., T] into [..., M, history + fft]: element history + j is time
        start + j + delay; zeros before the first and after the last sample."""
        first = self.starts() + delay - self.l_min - history
        index = first[:, None] + np.arange(self.fft_size + history)
        before = max(0, -int(index.min()))
        after = max(0, int(index.max()) + 1 - samples.shape[-1])
        padding = [[0, 0]] * (samples.shape.rank - 1) + [[before, after]]
        return tf.gather(tf.pad(samples, padding), index + before, axis=-1)

    def to_grid(self, windows: tf.Tensor) -> tf.Tensor:
        """Unitary FFT of [..., fft], DC in the middle, without the shift's phase ramp."""
        k = np.fft.ifftshift(np.arange(self.fft_size) - self.fft_size // 2)
        ramp = np.exp(-2j * np.pi * k * self.shift / self.fft_size) / np.sqrt(self.fft_size)
        return tf.signal.fftshift(tf.signal.fft(windows) * tf.constant(ramp, windows.dtype), -1)


def data_elements(link: Link) -> Callable[[tf.Tensor], tf.Tensor]:
    """Gather every stream's data symbols: [B, U*S, M, K] -> [B, U, S, D]."""
    mask = np.asarray(link.resource_grid.pilot_pattern.mask).astype(bool)
    users, streams = mask.shape[:2]
    flat = mask.reshape(users * streams, -1)
    index = np.stack([np.flatnonzero(~row) for row in flat])

    def extract(grid: tf.Tensor) -> tf.Tensor:
        values = tf.reshape(grid, [-1, users * streams, flat.shape[1]])
        values = tf.gather(values, tf.tile(index[None], [tf.shape(values)[0], 1, 1]), batch_dims=2)
        return tf.reshape(values, [-1, users, streams, index.shape[1]])

    return extract
