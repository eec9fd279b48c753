"""From outputs per receiver and stream on a grid to what Sionna's demapper takes."""

from __future__ import annotations

import numpy as np
from keras import ops
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .pilots import data_elements, grid_elements


class StreamLayout:
    """Which receiver detects which stream, and where the stream's data symbols are.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        stream_management: Sionna's ``StreamManagement``.

    Attributes:
        places: of each stream's data symbols among the occupied resource elements, int
            ``[streams, D]``.
    """

    def __init__(self, resource_grid: ResourceGrid, stream_management: StreamManagement) -> None:
        self.num_tx = int(resource_grid.num_tx)
        self.num_rx = int(stream_management.num_rx)
        self._fft_size = int(resource_grid.fft_size)
        self._elements = data_elements(resource_grid)
        self.num_streams = num_streams = len(self._elements)
        receiver = np.asarray(stream_management.stream_ind) // int(
            stream_management.num_streams_per_rx
        )
        # Row of each stream once receivers and streams are flattened
        self._rows = (receiver * num_streams + np.arange(num_streams))[:, None]
        occupied = grid_elements(resource_grid)
        self.places = np.searchsorted(occupied, self._elements)
        self._num_occupied = len(occupied)

    def data(self, grid: Tensor) -> Tensor:
        """Data symbols ``[B, num_tx, S, D]`` of outputs ``[B R, streams, M, fft_size]``."""
        size = grid.shape[-2] * grid.shape[-1]
        return self._take(grid, self._rows * size + self._elements)

    def occupied_data(self, grid: Tensor) -> Tensor:
        """As :meth:`data`, of outputs ``[B R, streams, M, occupied subcarriers]``."""
        return self._take(grid, self._rows * self._num_occupied + self.places)

    def subcarriers(self, values: Tensor) -> Tensor:
        """Values ``[B R, streams, fft_size]`` on the subcarriers of the data, as :meth:`data`."""
        size = values.shape[-1]
        return self._take(values, self._rows * size + self._elements % self._fft_size)

    def rows(self, values: Tensor) -> Tensor:
        """Values ``[B R, streams, P]`` at each stream's receiver, ``[B, num_tx, S, P]``."""
        size = values.shape[-1]
        return self._take(values, self._rows * size + np.arange(size))

    def _take(self, values: Tensor, places: np.ndarray) -> Tensor:
        row = int(np.prod(values.shape[1:]))
        flat = ops.reshape(values, (-1, self.num_rx * row))
        return ops.take(flat, places.reshape(self.num_tx, -1, places.shape[-1]), axis=-1)


def noise_variance(no: Tensor, sizes: tuple[int | None, int, int], dtype: str) -> Tensor:
    """Noise variance of every slot and receiver, the mean over its antennas, ``[B R]`` or ``[1]``.

    Args:
        no: scalar or the first axes of ``[B, R, A]``.
        sizes: B (None if unknown), R and A.
        dtype: real dtype of the result.
    """
    no = antenna_noise(no, sizes, dtype)
    if no.shape == (1, 1, 1):
        return ops.reshape(no, (1,))
    ones = ops.ones((1, *sizes[1:]), dtype=no.dtype)
    return ops.reshape(ops.mean(no * ones, axis=-1), (-1,))


def antenna_noise(no: Tensor, sizes: tuple[int | None, int, int], dtype: str) -> Tensor:
    """Noise variance that broadcasts to ``[B, R, A]``; arguments as :func:`noise_variance`."""
    no = ops.cast(no if _backend.is_tensor(no) else np.asarray(no, np.float64), dtype)
    rank = len(no.shape)
    fits = rank <= 3 and all(
        got in (None, 1) or want in (None, got) for got, want in zip(no.shape, sizes, strict=False)
    )
    if not fits:
        raise ValueError(
            f"no must be a scalar or have the first axes of [B, R, A] = {list(sizes)}, "
            f"got {tuple(no.shape)}"
        )
    if rank == 0:
        return ops.reshape(no, (1, 1, 1))
    return ops.reshape(no, (-1, *no.shape[1:], *(1,) * (3 - rank)))
