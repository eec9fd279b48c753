"""Make the figures and tables of the paper, and ours beside it, from nothing."""

from __future__ import annotations

import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

if TYPE_CHECKING:
    from sims.experiments import Experiment

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

EXAMPLES = """
Each leaves its numbers with settings and seed (.json), a caption (.txt) and a figure (.png, .svg)
in the folder of results. What is there with the same settings is kept, so the same command resumes
after an interruption; a figure that is missing is drawn anew from its numbers.

  %(prog)s                        everything
  %(prog)s --quick                everything, on smaller budgets
  %(prog)s --table statements     every statement of the paper, and how far it was off
  %(prog)s --figure surface --seed 1 --out results/other
  %(prog)s --list
"""

OUT, QUICK_OUT = "results/paper", "results/paper_quick"


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="reproduce_paper.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add("--table", type=str, nargs="+", default=[], metavar="NAME", help="tables, see --list")
    add("--figure", type=str, nargs="+", default=[], metavar="NAME", help="figures, see --list")
    add("--quick", action="store_true", help="smaller budgets: minutes instead of an hour")
    add(
        "--out",
        type=str | None,
        default=None,
        metavar="FOLDER",
        help=f"where results go (default: {OUT}, with --quick {QUICK_OUT})",
    )
    add("--seed", type=int, default=0, metavar="N", help="another number, other random numbers")
    add("--force", action="store_true", help="compute what is there already, too")
    add("--list", action="store_true", help="list figures and tables, and exit")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A cluster's way of saying Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = make_parser()
    given = parser.parse_args(words)
    try:
        return reproduce(given, parser)
    except KeyboardInterrupt:
        again = [word for word in words if word != "--force"]
        command = shlex.join([sys.executable, sys.argv[0], *again])
        print(f"interrupted; what was finished is kept. To resume:\n  {command}", file=sys.stderr)
        return 130


def reproduce(given: Namespace, parser: Parser) -> int:
    """Run what the flags ask for, one after the other; return the exit code."""
    from sims.experiments import EXPERIMENTS, choose, describe_all

    if given.list:
        print(describe_all())
        return 0
    try:
        chosen = [*choose("table", given.table), *choose("figure", given.figure)]
    except ValueError as error:
        parser.error(str(error))
    if given.seed < 0:
        parser.error(f"seed must be at least 0, got {given.seed}")
    out = Path(given.out or (QUICK_OUT if given.quick else OUT))
    failed = [
        experiment.name
        for experiment in dict.fromkeys(chosen or EXPERIMENTS.values())
        if not run(experiment, out, given)
    ]
    if failed:
        print(f"{parser.prog}: error: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(experiment: Experiment, out: Path, given: Namespace) -> bool:
    """Run one experiment and say what came of it; False if it failed, so that others go on."""
    print(f"{experiment.name}: {experiment.title}", flush=True)
    try:
        outcome = experiment.run(out, quick=given.quick, seed=given.seed, force=given.force)
    except OSError as error:
        print(f"  {error}", file=sys.stderr)
        return False
    except Exception:
        traceback.print_exc()
        return False
    if outcome.shown.table is not None:
        print(f"\n{outcome.shown.table}\n\n{outcome.shown.caption}\n")
    where = ", ".join(str(path) for path in outcome.paths)
    told = {
        "computed": f"computed in {outcome.seconds:.1f} s",
        "redrawn": "drawn anew from the numbers that were there",
        "kept": "skipped, there already with the same settings (--force computes it anew)",
    }
    print(f"  {told[outcome.status]}: {where}", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
