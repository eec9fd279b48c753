"""A receiver of the 5G NR uplink that equalizes in the time domain."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mapping import Demapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.nr import LayerDemapper, PUSCHTransmitter, TBDecoder, TBEncoder

from rx_fixedpole._backend import Tensor

from . import arguments
from .equalizer import FixedPoleEqualizer

DEMAPPINGS = ("app", "maxlog")


class TimeDomainPUSCHReceiver(Block):
    r"""Receives 5G NR PUSCH slots with an equalizer that works on the received samples.

    .. math:: y \;\to\; (\hat x, \sigma^2_{\mathrm{eff}}) \;\to\; \text{LLRs of each layer}
              \;\to\; \text{LLRs of the codeword} \;\to\; \hat b

    Sionna's ``PUSCHReceiver`` demodulates OFDM before any estimator or detector sees the samples,
    so that no equalizer can work where the cyclic prefix is too short. This Block takes its place
    for inputs in the time domain: equalizer, ``Demapper``, Sionna's ``LayerDemapper`` and
    ``TBDecoder``.

    Args:
        pusch_transmitter: Sionna's ``PUSCHTransmitter`` that makes the slots, for any number of
            transmitters and layers; with precoding ``"codebook"`` the streams are the layers,
            and the precoder is part of the channel.
        equalizer: callable ``(y, no) -> x_hat, no_eff`` for the transmitter's resource grid, such
            as :class:`FixedPoleEqualizer` with other options. None: :class:`FixedPoleEqualizer`
            with its defaults.
        l_min: time of the first received sample relative to the first transmitted one, <= 0, as
            for Sionna's ``PUSCHReceiver``. Belongs to the default equalizer, and must be given
            for it.
        stream_management: Sionna's ``StreamManagement`` of the default equalizer. None: one
            receiver that detects all layers of all transmitters.
        demapping_method: ``"app"`` or ``"maxlog"``, of the ``Demapper``.
        tb_decoder: Sionna's ``TBDecoder``. None: one with its defaults.
        return_tb_crc_status: whether the status of the transport blocks' CRC is returned too.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, T]`` complex samples, ``T = num_time_samples + l_max - l_min``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        b_hat: ``[B, num_tx, tb_size]`` real, decided information bits.
        tb_crc_status: ``[B, num_tx]`` bool, True where the CRC holds; only with
            ``return_tb_crc_status``.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range, or belongs to the
            default equalizer while another is given; when called, what the equalizer raises.

    Notes:
        Default PUSCH has one DMRS symbol, which is all there is to train on: with 4 PRB that is 48
        resource elements, half of them zero. ``dmrs.additional_position = 1`` doubles them.

    Example:
        >>> from sionna.phy.nr import PUSCHConfig, PUSCHTransmitter
        >>> config = PUSCHConfig()
        >>> config.dmrs.additional_position = 1
        >>> transmitter = PUSCHTransmitter(config, output_domain="time")
        >>> receiver = TimeDomainPUSCHReceiver(transmitter, l_min=0, return_tb_crc_status=True)
        >>> x, b = transmitter(2)
        >>> b_hat, tb_crc_status = receiver(x, 0.001)   # [B, num_tx, num_tx_ant, T], no channel
        >>> tb_crc_status.numpy().tolist(), bool((b_hat.numpy() == b.numpy()).all())
        ([[True], [True]], True)
    """

    def __init__(
        self,
        pusch_transmitter: PUSCHTransmitter,
        *,
        equalizer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        l_min: int | None = None,
        stream_management: StreamManagement | None = None,
        demapping_method: str = "app",
        tb_decoder: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
        return_tb_crc_status: bool = False,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        if not isinstance(pusch_transmitter, PUSCHTransmitter):
            raise TypeError(
                f"pusch_transmitter must be a PUSCHTransmitter, got {pusch_transmitter!r}"
            )
        _callable(equalizer, "equalizer", "(y, no) -> x_hat, no_eff")
        _callable(tb_decoder, "tb_decoder", "(llr) -> b_hat, tb_crc_status")
        self._return_tb_crc_status = arguments.flag(return_tb_crc_status, "return_tb_crc_status")
        method = arguments.choice(demapping_method, "demapping_method", DEMAPPINGS)
        self._resource_grid = pusch_transmitter.resource_grid
        if equalizer is None:
            equalizer = self._default_equalizer(l_min, stream_management)
        else:
            _only_for_the_default(l_min, "l_min")
            _only_for_the_default(stream_management, "stream_management")
        self._equalizer = equalizer
        # Sionna's own receiver reads these too: they have no public names.
        num_bits_per_symbol = pusch_transmitter._num_bits_per_symbol
        layer_mapper, tb_encoder = pusch_transmitter._layer_mapper, pusch_transmitter._tb_encoder
        self._demapper = Demapper(method, "qam", num_bits_per_symbol, precision=self.precision)
        self._layer_demapper = LayerDemapper(
            layer_mapper, num_bits_per_symbol=num_bits_per_symbol, precision=self.precision
        )
        if tb_decoder is None:
            tb_decoder = _decoder_of_its_own(tb_encoder, str(self.precision))
        self._tb_decoder = tb_decoder

    @property
    def resource_grid(self) -> Any:
        """Sionna's ``ResourceGrid`` of the slots."""
        return self._resource_grid

    def call(self, y: Tensor, no: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Equalize the samples of every slot and decode its transport blocks."""
        x_hat, no_eff = self._equalizer(y, no)
        llr = self._layer_demapper(self._demapper(x_hat, no_eff))
        b_hat, tb_crc_status = self._tb_decoder(llr)
        return (b_hat, tb_crc_status) if self._return_tb_crc_status else b_hat

    def _default_equalizer(
        self, l_min: int | None, stream_management: StreamManagement | None
    ) -> FixedPoleEqualizer:
        if l_min is None:
            raise ValueError("l_min must be given unless equalizer is, got None")
        grid = self._resource_grid
        if stream_management is None:
            everyone = np.ones([1, int(grid.num_tx)], int)
            stream_management = StreamManagement(everyone, int(grid.num_streams_per_tx))
        return FixedPoleEqualizer(grid, stream_management, l_min=l_min, precision=self.precision)


def _decoder_of_its_own(tb_encoder: TBEncoder, precision: str) -> TBDecoder:
    """A decoder that may be traced as often as one likes.

    Sionna's CRC makes its matrix when it first sees a length, inside of whatever graph is traced
    then, and encoder and decoder of a transport block share it with different lengths.
    """
    decoder = TBDecoder(copy.deepcopy(tb_encoder), precision=precision)
    decoder(ops.zeros((1, tb_encoder.num_tx, tb_encoder.n), dtype="float32"))
    return decoder


def _callable(value: Any, name: str, signature: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable {signature} or None, got {value!r}")


def _only_for_the_default(value: Any, name: str) -> None:
    if value is not None:
        raise ValueError(
            f"{name} must be None when equalizer is given, which has its own, got {value!r}"
        )
