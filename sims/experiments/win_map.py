"""The win map: every receiver in many situations, each a sweep that resumes, and who wins where.

To add a situation, write one line of CELLS. All that is not said there is the preset's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from sims.experiments.win_standings import Standing, standings
from sims.scenario import SCENARIOS, Scenario
from sims.store import read
from sims.sweep import StoppingRule
from sims.sweep.execution import Sweep, execute
from sims.sweep.job import Job, make_sweep
from sims.sweep.ledger import Ledger
from sims.sweep.results import points
from sims.sweep.selection import runnable

TARGET = 0.1  # block error rate

# A control is ours with what makes it ours taken away: the equalizer without its poles.
OURS = (
    "auto",
    "iterative",
    "fixed_pole_lmmse",
    "fixed_pole_detector",
    "fixed_pole_joint",
    "wiener",
    "fixed_pole",
    "fixed_pole_tracking",
    "tracking",
)
CONTROLS = ("window",)
RIVALS = ("ls_lin", "ls_lin_time_avg", "ls_delay_limited", "joint_lmmse", "kbest", "ep", "esn")
GENIES = ("perfect_csi", "genie_wiener")

PUSCH_OURS = ("pusch_fixed_pole", "pusch_fixed_pole_detector", "pusch_time")
PUSCH_RIVALS = ("pusch_ls", "ls_delay_limited", "joint_lmmse")
PUSCH = (*PUSCH_OURS, *PUSCH_RIVALS, "pusch_perfect")

EVERYTHING = (*OURS, *CONTROLS, *RIVALS, *GENIES)
# 16 antennas x 624 subcarriers: what is left out needs more pilots, or minutes a slot.
LARGE = ("fixed_pole_lmmse", "ls_lin", "ls_lin_time_avg", "ls_delay_limited", "joint_lmmse")
UMI = (*LARGE, "perfect_csi")
QUICK_RECEIVERS = (
    "auto",
    "fixed_pole_lmmse",
    "fixed_pole",
    "ls_delay_limited",
    "joint_lmmse",
)

ROLES: dict[str, str] = {
    **dict.fromkeys((*OURS, *PUSCH_OURS), "ours"),
    **dict.fromkeys(CONTROLS, "control"),
    **dict.fromkeys((*RIVALS, *PUSCH_RIVALS), "rival"),
    **dict.fromkeys((*GENIES, "pusch_perfect"), "genie"),
}


@dataclass(frozen=True)
class Cell:
    """A situation of the map.

    Args:
        about: its row in the map, in a few words.
        preset: a key of SCENARIOS.
        ebno_db: points around the target rate, `start:stop:step` in dB.
        changes: fields of the scenario that differ from the preset's.
        receivers: who takes part, as far as they can run there.
        slots_per_chunk: slots that are simulated at once.
        most_slots: a point has no more, whatever the budget.
    """

    about: str
    preset: str
    ebno_db: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    receivers: tuple[str, ...] = EVERYTHING
    slots_per_chunk: int = 50
    most_slots: int | None = None

    def scenario(self, name: str) -> Scenario:
        """Return the scenario; the cell's name makes its slots its own."""
        return SCENARIOS[self.preset].replace(name=name, **self.changes)


def _impaired(**impairments: Mapping[str, Any]) -> dict[str, Any]:
    return {"speed": 0.0, "impairments": impairments}


def _umi(about: str, preset: str, ebno_db: str, **changes: Any) -> Cell:
    """A slot has 4 codewords and takes seconds."""
    return Cell(about, preset, ebno_db, changes, UMI, slots_per_chunk=20, most_slots=100)


_FOUR = {"num_tx_ant": 4, "num_rx_ant": 4}
_SIR0, _SIR10 = {"interferer_sir_db": 0.0}, {"interferer_sir_db": 10.0}

CELLS: dict[str, Cell] = {
    "cp_0": Cell("prefix suffices, static", "high_speed", "0:8:2", {"speed": 0.0}),
    "cp_120": Cell("prefix suffices, 120 km/h", "high_speed", "0:8:2", {"speed": 120.0}),
    "cp_300": Cell("prefix suffices, 300 km/h", "high_speed", "0:8:2"),
    "short_0": Cell("short prefix, static", "short_cp", "2:10:2"),
    "short_120": Cell("short prefix, 120 km/h", "short_cp", "2:10:2", {"speed": 120.0}),
    "short_300": Cell("short prefix, 300 km/h", "short_cp", "4:16:4", {"speed": 300.0}),
    "sir0_2": Cell("SIR 0 dB, 2 antennas", "interference", "0:12:3", {"num_rx_ant": 2, **_SIR0}),
    "sir0_4": Cell("SIR 0 dB, 4 antennas", "interference", "-4:8:3", _SIR0),
    "sir0_4_120": Cell(
        "SIR 0 dB, 4 antennas, 120 km/h", "interference", "-4:8:3", {"speed": 120.0, **_SIR0}
    ),
    "sir10_2": Cell("SIR 10 dB, 2 antennas", "interference", "0:8:2", {"num_rx_ant": 2, **_SIR10}),
    "sir10_4": Cell("SIR 10 dB, 4 antennas", "interference", "-4:4:2", _SIR10),
    "pa_0": Cell("PA, 0 dB back-off", "pa", "4:14:2"),
    "pa_3": Cell(
        "PA, 3 dB back-off",
        "pa",
        "4:12:2",
        _impaired(rapp_pa={"p": 2.0, "input_backoff_db": 3.0}),
    ),
    "adc_2": Cell("2-bit ADC", "high_speed", "0:12:3", _impaired(adc={"num_bits": 2})),
    "adc_3": Cell("3-bit ADC", "high_speed", "0:8:2", _impaired(adc={"num_bits": 3})),
    "cfo": Cell(
        "CFO, 2 % of a subcarrier", "high_speed", "0:8:2", _impaired(cfo={"subcarriers": 0.02})
    ),
    "phase_noise": Cell(
        "phase noise, 500 Hz", "high_speed", "0:14:2", _impaired(phase_noise={"linewidth": 500.0})
    ),
    "siso": Cell("TDL-A, 1x1", "nominal_siso", "4:12:2"),
    "mimo_2x2": Cell("TDL-A, 2x2", "nominal_2x2", "3:11:2"),
    "mimo_4x4": Cell("TDL-A, 4x4", "nominal_2x2", "-4:4:2", _FOUR),
    "multi_user": Cell("4 users, 4 antennas", "multi_user", "-4:4:2"),
    "tdl_c": Cell(
        "TDL-C 300 ns, 2x2", "nominal_2x2", "3:11:2", {"channel": "tdl-c", "delay_spread": 300e-9}
    ),
    "cdl_b": Cell("CDL-B 300 ns, 2x2", "cdl_2x2", "4:12:2", {"channel": "cdl-b"}),
    "cdl_c": Cell("CDL-C 300 ns, 2x2", "cdl_2x2", "4:12:2"),
    "umi_3": _umi("UMi, QPSK, 3 m/s", "umi_uplink", "-13:-3:2"),
    "umi_30": _umi("UMi, 16-QAM, 30 m/s", "umi_uplink_fast", "-8:4:2", num_bits_per_symbol=4),
    "pusch_4": Cell("PUSCH, 4 PRB", "pusch_4prb", "2:10:2", receivers=PUSCH),
    "pusch_52": Cell("PUSCH, 52 PRB", "pusch_52prb", "2:8:2", receivers=PUSCH),
}

QUICK_CELLS = ("cp_300", "short_0", "sir0_4", "mimo_2x2")
QUICK_SLOTS = 150


@dataclass(frozen=True)
class Budget:
    """How much the map may take: see StoppingRule; `workers` None: as many as cores."""

    target_block_errors: int = 200
    max_slots: int = 400
    max_slots_slow: int = 100
    workers: int | None = None


def make_cell(
    name: str, out: Path, budget: Budget, receivers: Sequence[str] | None = None
) -> Sweep:
    """Return the sweep of a cell, whose results are in `<out>/<name>.jsonl`.

    Args:
        name: a key of CELLS.
        out: the map's folder.
        budget: when a point stops.
        receivers: some of the cell's; None: all.

    Raises:
        ValueError: if none of the receivers can run there.
    """
    cell = CELLS[name]
    scenario = cell.scenario(name)
    wanted = [r for r in cell.receivers if receivers is None or r in receivers]
    able, _ = runnable(wanted, scenario)
    slots = [
        n if cell.most_slots is None else min(n, cell.most_slots)
        for n in (budget.max_slots, budget.max_slots_slow)
    ]
    rule = StoppingRule(budget.target_block_errors, *slots)
    return make_sweep(
        Job(
            scenario=scenario.to_dict(),
            receivers=able,
            ebno_db=[cell.ebno_db],
            rule=rule,
            slots_per_chunk=cell.slots_per_chunk,
            out=str(out / name),
            workers=budget.workers,
            target_bler=TARGET,
            plot=False,
        )
    )


def compute(
    names: Iterable[str],
    out: Path,
    budget: Budget,
    console: Console,
    receivers: Sequence[str] | None = None,
) -> bool:
    """Compute what the cells still lack, one after the other.

    Returns:
        Whether every receiver could be computed.
    """
    succeeded = True
    for name in names:
        sweep = make_cell(name, out, budget, receivers)
        console.print(f"{name}: {sweep.title}", markup=False, highlight=False, soft_wrap=True)
        succeeded &= execute(sweep, console) == 0
    return succeeded


def summarize(out: Path, budget: Budget) -> dict[str, list[Standing]]:
    """Return the standings of the cells that results are there for, in the order of CELLS."""
    found = {}
    for name in CELLS:
        path = out / f"{name}.jsonl"
        if not path.exists():
            continue
        plan = make_cell(name, out, budget).plan
        ledger = Ledger(plan, read([path]).rows)
        curves = {c.name: points(ledger, c.label, "bler") for c in plan.contenders}
        curves = {
            receiver: curve
            for receiver, curve in curves.items()
            if all(point.errors.size for point in curve.values())
        }
        if curves:
            found[name] = standings(curves, ROLES, TARGET)
    return found
