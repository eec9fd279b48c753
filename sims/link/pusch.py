"""The 5G NR uplink: Sionna's transmitter taken apart, and its transport blocks."""

from __future__ import annotations

import copy

import numpy as np
import tensorflow as tf
from sionna.phy.mimo import StreamManagement
from sionna.phy.nr import LayerDemapper, PUSCHTransmitter, TBDecoder

from sims.link.layers import OneAntennaEach
from sims.scenario import PUSCHScenario


class Layers(OneAntennaEach):
    """The codeword of a user goes over all its layers, and the layers over its antennas.

    Args:
        transmitter: of all users.
        precision: "single" or "double".
    """

    def __init__(self, transmitter: PUSCHTransmitter, precision: str) -> None:
        self._mapper = transmitter._layer_mapper
        self._demapper = LayerDemapper(
            self._mapper, transmitter._num_bits_per_symbol, precision=precision
        )
        # [num_users, num_tx_ant, num_layers]
        self._precoder = None
        if transmitter._precoding == "codebook":
            self._precoder = np.stack(transmitter._precoding_matrices)

    def split(self, symbols: tf.Tensor) -> tf.Tensor:
        """From ``[B, num_users, 1, symbols]`` to ``[B, num_users, num_layers, D]``."""
        return self._mapper(symbols[:, :, 0])

    def precode(self, x: tf.Tensor) -> tf.Tensor:
        """From ``[B, num_users, num_layers, M, fft_size]`` to ``num_tx_ant`` grids a user."""
        if self._precoder is None:
            return x
        shape = [x.shape[0], x.shape[1], self._precoder.shape[1], *x.shape[3:]]
        flat = tf.reshape(x, [*x.shape[:3], -1])
        return tf.reshape(tf.constant(self._precoder, x.dtype) @ flat, shape)

    def seen(self, taps: tf.Tensor) -> tf.Tensor:
        """From ``[B, 1, A, num_users, num_tx_ant, steps, L]`` to ``num_layers`` a user."""
        if self._precoder is None:
            return taps
        shape = tf.concat([tf.shape(taps)[:4], [self._precoder.shape[2]], tf.shape(taps)[5:]], 0)
        flat = tf.reshape(taps, tf.concat([tf.shape(taps)[:5], [-1]], 0))
        return tf.reshape(tf.constant(self._precoder.swapaxes(1, 2), taps.dtype) @ flat, shape)

    def merge(self, llr: tf.Tensor) -> tf.Tensor:
        """From ``[B, num_users, num_layers, bits]`` to ``[B, num_users, 1, n]``."""
        return self._demapper(llr)[:, :, None]


class TransportCodec:
    """The transport blocks of a scenario, one a user and slot, as `Codec` has codewords.

    Args:
        scenario: gives the iterations of belief propagation.
        transmitter: of all users.
        precision: "single" or "double".
    """

    blocks_per_user = 1

    def __init__(
        self, scenario: PUSCHScenario, transmitter: PUSCHTransmitter, precision: str
    ) -> None:
        self.k, self.n = scenario.num_info_bits, scenario.num_coded_bits
        self._rdtype = tf.float64 if precision == "double" else tf.float32
        self._encoder = transmitter._tb_encoder
        iterations = scenario.num_decoder_iterations
        # Sionna's CRC makes its matrix in the graph that is traced when it first sees a length,
        # and encoder and decoder share it with different lengths: each has its own, made here.
        self._decoder = TBDecoder(
            copy.deepcopy(self._encoder), num_bp_iter=iterations, precision=precision
        )
        self._encoder(tf.zeros([1, scenario.num_users, self.k], self._rdtype))
        self._decoder(tf.zeros([1, scenario.num_users, self.n], self._rdtype))
        shape = [None, scenario.num_users, 1, self.n]
        self._graph = tf.function(
            self._decode, input_signature=[tf.TensorSpec(shape, self._rdtype)]
        )

    def encode(self, bits: tf.Tensor) -> tf.Tensor:
        """Encodes bits ``[B, num_users, 1, k]`` to ``[B, num_users, 1, n]``, scrambled."""
        return tf.cast(self._encoder(bits[:, :, 0]), self._rdtype)[:, :, None]

    @property
    def num_traces(self) -> int:
        """How often the decoder was traced."""
        return self._graph.experimental_get_tracing_count()

    def decode(self, llr: tf.Tensor) -> tf.Tensor:
        """Decides bits ``[B, num_users, 1, k]`` from LLRs of the n coded bits."""
        return self._graph(tf.cast(llr, self._rdtype))

    def _decode(self, llr: tf.Tensor) -> tf.Tensor:
        bits, _ = self._decoder(llr[:, :, 0])
        return tf.cast(bits, self._rdtype)[:, :, None]


def stream_management(scenario: PUSCHScenario) -> StreamManagement:
    """Returns the association of all users' layers with the one receiver."""
    return StreamManagement(np.ones([1, scenario.num_users], int), scenario.num_layers)
