"""Recursive least squares, one block an OFDM symbol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from .checks import check_blocks, check_pilots, positive
from .solve import Products, RidgeFit, loaded, loading, ridge_fit


class RLSState(NamedTuple):
    """Everything a stream must carry: Gram ``[B,F,F]`` and moment ``[B,F,S]``, complex128."""

    gram: Tensor
    moment: Tensor


@keras.saving.register_keras_serializable(package="rx_fixedpole")
@dataclass(frozen=True)
class BlockRLS:
    r"""Recursive least squares in blocks: one block an OFDM symbol, older blocks forgotten.

    .. math:: \min_w \sum_{m} forgetting^{M - 1 - m} \sum_p |t_{mp} - f_{mp} w|^2
              + reg \cdot no \cdot \|w - w_{prior}\|^2

    The Gram matrix is accumulated and solved afresh, so errors do not build up as they do in the
    textbook recursion of the inverse; the regularisation is not forgotten, so a long stream stays
    well posed. ``forgetting = 1`` is :class:`Ridge`.

    Args:
        reg: regularisation, > 0, in units of the noise variance.
        forgetting: weight of a block relative to the one after it, in (0, 1].

    Raises:
        TypeError, ValueError: if an argument is not a number in its range.

    Example:
        >>> import numpy as np
        >>> features = np.ones((1, 3, 1, 1), dtype="complex128")
        >>> targets = features * np.array([0, 0, 7]).reshape(1, 3, 1, 1)
        >>> weights = BlockRLS(forgetting=0.5).track(features, targets, no=0.0)
        >>> print(np.round(complex(weights[0, 2, 0, 0]), 3))  # 7 / (1 + 0.5 + 0.25)
        (4+0j)
    """

    reg: float = 1.0
    forgetting: float = 0.99

    def __post_init__(self) -> None:
        forgetting = positive(self.forgetting, "forgetting", at_most=1.0)
        object.__setattr__(self, "reg", positive(self.reg, "reg"))
        object.__setattr__(self, "forgetting", forgetting)

    def fit(
        self,
        features: Tensor,
        targets: Tensor,
        no: Tensor,
        *,
        prior: Tensor | None = None,
        groups: np.ndarray | None = None,
        blocks: np.ndarray | None = None,
        products: Products | None = None,
    ) -> RidgeFit:
        """The newest weights, as :meth:`Ridge.fit` with older blocks weighing less.

        Args:
            features: complex ``[B, M, P, F]``, M blocks of P pilots, or ``[B, P, F]``.
            targets: complex ``[B, M, P, S]`` or ``[B, P, S]``.
            no: noise variance, >= 0, a scalar or ``[B]``.
            prior: weights to shrink towards, ``[F, S]`` or ``[B, F, S]``; zero if None.
            groups: not needed here, see :class:`ARDRidge`.
            blocks: number of each pilot's block for features ``[B, P, F]``, int ``[P]``, in which
                pilots need not be equally many; None: all are of one block.
            products: not needed here: blocks weigh differently.

        Returns:
            As :meth:`Ridge.fit`; ``leave_one_out`` has the shape of the targets, ``leverage`` that
            of the targets without the last axis.
        """
        del groups, products
        if len(features.shape) != 4:
            features, targets = check_pilots(features, targets)
            weights = None if blocks is None else self.forgetting ** _ages(blocks, features)
            return ridge_fit(features, targets, loading(self.reg, no), prior, weights)
        if blocks is not None:
            raise ValueError("blocks must be None for features [B, M, P, F], which are in blocks")
        features, targets = check_blocks(features, targets)
        _, num_blocks, num_pilots, num_features = features.shape
        num_streams = targets.shape[-1]
        age = np.repeat(np.arange(num_blocks)[::-1], num_pilots)
        fit = ridge_fit(
            ops.reshape(features, (-1, num_blocks * num_pilots, num_features)),
            ops.reshape(targets, (-1, num_blocks * num_pilots, num_streams)),
            loading(self.reg, no),
            prior,
            row_weights=self.forgetting**age,
        )
        blocks = (-1, num_blocks, num_pilots)
        return fit._replace(
            leave_one_out=ops.reshape(fit.leave_one_out, (*blocks, num_streams)),
            leverage=ops.reshape(fit.leverage, blocks),
        )

    def track(self, features: Tensor, targets: Tensor, no: Tensor) -> Tensor:
        """Weights after every block, each from that block and the ones before it.

        Args:
            features: complex ``[B, M, P, F]``.
            targets: complex ``[B, M, P, S]``.
            no: noise variance, >= 0, a scalar or ``[B]``.

        Returns:
            ``[B, M, F, S]`` in the dtype of the features.
        """
        features, targets = check_blocks(features, targets)
        state = self.init(ops.shape(features)[0], features.shape[-1], targets.shape[-1])

        def step(state: RLSState, block: tuple[Tensor, Tensor]) -> tuple[RLSState, RLSState]:
            new = self.update(RLSState(*state), *block)
            return new, new

        blocks = (ops.swapaxes(features, 0, 1), ops.swapaxes(targets, 0, 1))
        _, (grams, moments) = ops.scan(step, state, blocks)
        grams = loaded(grams, ops.reshape(loading(self.reg, no), (1, -1, 1, 1)))
        weights = _backend.cholesky_solve(grams, moments)
        return ops.cast(ops.swapaxes(weights, 0, 1), _backend.dtype(features))

    def init(self, batch: int, num_features: int, num_streams: int) -> RLSState:
        """The state before the first block: nothing seen."""
        return RLSState(
            ops.zeros((batch, num_features, num_features), dtype="complex128"),
            ops.zeros((batch, num_features, num_streams), dtype="complex128"),
        )

    def update(self, state: RLSState, features: Tensor, targets: Tensor) -> RLSState:
        """The state after one more block, features ``[B, P, F]`` and targets ``[B, P, S]``."""
        f = ops.cast(features, "complex128")
        adjoint = _backend.adjoint(f)
        return RLSState(
            self.forgetting * state.gram + adjoint @ f,
            self.forgetting * state.moment + adjoint @ ops.cast(targets, "complex128"),
        )

    def weights(self, state: RLSState, no: Tensor) -> Tensor:
        """The weights ``[B, F, S]``, complex128, that a state stands for."""
        return _backend.cholesky_solve(loaded(state.gram, loading(self.reg, no)), state.moment)

    def get_config(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BlockRLS:
        return cls(**config)


def _ages(blocks: np.ndarray, features: Tensor) -> np.ndarray:
    """How many blocks came after that of each pilot, float64 ``[P]``."""
    blocks, num_pilots = np.asarray(blocks), features.shape[1]
    if blocks.dtype.kind not in "iu" or blocks.shape != (num_pilots,):
        raise ValueError(
            f"blocks must be {num_pilots} integers, one a pilot, "
            f"got {blocks.dtype} of shape {blocks.shape}"
        )
    _, order = np.unique(blocks, return_inverse=True)
    return (order.max() - order).astype(np.float64)
