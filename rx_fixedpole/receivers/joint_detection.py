"""Detection of all streams of a resource element at once, where a linear filter loses."""

from __future__ import annotations

import numpy as np
from keras import ops
from sionna.phy.mapping import Constellation
from sionna.phy.mimo import KBestDetector, MaximumLikelihoodDetector

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .layout import StreamLayout

# Up to so many vectors of symbols all are tried, which is exact; beyond, the best paths are kept.
LARGEST_EXACT = 256
# Paths that K-Best keeps unless told otherwise.
NUM_PATHS = 64


class JointDetection:
    r"""LLRs (or logits, or decisions) of the data of one receiver, its streams detected together.

    .. math:: \lambda(x) = \lVert y - H x \rVert^2

    over the vectors x of symbols: all of them (maximum likelihood) where there are few, those that
    K-Best keeps where there are many. Both are Sionna's.

    Args:
        layout: where streams and data are, of one receiver.
        constellation: of every stream.
        num_paths: paths that K-Best keeps; no more than there are vectors.
        output: ``"bit"`` or ``"symbol"``.
        demapping_method: ``"app"`` or ``"maxlog"``, where all vectors are tried.
        hard_out: decisions in place of LLRs or logits.
        precision: ``"single"`` or ``"double"``.

    Attributes:
        exact: whether all vectors are tried.

    Raises:
        ValueError: for logits of more vectors than are tried.
    """

    def __init__(
        self,
        layout: StreamLayout,
        constellation: Constellation,
        *,
        num_paths: int = NUM_PATHS,
        output: str = "bit",
        demapping_method: str = "app",
        hard_out: bool = False,
        precision: str | None = None,
    ) -> None:
        num_streams = layout.num_streams
        num_vectors = int(constellation.num_points) ** num_streams
        self.exact = num_vectors <= LARGEST_EXACT
        self._num_streams = num_streams
        common = dict(constellation=constellation, hard_out=hard_out, precision=precision)
        if self.exact:
            self._detector = MaximumLikelihoodDetector(
                output, demapping_method, num_streams, **common
            )
        elif output == "symbol" and not hard_out:
            raise ValueError(
                f"output must be 'bit', or hard_out True, for {num_vectors} vectors of symbols: "
                "K-Best has no logits"
            )
        else:
            # Sionna's has parts in single precision whatever is asked for
            common |= dict(constellation=_in_single_precision(constellation), precision="single")
            num_paths = min(num_paths, num_vectors)
            self._detector = KBestDetector(output, num_streams, num_paths, **common)
        self._elements = np.unique(layout.places)
        found = np.searchsorted(self._elements, layout.places)
        found = found * num_streams + np.arange(num_streams)[:, None]
        self._found = found.reshape(layout.num_tx, -1, found.shape[-1])

    def possible(self, num_ant: int) -> bool:
        """Whether so many antennas are enough: K-Best needs one a stream."""
        return self.exact or num_ant >= self._num_streams

    def __call__(self, channel: Tensor, signal: Tensor) -> Tensor:
        """What Sionna's detectors answer, ``[N, num_tx, S, D, ...]``.

        Args:
            channel: complex ``[A, streams, N, M, K]``, in noise of unit variance.
            signal: complex ``[A, N, M, K]``.
        """
        channel = ops.transpose(self._with_data(channel), (2, 3, 0, 1))
        signal = ops.transpose(self._with_data(signal), (1, 2, 0))
        real = _backend.REAL_OF[_backend.dtype(signal)]
        # Slot by slot: candidates of a whole batch would not fit the memory
        found = ops.map(self._one_slot, (signal, channel))
        found = ops.reshape(found, (-1, found.shape[1] * found.shape[2], *found.shape[3:]))
        found = ops.take(found, self._found, axis=1)
        return ops.cast(found, real) if "float" in _backend.dtype(found) else found

    def _one_slot(self, slot: tuple[Tensor, Tensor]) -> Tensor:
        signal, channel = slot
        if not self.exact:
            signal, channel = (ops.cast(x, "complex64") for x in (signal, channel))
        num_ant = signal.shape[-1]
        noise = ops.cast(ops.eye(num_ant, dtype="float64"), _backend.dtype(signal))
        noise = ops.broadcast_to(noise, (*signal.shape[:-1], num_ant, num_ant))
        return self._detector(signal, channel, noise)

    def _with_data(self, values: Tensor) -> Tensor:
        """Values ``[..., M, K]`` of the resource elements with data, ``[..., D']``."""
        size = values.shape[-2] * values.shape[-1]
        flat = ops.reshape(values, (*values.shape[:-3], -1, size))
        return ops.take(flat, self._elements, axis=-1)


def _in_single_precision(constellation: Constellation) -> Constellation:
    points = np.asarray(constellation.points).astype(np.complex64)
    num_bits = int(constellation.num_bits_per_symbol)
    return Constellation("custom", num_bits, points=points, precision="single")
