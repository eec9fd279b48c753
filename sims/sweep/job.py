"""A sweep in the user's words, and what they stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sims.sweep.evaluator import SionnaFactory
from sims.sweep.execution import Sweep
from sims.sweep.plan import Plan, StoppingRule, check_positive
from sims.sweep.revision import versions
from sims.sweep.selection import (
    choose_cluster,
    choose_points,
    choose_receivers,
    choose_scenario,
)
from sims.sweep.shard import Shard


@dataclass(frozen=True)
class Job:
    """A sweep in the user's words.

    Args:
        scenario: a preset's name or the fields of a Scenario.
        overrides: `field=value` texts that change the scenario.
        receivers: names, with options behind a colon, see `choose_receivers`.
        ebno_db: numbers or start:stop:step in dB, see `choose_points`.
        rule: when a point stops.
        slots_per_chunk, seed: see Plan.
        out: the results go to `<out>.jsonl`, `.csv`, `.txt`, `.png` and `.svg`; None: to
            results/<scenario>.
        workers: processes; None: as many as cores, or as the cluster at an address has.
        target_bler, target_ber: rates at which receivers are compared, between 0 and 1; without
            a code only the latter says something.
        reference: receiver, as in `receivers`, over which gains are taken; None: the first of
            them that is not a genie.
        plot: whether to draw.
        shard: "i/n": compute the i-th of n parts, for a batch queue, and leave it in files of
            its own, `<out>.shard<i>of<n>.jsonl` and so on, for `merge`; None: all of it.
        cluster: whose workers compute, see Sweep.
    """

    scenario: str | Mapping[str, Any]
    receivers: Sequence[str]
    ebno_db: Sequence[str | float]
    overrides: Sequence[str] = ()
    rule: StoppingRule = field(default_factory=StoppingRule)
    slots_per_chunk: int = 32
    seed: int = 0
    out: str | None = None
    workers: int | None = None
    target_bler: float = 0.1
    target_ber: float = 0.01
    reference: str | None = None
    plot: bool = True
    shard: str | None = None
    cluster: str | None = None


def make_sweep(job: Job) -> Sweep:
    """Resolve a job's names.

    Raises:
        ValueError, TypeError: if it asks for something that does not exist or fit.
    """
    cluster = choose_cluster(job.cluster)
    there_are = len(os.sched_getaffinity(0)) if cluster in (None, "local") else sys.maxsize
    workers = there_are if job.workers is None else job.workers
    check_positive("workers", workers)
    targets = {"bler": job.target_bler, "ber": job.target_ber}
    for name, target in targets.items():
        if not 0 < target < 1:
            raise ValueError(f"target_{name} must lie between 0 and 1, got {target}")
    scenario = choose_scenario(job.scenario, job.overrides)
    if scenario.coderate is None:
        del targets["bler"]
    contenders = choose_receivers(job.receivers, scenario)
    plan = Plan(
        scenario.to_dict(),
        contenders,
        choose_points(job.ebno_db),
        job.rule,
        job.slots_per_chunk,
        job.seed,
        versions(),
    )
    factory = SionnaFactory(
        plan.scenario,
        {contender.label: (contender.name, contender.options) for contender in contenders},
    )
    out = Path(job.out if job.out is not None else f"results/{scenario.name}")
    if not out.name or str(job.out).endswith("/"):
        raise ValueError(f"out must end in a file name without suffix, got {job.out!r}")
    shard = None if job.shard is None else Shard.parse(job.shard)
    if shard is not None:
        out = out.with_name(out.name + shard.suffix)
    title = f"{scenario.name}: {scenario.summary}"
    reference, plot = _reference(job, plan), job.plot and shard is None
    return Sweep(plan, factory, out, workers, targets, reference, plot, title, shard, cluster)


def _reference(job: Job, plan: Plan) -> str | None:
    if job.reference is None:
        return next((c.label for c in plan.contenders if not c.genie), None)
    if job.reference not in job.receivers:
        raise ValueError(
            f"reference must be one of the receivers {', '.join(job.receivers)}, "
            f"got {job.reference!r}"
        )
    return plan.contenders[list(job.receivers).index(job.reference)].label
