"""What a channel decoder makes of LLRs, and which codewords it is sure of."""

from __future__ import annotations

from keras import ops
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# An LLR that leaves no doubt.
CERTAIN = 100.0


class SoftDecoder:
    """Belief propagation on Sionna's 5G LDPC code, for the coded bits.

    Args:
        encoder: Sionna's ``LDPC5GEncoder``.
        num_iter: iterations, >= 1.
        precision: Sionna's.
    """

    def __init__(self, encoder: LDPC5GEncoder, num_iter: int, precision: str | None) -> None:
        self._encoder, self._length = encoder, int(encoder.n)
        self._coded = LDPC5GDecoder(
            encoder, hard_out=False, return_infobits=False, num_iter=num_iter, return_state=True,
            precision=precision,
        )  # fmt: skip
        # One iteration more tells the information bits, from which follows the whole codeword
        self._information = LDPC5GDecoder(
            encoder, return_infobits=True, return_state=True, precision=precision
        )

    def __call__(self, llr: Tensor) -> tuple[Tensor, Tensor]:
        """LLRs of the coded bits, and 1 where the parity checks of a codeword hold.

        Args:
            llr: real ``[B, S, codewords n]``, positive for a one.

        Returns:
            Real ``[B, S, codewords n]``, without doubt where the checks hold, and real
            ``[B, S, codewords]``.
        """
        words = ops.reshape(llr, (-1, self._length))
        beliefs, messages = self._coded(words)
        bits, _ = self._information(words, num_iter=1, msg_v2c=messages)
        codeword = self._encoder(bits)
        agree = ops.cast(ops.equal(codeword > 0.5, beliefs > 0.0), _backend.dtype(llr))
        whole = ops.min(agree, axis=-1, keepdims=True)
        beliefs = ops.where(whole > 0.5, CERTAIN * (2.0 * codeword - 1.0), beliefs)
        num_words = llr.shape[-1] // self._length
        return (
            ops.reshape(beliefs, (-1, *llr.shape[1:])),
            ops.reshape(whole, (-1, llr.shape[1], num_words)),
        )
