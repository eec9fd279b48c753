"""The flags of a sweep, and the job that they describe.

To add a flag: a field in sims.sweep.job.Job, and an `add` of the same name here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import yaml
from jsonargparse import Namespace, set_loader

from scripts._cli import Formatter, Parser
from scripts._config import ConfigFile
from sims.sweep.notation import load

if TYPE_CHECKING:
    from sims.sweep.job import Job

DEFAULT_RECEIVERS = [
    "fixed_pole",
    "fixed_pole_lmmse",
    "fixed_pole_joint",
    "window",
    "bptt",
    "esn",
    "ls_lin_time_avg",
    "ls_delay_limited",
    "joint_lmmse",
    "kbest",
    "perfect_csi",
]
PUSCH_RECEIVERS = [
    "pusch_ls",
    "pusch_time",
    "pusch_fixed_pole",
    "ls_delay_limited",
    "joint_lmmse",
    "pusch_perfect",
]
DEFAULT_EBNO_DB = ["4:12:2"]

EXAMPLES = """
A receiver takes options behind a colon: esn:window=16,delay=8. Points are numbers or
start:stop:step in dB. Results are added to <out>.jsonl chunk by chunk; the same command resumes,
other receivers, points or more slots compute only what is missing, on the same slots.

  %(prog)s                                         the main job: cdl_2x2, all kinds of receivers
  %(prog)s --scenario nominal_siso --ebno-db 0:12:2 --receivers ls_lin perfect_csi
  %(prog)s --scenario cdl_2x2 --set speed=120 --out results/fast
  %(prog)s --list
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    set_loader("yaml", load, exceptions=(yaml.YAMLError,))
    parser = Parser(
        prog="ber_sweep.py",
        description="Sweep receivers over Eb/N0 on shared slots; run it again to resume.",
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add(
        "--config",
        action=ConfigFile,
        metavar="FILE",
        help="YAML or JSON file that sets any of "
        "these flags, its `scenario` also to the fields of a scenario",
    )
    add(
        "--scenario",
        type=str | dict,
        default="cdl_2x2",
        metavar="NAME",
        help="preset to simulate, see --list",
    )
    add(
        "--set",
        type=str,
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="fields of the scenario to change, such as speed=120",
    )
    add(
        "--receivers",
        type=str,
        nargs="+",
        default=None,
        metavar="NAME[:OPTION=VALUE,...]",
        help=f"receivers to compare, see --list (default: those that can run of "
        f"{' '.join(DEFAULT_RECEIVERS)}; for PUSCH of {' '.join(PUSCH_RECEIVERS)})",
    )
    add(
        "--ebno-db",
        type=str | float,
        nargs="+",
        default=DEFAULT_EBNO_DB,
        metavar="DB",
        help="points in dB",
    )
    add(
        "--target-block-errors",
        type=int,
        default=100,
        metavar="N",
        help="a point stops after this many block errors",
    )
    add(
        "--max-slots",
        type=int,
        default=200,
        metavar="N",
        help="and after this many slots in any case, rounded up to whole chunks",
    )
    add(
        "--max-slots-slow",
        type=int,
        default=80,
        metavar="N",
        help="the same for receivers that --list marks slow",
    )
    add(
        "--slots-per-chunk",
        type=int,
        default=40,
        metavar="N",
        help="slots computed and stored at once; part of a result's identity",
    )
    add("--seed", type=int, default=0, metavar="N", help="another number, other slots")
    add(
        "--workers",
        type=int | None,
        default=None,
        metavar="N",
        help="processes (default: as many as cores); does not change results",
    )
    add(
        "--out",
        type=str | None,
        default=None,
        metavar="PREFIX",
        help="where results go: PREFIX.jsonl .csv .txt .png .svg (default: results/SCENARIO)",
    )
    add(
        "--target-bler",
        type=float,
        default=0.1,
        metavar="RATE",
        help="block error rate at which receivers are compared",
    )
    add(
        "--target-ber",
        type=float,
        default=0.01,
        metavar="RATE",
        help="the same for the bit error rate",
    )
    add(
        "--reference",
        type=str | None,
        default=None,
        metavar="NAME",
        help="receiver over which gains are taken (default: the first that is no genie)",
    )
    add(
        "--cluster",
        type=str | None,
        default=None,
        metavar="WHERE",
        help="Dask cluster whose workers compute: local, or its scheduler's tcp://host:port",
    )
    add(
        "--shard",
        type=str | None,
        default=None,
        metavar="I/N",
        help="compute the I-th of N parts, for a batch queue; merge.py puts them together",
    )
    add(
        "--json",
        action="store_true",
        help="write nothing but events to standard output, one JSON object a line (see "
        "sims/sweep/events.py); what people read goes to standard error",
    )
    add("--no-plot", action="store_true", help="write no plots")
    add("--list", action="store_true", help="list scenarios and receivers, and exit")
    return parser


def make_job(given: Namespace) -> Job:
    """Return the job of the flags' values; a field and a flag of one name are the same thing."""
    from sims.sweep import StoppingRule
    from sims.sweep.job import Job

    values = {
        "overrides": given.set,
        "rule": StoppingRule(given.target_block_errors, given.max_slots, given.max_slots_slow),
        "plot": not given.no_plot,
    }
    names = [field.name for field in dataclasses.fields(Job)]
    return Job(**{name: getattr(given, name) for name in names if name in given} | values)
