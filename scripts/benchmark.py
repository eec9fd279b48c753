"""Measure speed, memory and precision as ratios in one process, each against its bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

EXAMPLES = """
Ratios are what counts: both sides run in turns in one process, and the medians are compared.
The peers (ReservoirPy) come with the extra "benchmark"; what is not there is not measured.

  %(prog)s                            everything, some minutes on two cores
  %(prog)s --filter 1 '9*' gram       by label or a part of the title
  %(prog)s --json results/benchmark.json --threads 1
  %(prog)s --device gpu --filter 1 2 '9*'
  KERAS_BACKEND=torch %(prog)s --device cuda   without TensorFlow and Sionna: what needs neither
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="benchmark.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add("--filter", type=str, nargs="+", default=[], metavar="BAR", help="labels or titles")
    add("--json", type=str | None, default=None, metavar="FILE", help="keep the numbers here")
    add("--rounds", type=int, default=15, metavar="N", help="turns of every comparison")
    add("--threads", type=int | None, default=None, metavar="N", help="default: all cores")
    add("--device", choices=["cpu", "gpu", "cuda"], default="cpu", help="cuda: gpu")
    add("--list", action="store_true", help="list the bars, and exit")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; a missed bar is told in the table, it is no failure of the command."""
    parser = make_parser()
    given = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    for name in ("rounds", "threads"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    # Libraries read these when they are imported, hence no import of ours above.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if given.threads is not None:
        from sims.sweep.pool import THREAD_VARIABLES

        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(given.threads)))
    from sims.sweep.quiet import quiet_stderr

    with quiet_stderr():
        from sims.benchmark import BARS, Budget, engine
        from sims.benchmark.run import choose, run
    if given.list:
        for label, bar in BARS.items():
            limit = "" if bar.sense == "info" else f"{bar.sense} {bar.limit:g}"
            print(f"{label:4} {bar.title:70} {limit}")
        return 0
    device = "cpu" if given.device == "cpu" else "gpu"
    if device == "gpu" and engine.gpu_name() is None:
        parser.error(f"--device {given.device}: {engine.TITLE} sees no GPU")
    try:
        bars = choose(given.filter)
    except ValueError as error:
        parser.error(f"--filter: {error}")
    budget = Budget(given.rounds, given.threads, device)
    table = run(bars, budget, None if given.json is None else Path(given.json))
    print(f"\n{table}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
