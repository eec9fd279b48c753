"""Sweep receivers over Eb/N0 on shared slots; run it again to resume."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from jsonargparse import Namespace, set_loader
from rich.console import Console

if TYPE_CHECKING:
    from sims.sweep.execution import Sweep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser
from scripts._config import ConfigFile
from sims.sweep.notation import load

DEFAULT_RECEIVERS = [
    "fixed_pole",
    "fixed_pole_lmmse",
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
        description=__doc__,
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
        "--cluster",
        type=str | None,
        default=None,
        metavar="WHERE",
        help="Dask cluster whose workers compute: local, or its scheduler's tcp://host:port",
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
    add("--no-plot", action="store_true", help="write no plots")
    add("--list", action="store_true", help="list scenarios and receivers, and exit")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A cluster's way of saying Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = make_parser()
    try:
        # A blank keeps argparse from taking the range -4:10:2 for a flag.
        given = parser.parse_args([" " + w if re.match(r"-[\d.]", w) else w for w in words])
        return sweep(given, parser, shlex.join([sys.executable, sys.argv[0], *words]))
    except KeyboardInterrupt:
        print("interrupted before anything was computed", file=sys.stderr)
        return 130


def sweep(given: Namespace, parser: Parser, command: str) -> int:
    """Run the sweep that the flags describe; `command` is what a user repeats to resume it."""
    # Only now: --help and mistyped flags need not wait for TensorFlow.
    from sims.sweep import SweepError
    from sims.sweep.quiet import quiet_stderr

    with quiet_stderr():
        from sims.sweep.execution import execute
        from sims.sweep.selection import describe_all

    console = Console()
    if given.list:
        console.print(describe_all(), markup=False, highlight=False, soft_wrap=True)
        return 0
    chosen = prepare(given, parser)
    try:
        return execute(chosen, console)
    except (OSError, SweepError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else f"{parser.prog}: error: {error}"
        notes = getattr(error, "__notes__", [])
        hint = f" To resume:\n  {command}" if notes else ""
        print("\n".join([reason, *notes]) + hint, file=sys.stderr)
        return 130 if interrupted else 1


def prepare(given: Namespace, parser: Parser) -> Sweep:
    """Return the sweep that the flags describe; exit with one line if there is no such sweep."""
    from sims.sweep import StoppingRule
    from sims.sweep.job import Job, make_sweep
    from sims.sweep.selection import choose_scenario, runnable

    try:
        if given.receivers is None:
            scenario = choose_scenario(given.scenario, given.set)
            names = PUSCH_RECEIVERS if scenario.has_transport_blocks else DEFAULT_RECEIVERS
            given.receivers, left_out = runnable(names, scenario)
            for name, reason in left_out.items():
                print(f"left out: {name}, which {reason}")
        rule = StoppingRule(given.target_block_errors, given.max_slots, given.max_slots_slow)
        return make_sweep(
            Job(
                scenario=given.scenario,
                overrides=given.set,
                receivers=given.receivers,
                ebno_db=given.ebno_db,
                rule=rule,
                slots_per_chunk=given.slots_per_chunk,
                seed=given.seed,
                out=given.out,
                workers=given.workers,
                target_bler=given.target_bler,
                target_ber=given.target_ber,
                reference=given.reference,
                plot=not given.no_plot,
                cluster=given.cluster,
            )
        )
    except (ValueError, TypeError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
