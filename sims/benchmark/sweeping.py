"""One simulated slot for all receivers, against a run of Sionna's `sim_ber` for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.utils import sim_ber

from sims.benchmark.bar import Budget, Found
from sims.benchmark.timing import compare, interleaved
from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.scenario import SCENARIOS
from sims.sweep.evaluator import SionnaEvaluator

RECEIVER_NAMES = ("perfect_csi", "ls_lin", "ls_lin_time_avg", "ls_delay_limited", "window")
BATCH, BATCHES, EBNO_DB = 32, 4, 6.0


def share_of_ideal(budget: Budget) -> Found:
    """Time of separate runs over ours, as a share of what sharing the slots can bring at best.

    That is (R gen + sum rx) / (gen + sum rx) for R receivers, with the times to generate slots
    (gen) and to receive and decode them (rx) measured apart.
    """
    link = Link(SCENARIOS["cdl_2x2"])
    evaluator = SionnaEvaluator(link, {name: (name, resolve(name)) for name in RECEIVER_NAMES})

    def ours() -> None:
        for chunk in range(BATCHES):
            slots = evaluator.simulate(EBNO_DB, chunk, BATCH)
            for name in RECEIVER_NAMES:
                evaluator.count(name, slots, chunk)

    def theirs() -> None:
        for chain in chains.values():
            sim_ber(chain, [EBNO_DB], BATCH, BATCHES, early_stop=False, verbose=False)

    chains = {name: _chain(link, name) for name in RECEIVER_NAMES}
    slots = evaluator.simulate(EBNO_DB, 0, BATCH)
    pieces = {"gen": lambda: evaluator.simulate(EBNO_DB, 0, BATCH)} | {
        name: lambda name=name: evaluator.count(name, slots, 0) for name in RECEIVER_NAMES
    }
    rounds = max(3, budget.rounds // 5)  # a turn takes seconds
    whole = {k: float(np.median(v)) for k, v in _turns(ours, theirs, rounds).items()}
    parts = {k: float(np.median(v)) for k, v in interleaved(pieces, rounds).items()}
    receive = sum(parts[name] for name in RECEIVER_NAMES)
    ideal = (len(RECEIVER_NAMES) * parts["gen"] + receive) / (parts["gen"] + receive)
    reached = whole["theirs"] / whole["ours"]
    return Found(
        reached / ideal,
        f"{reached:.2f}x of {ideal:.2f}x; {1e3 * whole['ours'] / BATCHES:.0f} ms a batch, "
        f"theirs {1e3 * whole['theirs'] / BATCHES:.0f} ms",
        {"seconds": whole, "parts": parts, "ideal": ideal},
    )


def share_of_decoding(budget: Budget) -> Found:
    """What the steps of a batch of the default sweep take, and the decoder's share of it all."""
    link = Link(SCENARIOS["cdl_2x2"])
    config.seed = 1
    slots = link.transmit(BATCH, EBNO_DB)
    receive = {name: tf.function(_receiver(link, name), autograph=False) for name in RECEIVER_NAMES}
    llr = {name: receive[name](slots) for name in RECEIVER_NAMES}
    steps = {"link": lambda: link.transmit(BATCH, EBNO_DB)}
    steps |= {name: partial(receive[name], slots) for name in RECEIVER_NAMES}
    steps |= {f"decode {name}": partial(link.decode, llr[name]) for name in llr}
    rounds = max(3, budget.rounds // 5)
    found = {k: 1e3 * float(np.median(v)) / BATCH for k, v in interleaved(steps, rounds).items()}
    decoding = sum(time for step, time in found.items() if step.startswith("decode"))
    told = ", ".join(f"{step} {found[step]:.2g}" for step in ("link", *RECEIVER_NAMES))
    return Found(
        decoding / sum(found.values()),
        f"ms a slot: {told}; decoding {decoding / len(llr):.2g} each",
        {"ms_per_slot": found},
    )


def batched_decodes(budget: Budget) -> Found:
    """Time of one decode of all receivers' LLRs over that of one decode for each of them."""
    link = Link(SCENARIOS["cdl_2x2"])
    config.seed = 1
    slots = link.transmit(BATCH, EBNO_DB)
    llr = [_receiver(link, name)(slots) for name in RECEIVER_NAMES]
    together = tf.concat(llr, axis=0)
    return compare(
        lambda: link.decode(together),
        lambda: [link.decode(one) for one in llr],
        max(3, budget.rounds // 5),
        faster=False,
    )


def _receiver(link: Link, name: str) -> Callable[..., tf.Tensor]:
    config.seed = 0
    return RECEIVERS[name].build(link, **resolve(name))


def _chain(link: Link, name: str) -> tf.types.experimental.GenericFunction:
    """A whole link with one receiver as a user of `sim_ber` writes it: one graph."""
    receive = _receiver(link, name)

    @tf.function(autograph=False)
    def simulate(batch_size: tf.Tensor, ebno_db: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        del batch_size  # one size throughout: the graph is traced once
        slots = link.transmit(BATCH, ebno_db)
        return slots.bits, link.decode(receive(slots))

    return simulate


def _turns(
    ours: Callable[[], None], theirs: Callable[[], None], rounds: int
) -> dict[str, list[float]]:
    """Seconds of both in turns, after one that compiles."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(rounds + 1):
        for label, run in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            run()
            if turn:
                seconds[label].append(time.perf_counter() - start)
    return seconds
