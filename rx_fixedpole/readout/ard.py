"""Ridge regression whose prior powers are learned from the same pilots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles.checks import whole
from .checks import check_pilots, positive
from .solve import (
    NormalEquations,
    Products,
    RidgeFit,
    inverse_root,
    loading,
    normal_equations,
    ridge_fit,
    weights_of,
)

# Prior powers are kept within this ratio of the largest one: a feature may be switched off, but
# the loading stays a finite number.
_DYNAMIC_RANGE = 1e12


@keras.saving.register_keras_serializable(package="rx_fixedpole")
@dataclass(frozen=True)
class ARDRidge:
    r"""Ridge with one prior power a group of features, learned by evidence maximisation.

    .. math:: \min_w \sum_p |t_p - f_p w|^2 + \sum_j \lambda_j |w_j - w_{prior, j}|^2 , \qquad
              \lambda_j = \sigma^2 / g_j

    Starting from ``lambda_j = reg * no``, each update sets the prior power to MacKay's fixed point
    ``g_j = sum |w|^2 / sum (1 - lambda_j [G^-1]_jj)`` and the error variance to
    ``sigma^2 = sum |e|^2 / (P - dof)``, the sums over a group and all streams (automatic relevance
    determination). Features the slot does not need are switched off, so that many can be offered.

    Args:
        reg: regularisation of the first fit, > 0, in units of the noise variance.
        num_updates: fits after the first one, >= 0; 0 is :class:`Ridge`.

    Raises:
        TypeError, ValueError: if an argument is not a number in its range.

    Notes:
        The weights scale as one over the features, whatever the number of updates, if ``no`` is
        scaled with their power. Source: MacKay, "Bayesian interpolation", 1992.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(1, 40, 8)) + 1j * rng.normal(size=(1, 40, 8))
        >>> targets = features[..., :1] + 0.3 * rng.normal(size=(1, 40, 1))
        >>> fits = [ARDRidge(num_updates=n).fit(features, targets, 0.1) for n in (0, 3)]
        >>> dof = [float(fit.dof[0]) for fit in fits]
        >>> dof[0] > 7.9 and dof[1] < 5  # one of the eight features matters
        True
    """

    reg: float = 1.0
    num_updates: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "reg", positive(self.reg, "reg"))
        object.__setattr__(self, "num_updates", whole(self.num_updates, "num_updates", minimum=0))

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
        """As :meth:`Ridge.fit`, with the learned loadings.

        Args:
            features: complex ``[B, P, F]``.
            targets: complex ``[B, P, S]``.
            no: noise variance, >= 0, a scalar or ``[B]``.
            prior: weights to shrink towards, ``[F, S]`` or ``[B, F, S]``; zero if None.
            groups: int ``[F]``, features of one number share a prior power; each its own if None.
            blocks: not needed here, see :class:`BlockRLS`.
            products: as :meth:`Ridge.fit`.

        Returns:
            As :meth:`Ridge.fit`.
        """
        del blocks
        features, targets = check_pilots(features, targets)
        num_features = features.shape[-1]
        members = _membership(groups, num_features)
        load = loading(self.reg, no)[:, 0] * ops.ones((1, num_features), dtype="float64")
        equations = normal_equations(features, targets, prior, products=products)
        for _ in range(self.num_updates):
            load = _mackay(equations, load, members)
        return ridge_fit(features, targets, load[:, None, :], prior, equations=equations)

    def get_config(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ARDRidge:
        return cls(**config)


def _membership(groups: np.ndarray | None, num_features: int) -> np.ndarray:
    """Which feature is in which group, float64 0/1 ``[F, num_groups]``."""
    groups = np.arange(num_features) if groups is None else np.asarray(groups)
    if groups.shape != (num_features,) or groups.dtype.kind not in "iu":
        raise ValueError(
            f"groups must be {num_features} integers, one a feature, "
            f"got {groups.dtype} of shape {groups.shape}"
        )
    _, group_of = np.unique(groups, return_inverse=True)
    return np.eye(group_of.max() + 1)[group_of]


def _mackay(equations: NormalEquations, load: Tensor, members: np.ndarray) -> Tensor:
    """The next loading ``[B, F]``: error variance over prior power of the feature's group."""
    root = inverse_root(equations.gram, load[:, None, :])
    members = ops.convert_to_tensor(members, dtype="float64")
    return _fixed_point(root, equations.moment, equations.targets, load, members)


@_backend.stage
def _fixed_point(
    root: Tensor, moment: Tensor, targets: Tensor, load: Tensor, members: Tensor
) -> Tensor:
    num_pilots, num_streams = targets.shape[1], targets.shape[2]
    weights = weights_of(root, moment)
    # Degrees of freedom of each feature, sum_j 1 - lambda_j [G^-1]_jj = trace of the hat matrix
    freedom = 1.0 - load * ops.sum(_backend.power(root), axis=1)
    # |t - f w|^2 summed over the pilots, from the normal equations: no pass over the features
    shrunk = ops.cast(load, "complex128")[..., None] * weights
    fitted = ops.real(ops.sum(ops.conj(weights) * (moment + shrunk), axis=(1, 2)))
    residual = _backend.at_least(ops.sum(_backend.power(targets), axis=(1, 2)) - fitted, 0.0)
    slack = num_streams * _backend.at_least(num_pilots - ops.sum(freedom, axis=-1), 1.0)
    power = ops.sum(_backend.power(weights), axis=-1) @ members
    freedom = num_streams * _backend.at_least(freedom, 0.0) @ members
    prior_power = power / _backend.at_least(freedom, 1e-9)
    prior_power = _backend.at_least(
        prior_power, ops.max(prior_power, axis=-1, keepdims=True) / _DYNAMIC_RANGE + 1e-200
    )
    return (residual / slack)[:, None] / (prior_power @ ops.transpose(members))
