"""What equalizers in time make of a slot, in the form in which equalizers are compared."""

from __future__ import annotations

from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .choice import Candidate, CommonPilots
from .curvature import Curvature
from .equalizer import FixedPoleEqualizer
from .frontend import FEWEST_PILOTS_PER_FEATURE
from .layout import StreamLayout
from .wiener import WienerEqualizer

Part = WienerEqualizer | FixedPoleEqualizer
# They detect streams one by one, and have no Gram matrix.
_NUM_FIELDS = len(Candidate._fields) - 1


class TimeCandidates:
    """Candidates of Wiener and of trained equalizers, which run only if a slot may need them.

    Args:
        parts: the equalizers.
        pilots: where candidates are compared.
        layout: where streams and data are.
        by_symbol: whether trained equalizers are judged by whole OFDM symbols left out too.
        curvature: what weights that move miss otherwise; None: there are none that do.
    """

    def __init__(
        self,
        parts: list[Part],
        pilots: CommonPilots,
        layout: StreamLayout,
        *,
        by_symbol: bool,
        curvature: Curvature | None,
    ) -> None:
        self._parts, self._pilots, self._layout = parts, pilots, layout
        self._by_symbol, self._curvature = by_symbol, curvature

    def able(self, num_ant: int) -> list[Part]:
        """Parts that may win with so many antennas: weights need two pilots each."""
        chosen = []
        for part in self._parts:
            if isinstance(part, FixedPoleEqualizer):
                _, num_features, num_pilots = part.sizes(num_ant)
                if FEWEST_PILOTS_PER_FEATURE * num_features > num_pilots:
                    continue
            chosen.append(part)
        return chosen

    def __call__(
        self,
        parts: list[Part],
        like: Candidate,
        needed: Tensor,
        y: Tensor,
        no: Tensor,
        first: tuple[Tensor, Tensor],
    ) -> list[Candidate]:
        """Their candidates, or as many that nobody will take if no slot needs them.

        Args:
            parts: of :meth:`able`.
            like: a candidate of the same slots.
            needed: bool ``[B]``.
            y: samples ``[B, R, A, T]``.
            no: thermal noise ``[B R]``.
            first: what the estimator answers to that noise.
        """

        def run() -> list[Tensor]:
            found: list[Tensor] = []
            for part in parts:
                found += self._candidate(part, y, no, first)[:_NUM_FIELDS]
            return found

        def skip() -> list[Tensor]:
            return [ops.ones_like(x) for _ in parts for x in like[:_NUM_FIELDS]]

        flat = ops.cond(ops.any(needed), run, skip)
        return [Candidate(*flat[i : i + _NUM_FIELDS]) for i in range(0, len(flat), _NUM_FIELDS)]

    def _candidate(
        self, part: Part, y: Tensor, no: Tensor, first: tuple[Tensor, Tensor]
    ) -> Candidate:
        if isinstance(part, WienerEqualizer):
            return wiener_candidate(part, self._pilots, self._layout, y, no, first)
        noise = ops.reshape(no, (-1, y.shape[1]))
        found = trained_candidate(
            part, self._pilots, self._layout, y, noise, by_symbol=self._by_symbol
        )
        if not part.tracking or self._by_symbol or self._curvature is None:
            return found
        return found._replace(power=found.power + self._curvature(*first)[..., None])


def trained_candidate(
    equalizer: FixedPoleEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    *,
    by_symbol: bool,
) -> Candidate:
    """A trained equalizer's, from its errors on pilots that have not trained it.

    Args:
        equalizer, pilots, layout: its parts.
        y, no: as it takes them.
        by_symbol: whether whole OFDM symbols are left out too; half the power is then from these.
    """
    outputs, error, *left_out = equalizer.trained(y, no, by_symbol=by_symbol)
    size = int(outputs.shape[-1])
    at = ops.take(error, pilots.elements % size, axis=-1)
    dtype = _backend.dtype(outputs)
    sent = ops.cast(at, dtype) * _backend.constant(pilots.sent.T, dtype)
    powers = []
    for errors in left_out[: 1 + by_symbol]:  # x less the output
        left = pilots.of_groups([ops.swapaxes(e, 1, 2) for e in errors])
        powers.append(_backend.power(sent - left) / ops.square(1.0 - at))
    data = layout.subcarriers(error)
    return Candidate(
        layout.data(outputs) / ops.cast(1.0 - data, dtype),
        data / (1.0 - data),
        layout.rows(sum(powers[1:], powers[0]) / len(powers)),
        layout.rows(at / (1.0 - at)),
    )


def wiener_candidate(
    equalizer: WienerEqualizer,
    pilots: CommonPilots,
    layout: StreamLayout,
    y: Tensor,
    no: Tensor,
    first: tuple[Tensor, Tensor],
) -> Candidate:
    """The Wiener equalizer's, whose channel was fitted to the pilots: what that hides is added.

    Args:
        equalizer, pilots, layout: its parts.
        y: samples ``[B, R, A, T]``.
        no: thermal noise ``[B R]``.
        first: what the estimator answers to that noise.
    """
    rows = ops.reshape(y, (-1, *y.shape[2:]))
    outputs, error, powers = equalizer.equalized(rows, no, *equalizer.identified(y, no, first))
    no_eff = error / (1.0 - error)
    flat = ops.reshape(no_eff, (-1, no_eff.shape[1], no_eff.shape[2] * no_eff.shape[3]))
    return Candidate(
        layout.data(outputs),
        layout.data(no_eff),
        layout.rows(pilots.of_groups(powers)),
        layout.rows(ops.take(flat, pilots.elements, axis=-1)),
    )
