"""The fixed-pole detector: against the interference that a slot's pilots reveal."""

from __future__ import annotations

from functools import partial

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mapping import Constellation, Demapper, SymbolDemapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .joint_detection import NUM_PATHS, JointDetection
from .layout import StreamLayout, antenna_noise
from .rejection import InterferenceRejection

OUTPUTS = ("bit", "symbol")
DEMAPPING_METHODS = ("app", "maxlog")
DETECTIONS = ("linear", "joint")


class FixedPoleDetector(Block):
    r"""Detects OFDM slots against the interference that their pilots reveal.

    .. math:: \hat x = (I + H^H C^{-1} H)^{-1} H^H C^{-1} y, \qquad
              C(m, k) = R(k) \big(1 + \kappa \sum_s \epsilon_s(m, k) / \bar r\big)

    It takes the place of Sionna's ``LinearDetector``, or with ``detection="joint"`` of its
    ``KBestDetector`` and ``MaximumLikelihoodDetector``, which look for the symbols of all streams
    that come closest to the samples, in the metric of C. ``R``, the covariance of noise and
    interference between the antennas, comes from the slot's own pilots, by leave-one-out errors
    of a fit of fixed poles along the subcarriers (:class:`.delay_model.DelayModel`); where the
    pilots show no more than thermal noise, it is the thermal noise
    (:mod:`.interference`). ``epsilon`` is the error variance handed in, in units of the thermal
    noise, ``r`` the mean power of noise and interference likewise. The errors of a channel
    estimate have the spatial signature of what caused them; ``kappa`` between 1 and ``r`` makes
    up for an estimator that does not know of the interference, as told by how closely the
    estimate follows the pilots.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots: any guards, DC null and pattern;
            elements on which all streams are silent are the best witnesses of interference.
        stream_management: Sionna's ``StreamManagement``, which tells which receiver detects
            which streams; the others' channels must be in the estimate too.
        constellation_type: ``"qam"``, ``"pam"`` or ``"custom"``, as for ``LinearDetector``.
        num_bits_per_symbol: needed for ``"qam"`` and ``"pam"``.
        constellation: Sionna's ``Constellation`` instead of the two.
        output: ``"bit"`` or ``"symbol"``.
        demapping_method: ``"app"`` or ``"maxlog"``, for bits.
        hard_out: if True, decisions instead of LLRs or logits.
        detection: ``"linear"`` (LMMSE), or ``"joint"`` for maximum likelihood over all vectors of
            symbols, by K-Best where there are more than 256. The latter is for one receiver, with
            K-Best of no fewer antennas than streams; its LLRs are max-log ones then, and
            it has no logits.
        num_paths: paths that K-Best keeps.
        l_min: shortest delay that the fit allows for, in samples. None: -6.
        l_max: longest one. None: the cyclic prefix or an eighth of the FFT size, whichever is
            longer. The window is cut to what the spacing of the pilots tells apart.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, M, fft_size]`` complex.
        h_hat: ``[B, R, A, num_tx, S, M, num_effective_subcarriers]`` complex.
        err_var: real, broadcastable to ``h_hat``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        ``[B, num_tx, S, D num_bits_per_symbol]`` LLRs (or bits), or for symbols
        ``[B, num_tx, S, D, num_points]`` logits (or ``[B, num_tx, S, D]`` indices, int32).

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost: per slot ``P J F`` products an antenna for the fit (J = 3 speeds, F paths of all
        streams), ``A^3`` a subcarrier for R, ``A S (A + S)`` a resource element. Source of the
        threshold: Marchenko and Pastur, "Distribution of eigenvalues for some sets of random
        matrices", 1967. Joint detection of two 16-QAM streams takes some 15 us a resource element,
        of four 60 us.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import LSChannelEstimator, ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> detector = FixedPoleDetector(grid, StreamManagement([[1]], 1),
        ...                              constellation_type="qam", num_bits_per_symbol=2)
        >>> y = tf.ones([2, 1, 1, 4, 64], tf.complex64)
        >>> h_hat, err_var = LSChannelEstimator(grid)(y, 0.1)
        >>> detector(y, h_hat, err_var, 0.1).shape.as_list()
        [2, 1, 1, 384]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        *,
        constellation_type: str | None = None,
        num_bits_per_symbol: int | None = None,
        constellation: Constellation | None = None,
        output: str = "bit",
        demapping_method: str = "app",
        hard_out: bool = False,
        detection: str = "linear",
        num_paths: int = NUM_PATHS,
        l_min: int | None = None,
        l_max: int | None = None,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_objects(resource_grid, stream_management)
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._layout = StreamLayout(resource_grid, stream_management)
        self._grid, self._bits = resource_grid, output == "bit"
        points = self._points(constellation_type, num_bits_per_symbol, constellation)
        arguments.choice(output, "output", OUTPUTS)
        method = arguments.choice(demapping_method, "demapping_method", DEMAPPING_METHODS)
        common = dict(
            constellation=points,
            hard_out=arguments.flag(hard_out, "hard_out"),
            precision=self.precision,
        )
        self._demapper = Demapper(method, **common) if self._bits else SymbolDemapper(**common)
        num_paths = arguments.integer(num_paths, "num_paths", at_least=1)
        self._joint = None
        if arguments.choice(detection, "detection", DETECTIONS) == "joint":
            if self._layout.num_rx != 1:
                raise ValueError(
                    "stream_management must have one receiver for detection 'joint', got "
                    f"{self._layout.num_rx}"
                )
            self._joint = JointDetection(
                self._layout, num_paths=num_paths, output=output, demapping_method=method, **common
            )
        first, last = (
            value if value is None else arguments.integer(value, name)
            for value, name in ((l_min, "l_min"), (l_max, "l_max"))
        )
        rejection = InterferenceRejection(resource_grid, first, last)
        self._detect = _backend.compile(rejection)
        if self._joint is not None:
            self._detect_jointly = _backend.compile(partial(_jointly, rejection, self._joint))

    def _points(
        self,
        constellation_type: str | None,
        num_bits_per_symbol: int | None,
        constellation: Constellation | None,
    ) -> Constellation:
        """The constellation, or an error that names what is missing."""
        if constellation is None and constellation_type not in ("qam", "pam"):
            raise ValueError(
                "constellation must be given unless constellation_type is 'qam' or 'pam', got "
                f"constellation_type {constellation_type!r}"
            )
        if constellation is None:
            num_bits_per_symbol = arguments.integer(
                num_bits_per_symbol, "num_bits_per_symbol", at_least=1
            )
        elif not isinstance(constellation, Constellation):
            raise TypeError(f"constellation must be a Constellation, got {constellation!r}")
        return Constellation.check_or_create(
            constellation_type=constellation_type,
            num_bits_per_symbol=num_bits_per_symbol,
            constellation=constellation,
            precision=self.precision,
        )

    def call(self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor) -> Tensor:
        """Fit the interference of every slot and detect its data."""
        if self._joint is None:
            return self._demapper(*self.equalize(y, h_hat, err_var, no))
        y, h_hat, err_var = self._checked(y, h_hat, err_var)
        if not self._joint.possible(int(y.shape[2])):
            raise ValueError(
                f"y must come from {self._layout.num_streams} antennas or more, one a stream, for "
                f"K-Best, got {y.shape[2]}"
            )
        no = antenna_noise(no, tuple(y.shape[:3]), _backend.REAL_OF[self._dtype])
        found = self._detect_jointly(y, h_hat, err_var, no)
        if not self._bits:
            return found
        return ops.reshape(found, (-1, *found.shape[1:3], found.shape[3] * found.shape[4]))

    def equalize(
        self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is demapped: unbiased symbols and their error variance, ``[B, num_tx, S, D]``."""
        y, h_hat, err_var = self._checked(y, h_hat, err_var)
        real = _backend.REAL_OF[self._dtype]
        no = antenna_noise(no, tuple(y.shape[:3]), real)
        x_hat, no_eff = self._detect(y, h_hat, err_var, no)
        return self._layout.occupied_data(x_hat), self._layout.occupied_data(no_eff)

    def _checked(self, y: Tensor, h_hat: Tensor, err_var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments in the Block's precision, or an error that names the wrong one."""
        grid = self._grid
        symbols, fft_size = int(grid.num_ofdm_symbols), int(grid.fft_size)
        num_rx = self._layout.num_rx
        y = _backend.require_complex(y, "y", "B", num_rx, "A", symbols, fft_size)
        h_hat = _backend.require_complex(
            h_hat, "h_hat", "B", num_rx, y.shape[2], int(grid.num_tx),
            int(grid.num_streams_per_tx), symbols, int(grid.num_effective_subcarriers),
        )  # fmt: skip
        real = _backend.REAL_OF[self._dtype]
        err_var = err_var if _backend.is_tensor(err_var) else np.asarray(err_var, np.float64)
        fits = len(err_var.shape) <= 7 and all(
            got in (None, 1) or want in (None, got)
            for got, want in zip(err_var.shape[::-1], h_hat.shape[::-1], strict=False)
        )
        if not fits:
            raise ValueError(
                f"err_var must broadcast to h_hat {tuple(h_hat.shape)}, got {tuple(err_var.shape)}"
            )
        rank = len(err_var.shape)
        err_var = ops.reshape(ops.cast(err_var, real), (1,) * (7 - rank) + ops.shape(err_var))
        return ops.cast(y, self._dtype), ops.cast(h_hat, self._dtype), err_var


def _jointly(
    rejection: InterferenceRejection,
    detect: JointDetection,
    y: Tensor,
    h_hat: Tensor,
    err_var: Tensor,
    no: Tensor,
) -> Tensor:
    y, h, err_var = rejection.scaled(y, h_hat, err_var, no)
    return detect(*rejection.whitened(y, h, err_var, rejection.revealed(*rejection.residuals(y))))
