"""From the chosen equalizer's symbols to LLRs, streams detected together where that is possible."""

from __future__ import annotations

from functools import partial

from keras import ops
from sionna.phy.mapping import Constellation, Demapper

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .candidates import Whitened
from .joint_detection import JointDetection
from .layout import StreamLayout


class ChosenBits:
    """LLRs of every slot's choice among candidates of which the first detect on the grid.

    Args:
        layout: where streams and data are.
        constellation: of every stream.
        num_paths: paths that K-Best keeps; 0: detection is linear.
        precision: ``"single"`` or ``"double"``.
    """

    def __init__(
        self,
        layout: StreamLayout,
        constellation: Constellation,
        num_paths: int,
        precision: str | None,
    ) -> None:
        common = dict(constellation=constellation, precision=precision)
        self._demapper = Demapper("app", **common)
        self._joint = None
        if num_paths and layout.num_rx == 1 < layout.num_streams:
            self._joint = JointDetection(layout, num_paths=num_paths, **common)
            self._detected = _backend.compile(partial(_jointly, self._joint))

    def detects_jointly(self, num_ant: int) -> bool:
        """Whether streams that so many antennas receive are detected together."""
        return self._joint is not None and self._joint.possible(num_ant)

    def __call__(
        self,
        x_hat: Tensor,
        no_eff: Tensor,
        best: Tensor,
        white: list[Whitened],
        factors: list[Tensor],
    ) -> Tensor:
        """LLRs ``[B, num_tx, S, D bits]``.

        Args:
            x_hat, no_eff: of the choice, ``[B, num_tx, S, D]``.
            best: its number, int ``[B]``.
            white: of the candidates on the grid, none if they detect linearly.
            factors: on the variance of these candidates' noise, real ``[B]``.
        """
        llr = self._demapper(x_hat, no_eff)
        if not white:
            return llr
        return ops.cond(
            ops.any(best < len(white)),
            lambda: self._detected(llr, best, white, factors),
            lambda: llr,
        )


def _jointly(
    detect: JointDetection,
    llr: Tensor,
    best: Tensor,
    white: list[Whitened],
    factors: list[Tensor],
) -> Tensor:
    """The LLRs of slots that are detected on the grid, the others' left as they are."""
    (channel, signal), factor = white[0], factors[0]
    for part in range(1, len(white)):
        taken = best == part
        channel, signal = (
            _where(taken[:, None, None], this, so_far)
            for this, so_far in zip(white[part], (channel, signal), strict=True)
        )
        factor = ops.where(taken, factors[part], factor)
    scale = ops.cast(ops.rsqrt(factor), _backend.dtype(channel))[:, None, None]
    found = ops.reshape(detect(channel * scale, signal * scale), (-1, *llr.shape[1:]))
    return ops.where(ops.reshape(best < len(white), (-1, 1, 1, 1)), found, llr)


def _where(taken: Tensor, this: Tensor, other: Tensor) -> Tensor:
    """``ops.where`` of complex tensors, which it does not take."""
    pairs = ((part(this), part(other)) for part in (ops.real, ops.imag))
    return _backend.complex(*(ops.where(taken, *pair) for pair in pairs))
