"""The evaluator of the laboratory: a Sionna link and its receivers, compiled once each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # TensorFlow is imported in the worker, where its threads can still be set
    from sims.link import Link, Slots


@dataclass(frozen=True)
class SionnaFactory:
    """Builds a SionnaEvaluator in a worker process.

    Args:
        scenario: the scenario as Scenario.to_dict gives it.
        receivers: label -> (name, complete options).
    """

    scenario: Mapping[str, Any]
    receivers: Mapping[str, tuple[str, Mapping[str, Any]]]

    def __call__(self) -> SionnaEvaluator:
        """Import TensorFlow with one thread an operation and build the link."""
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)

        from sims.link import Link
        from sims.scenario import Scenario

        return SionnaEvaluator(Link(Scenario.from_dict(dict(self.scenario))), self.receivers)


class SionnaEvaluator:
    """Simulates slots of a link and counts the errors of its receivers on them.

    Args:
        link: the link.
        receivers: label -> (name, complete options); each is built when it is first needed.
    """

    def __init__(self, link: Link, receivers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        self.bits = link.bits_per_slot
        self.blocks = link.blocks_per_slot
        self._link = link
        self._receivers = receivers
        self._compiled: dict[str, Callable[[Slots], Any]] = {}
        self._traces: dict[str, int] = {}

    def simulate(self, ebno_db: float, seed: int, num_slots: int) -> Slots:
        """Return slots that depend on the arguments alone."""
        from sionna.phy import config

        config.seed = seed
        return self._link.transmit(num_slots, ebno_db)

    def count(self, label: str, slots: Slots, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the bit and block errors of one receiver in each slot.

        Raises:
            ValueError: if an LLR is not finite, rather than to count it as some bit.
        """
        from sionna.phy import config

        receive = self._compiled.get(label) or self._compile(label)
        # A receiver that draws numbers must not depend on which others ran before it.
        config.seed = seed
        llr = receive(slots)
        lost = np.flatnonzero(~np.isfinite(llr.numpy()).all(axis=(1, 2, 3)))
        if lost.size:
            raise ValueError(
                f"LLRs are not finite in {lost.size} of {llr.shape[0]} slots, the "
                f"first of them number {lost[0]}"
            )
        return self._link.count(slots, llr)

    def traces(self) -> Mapping[str, int]:
        """Return how often each step was traced; more than once costs time at every point."""
        return {**self._traces, "link": self._link.num_traces}

    def _compile(self, label: str) -> Callable[[Slots], Any]:
        import tensorflow as tf
        from sionna.phy import config

        from sims.receivers import RECEIVERS

        name, options = self._receivers[label]
        config.seed = 0  # nor may a receiver's own constants depend on when it was built
        receive = RECEIVERS[name].build(self._link, **options)

        # TensorFlow counts traces by code object, and would take the receivers' for retraces of one
        # function; a partial has none.
        traced = functools.partial(self._trace, label, receive)
        return self._compiled.setdefault(label, tf.function(traced, autograph=False))

    def _trace(self, label: str, receive: Callable[[Slots], Any], slots: Slots) -> Any:
        # Python runs here only while TensorFlow traces.
        self._traces[label] = self._traces.get(label, 0) + 1
        return receive(slots)
