"""From information bits to coded bits, and from LLRs back."""

from __future__ import annotations

import tensorflow as tf
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

from sims.scenario import Scenario


class Codec:
    """The channel code of a scenario: one 5G LDPC codeword a stream and slot, or none.

    The encoder's output interleaver follows the modulation (TS 38.212, 5.4.2.2), which places
    systematic bits on the reliable bits of a symbol. The decoder is flooding belief propagation
    with the exact check node rule.

    Args:
        scenario: gives codeword length, rate and iterations.
        precision: "single" or "double".
    """

    def __init__(self, scenario: Scenario, precision: str) -> None:
        self.k, self.n = scenario.num_info_bits, scenario.num_coded_bits
        self._rdtype = tf.float64 if precision == "double" else tf.float32
        self._encoder = self._decoder = None
        if scenario.coderate is not None:
            self._encoder = LDPC5GEncoder(
                self.k, self.n, num_bits_per_symbol=scenario.num_bits_per_symbol,
                precision=precision,
            )
            self._decoder = LDPC5GDecoder(
                self._encoder, num_iter=scenario.num_decoder_iterations, precision=precision
            )
        shape = [None, scenario.num_users, scenario.num_tx_ant, self.n]
        self._graph = tf.function(
            self._decode, input_signature=[tf.TensorSpec(shape, self._rdtype)]
        )

    def encode(self, bits: tf.Tensor) -> tf.Tensor:
        """Encodes bits ``[B, num_users, num_tx_ant, k]`` to ``[B, num_users, num_tx_ant, n]``."""
        return bits if self._encoder is None else self._encoder(bits)

    def decode(self, llr: tf.Tensor) -> tf.Tensor:
        """Decides bits ``[B, num_users, num_tx_ant, k]`` from LLRs of the n coded bits."""
        return self._graph(tf.cast(llr, self._rdtype))

    def _decode(self, llr: tf.Tensor) -> tf.Tensor:
        if self._decoder is None:
            return tf.cast(llr > 0, self._rdtype)
        return self._decoder(llr)
