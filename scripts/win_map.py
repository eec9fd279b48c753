"""Sweep every receiver through many situations and map who wins where; run it again to resume."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

EXAMPLES = """
Every situation is a sweep with a file of its own, <out>/<cell>.jsonl. The map is drawn from what
is there, so it can grow over several runs: more cells, receivers or slots compute what is missing.

  %(prog)s --quick                      4 cells, 5 receivers, some minutes
  %(prog)s --cells short_0 sir0_4       these two, all receivers
  %(prog)s --max-slots 1000             all cells again, as far as their points lack slots
  %(prog)s --draw-only                  the map of what is there
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="win_map.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add("--cells", type=str, nargs="+", default=None, metavar="NAME", help="default: all")
    add(
        "--receivers",
        type=str,
        nargs="+",
        default=None,
        metavar="NAME",
        help="some of a cell's receivers (default: all)",
    )
    add("--quick", action="store_true", help="a few cells and receivers; the flags above win")
    add("--draw-only", action="store_true", help="compute nothing")
    add(
        "--target-block-errors",
        type=int,
        default=200,
        metavar="N",
        help="a point stops after this many block errors",
    )
    add(
        "--max-slots",
        type=int | None,
        default=None,
        metavar="N",
        help="and after this many slots (default: 400; with --quick 150)",
    )
    add(
        "--max-slots-slow",
        type=int,
        default=100,
        metavar="N",
        help="the same for slow receivers",
    )
    add("--workers", type=int | None, default=None, metavar="N", help="default: as many as cores")
    add("--out", type=str, default="results/win_map", metavar="FOLDER", help="where results go")
    add("--list", action="store_true", help="list the cells, and exit")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = make_parser()
    given = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    try:
        return run(given, parser)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130


def run(given: Namespace, parser: Parser) -> int:
    """Compute and draw what the flags ask for."""
    # Only now: --help and mistyped flags need not wait for TensorFlow.
    from sims.sweep import SweepError
    from sims.sweep.quiet import quiet_stderr

    with quiet_stderr():
        from sims.experiments import win_map

    console = Console()
    if given.list:
        for name, cell in win_map.CELLS.items():
            summary = f"{name:12} {cell.about:26} {cell.scenario(name).summary}"
            console.print(summary, markup=False, highlight=False, soft_wrap=True)
        return 0
    try:
        names, receivers, budget = choose(given)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    out, succeeded = Path(given.out), True
    try:
        if not given.draw_only:
            succeeded = win_map.compute(names, out, budget, console, receivers)
        leave(out, budget, console)
    except (OSError, SweepError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0 if succeeded else 1


def choose(given: Namespace) -> tuple[list[str], list[str] | None, object]:
    """Return the cells, the receivers and the budget that the flags name."""
    from sims.experiments import win_map
    from sims.scenario.checks import known
    from sims.sweep import StoppingRule

    names = given.cells or list(win_map.QUICK_CELLS if given.quick else win_map.CELLS)
    receivers = given.receivers or (list(win_map.QUICK_RECEIVERS) if given.quick else None)
    for name in names:
        known("cell", name, win_map.CELLS)
    for name in receivers or ():
        known("receiver of the map", name, win_map.ROLES)
    most_slots = given.max_slots
    if most_slots is None:
        most_slots = win_map.QUICK_SLOTS if given.quick else win_map.Budget.max_slots
    numbers = (given.target_block_errors, most_slots, given.max_slots_slow)
    StoppingRule(*numbers)
    return names, receivers, win_map.Budget(*numbers, workers=given.workers)


def leave(out: Path, budget: object, console: Console) -> None:
    """Write the map's figure, table and numbers, and print the table."""
    from sims.experiments import win_map
    from sims.experiments.win_figure import draw, numbers, table

    cells = win_map.summarize(out, budget)
    if not cells:
        console.print(f"no results in {out} yet", markup=False)
        return
    about = {name: win_map.CELLS[name].about for name in cells}
    shown = table(cells, about)
    (out / "win_map.txt").write_text(shown + "\n", encoding="utf-8")
    (out / "win_map.json").write_text(json.dumps(numbers(cells), indent=1) + "\n", encoding="utf-8")
    figure = draw(cells, about)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"win_map.{suffix}", dpi=130)
    console.print(shown, markup=False, highlight=False, soft_wrap=True)
    console.print(f"the map: {out}/win_map.{{txt,json,png,svg}}", markup=False, highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
