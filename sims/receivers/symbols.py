"""OFDM symbols as a recurrent network sees them: one long run, or a short run up to each symbol."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sims.receivers.waveform import Waveform


class SymbolRows:
    """What drives a network, and its outputs on the resource elements of some OFDM symbols.

    Args:
        waveform: where the symbols lie.
        symbols: the symbols wanted, int, ascending.
        delay: samples by which the network's input is ahead of its output.
        lag: samples by which its input lags behind again, so that a delay line may come first.
        run_up: None for one run over the slot; or the samples before each FFT window after which
            a run from rest starts, the same for every symbol.
    """

    def __init__(
        self,
        waveform: Waveform,
        symbols: np.ndarray,
        *,
        delay: int,
        lag: int = 0,
        run_up: int | None = None,
    ) -> None:
        self._waveform, self._symbols = waveform, np.asarray(symbols)
        self._delay, self._lag, self._run_up = delay, lag, run_up
        self._starts = (waveform.starts() + delay - waveform.l_min)[self._symbols]

    def drive(self, y: tf.Tensor) -> tf.Tensor:
        """From samples ``[B, A, T]`` to the network's input, ``[B, T', A]`` or ``[B, R, T', A]``.

        The filters ring on after the last sample, so zeros follow it.
        """
        if self._run_up is None:
            last = int(self._starts[-1]) + self._waveform.fft_size  # later samples play no part
            after = max(0, last - self._lag - y.shape[-1])
            padded = tf.pad(tf.transpose(y, [0, 2, 1]), [[0, 0], [self._lag, after], [0, 0]])
            return padded[:, :last]
        ahead = self._delay - self._lag
        windows = self._waveform.windows(y, delay=ahead, history=self._run_up)
        return tf.transpose(tf.gather(windows, self._symbols, axis=2), [0, 2, 3, 1])

    def __call__(self, signal: tf.Tensor) -> tf.Tensor:
        """From the network's output ``[B, T', X]`` or ``[B, R, T', X]`` to rows ``[B, E, X]``."""
        size = self._waveform.fft_size
        if self._run_up is None:
            samples = tf.transpose(signal, [0, 2, 1])
            windows = [samples[..., start : start + size] for start in self._starts]
            windows = tf.stack(windows, axis=2)
        else:
            windows = tf.transpose(signal[:, :, self._run_up :], [0, 3, 1, 2])
        spectra = self._waveform.to_grid(windows)
        rows = tf.reshape(spectra, [-1, spectra.shape[1], len(self._symbols) * size])
        return tf.transpose(rows, [0, 2, 1])
