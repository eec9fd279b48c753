"""Sweep receivers over Eb/N0 on shared slots; run it again to resume."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich.console import Console

if TYPE_CHECKING:
    from sims.sweep.execution import Sweep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Parser
from scripts._sweep_flags import DEFAULT_RECEIVERS, PUSCH_RECEIVERS, make_job, make_parser


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

    console = Console(stderr=given.json)
    if given.list:
        console.print(describe_all(), markup=False, highlight=False, soft_wrap=True)
        return 0
    chosen = prepare(given, parser)
    try:
        return execute(chosen, console, sys.stdout if given.json else None)
    except (OSError, SweepError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else f"{parser.prog}: error: {error}"
        notes = getattr(error, "__notes__", [])
        hint = f" To resume:\n  {command}" if notes else ""
        print("\n".join([reason, *notes]) + hint, file=sys.stderr)
        return 130 if interrupted else 1


def prepare(given: Namespace, parser: Parser) -> Sweep:
    """Return the sweep that the flags describe; exit with one line if there is no such sweep."""
    from sims.sweep.job import make_sweep
    from sims.sweep.selection import choose_scenario, runnable

    try:
        if given.receivers is None:
            scenario = choose_scenario(given.scenario, given.set)
            names = PUSCH_RECEIVERS if scenario.has_transport_blocks else DEFAULT_RECEIVERS
            given.receivers, left_out = runnable(names, scenario)
            for name, reason in left_out.items():
                print(f"left out: {name}, which {reason}", file=sys.stderr if given.json else None)
        return make_sweep(make_job(given))
    except (ValueError, TypeError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
