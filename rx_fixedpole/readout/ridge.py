"""Ridge regression on the pilots of one slot."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from .._backend import Tensor
from .checks import check_pilots, positive
from .solve import Products, RidgeFit, loading, normal_equations, ridge_fit


@keras.saving.register_keras_serializable(package="rx_fixedpole")
@dataclass(frozen=True)
class Ridge:
    r"""Ridge regression with the regularisation in units of the noise variance.

    .. math:: \min_w \sum_p |t_p - f_p w|^2 + reg \cdot no \cdot \|w - w_{prior}\|^2

    With ``reg = 1`` this is the posterior mean for weights of unit prior variance and targets seen
    in white noise of variance ``no``.

    Args:
        reg: regularisation, > 0, in units of ``no``.

    Raises:
        TypeError, ValueError: if ``reg`` is not a positive number.

    Example:
        >>> import numpy as np
        >>> features = np.array([[[1.0], [1j]]], dtype="complex128")
        >>> fit = Ridge(reg=1.0).fit(features, 3 * features, no=1.0)
        >>> print(np.round(complex(fit.weights[0, 0, 0]), 6))  # 6 / (2 + 1)
        (2+0j)
        >>> print(round(float(fit.dof[0]), 4))  # 2 / (2 + 1)
        0.6667
    """

    reg: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reg", positive(self.reg, "reg"))

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
        """Weights, leave-one-out errors, leverages and degrees of freedom of every slot.

        ``w = w_prior + G^-1 F^H (t - F w_prior)`` with ``G = F^H F + reg no I``; the leverage of a
        pilot is ``f_p G^-1 f_p^H``, and its leave-one-out error ``t_p - f_p w_(-p)``, ``w_(-p)``
        fitted without it, is ``(t_p - f_p w) / (1 - leverage_p)`` exactly.

        Args:
            features: complex ``[B, P, F]``.
            targets: complex ``[B, P, S]``.
            no: noise variance, >= 0, a scalar or ``[B]``.
            prior: weights to shrink towards, ``[F, S]`` or ``[B, F, S]``; zero if None.
            groups: not needed here; for readouts that learn a prior power a group of features.
            blocks: not needed here; for readouts that forget older blocks of pilots.
            products: ``F^H F`` and ``F^H t`` in complex128, where they are known already.

        Returns:
            ``weights [B, F, S]`` and ``leave_one_out [B, P, S]`` in the dtype of the features;
            ``leverage [B, P]`` in [0, 1] and ``dof [B]`` (its sum), real; ``root [B, F, F]``,
            complex128, lower triangular R with ``R^H R = G^-1``.

        Notes:
            Cost: ``P F^2`` for the Gram matrix and ``P F^2`` for the leverages. At ``no = 0`` with
            fewer pilots than features every leverage is one and leave-one-out errors are 0 / 0: the
            denominator is then held at 1e-10. Same weights as ``scipy.linalg.lstsq`` on the
            features augmented by ``sqrt(reg no) I``.
        """
        del groups, blocks
        features, targets = check_pilots(features, targets)
        equations = normal_equations(features, targets, prior, products=products)
        return ridge_fit(features, targets, loading(self.reg, no), prior, equations=equations)

    def get_config(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Ridge:
        return cls(**config)
