"""What lies between a codeword and the streams that a receiver detects."""

from __future__ import annotations

import tensorflow as tf


class OneAntennaEach:
    """Every antenna of a user sends a codeword of its own: nothing lies between."""

    def split(self, symbols: tf.Tensor) -> tf.Tensor:
        """From the symbols of codewords to those of streams, ``[B, num_users, S, D]``."""
        return symbols

    def precode(self, x: tf.Tensor) -> tf.Tensor:
        """From the grids of streams to those of antennas, ``[B, num_users, *, M, fft_size]``."""
        return x

    def seen(self, taps: tf.Tensor) -> tf.Tensor:
        """From the taps of antennas to those of streams, ``[B, 1, A, num_users, *, steps, L]``."""
        return taps

    def merge(self, llr: tf.Tensor) -> tf.Tensor:
        """From the LLRs of streams to those of codewords, ``[B, num_users, *, bits]``."""
        return llr
