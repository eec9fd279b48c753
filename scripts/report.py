"""Explain result files: a page of curves, tables and differences, or the counts as CSV or JSON."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

SUFFIXES = (".html", ".csv", ".json")
EXAMPLES = """
Files are read as if they were one, so those of several machines or shards make one page; results
of each scenario stand by themselves. A page needs no network, only a browser.

  %(prog)s results/cdl_2x2.jsonl                              to report.html
  %(prog)s results/*.jsonl --out all.html all.csv all.json    in several forms
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="report.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add("files", type=str, nargs="+", metavar="FILE", help=".jsonl files of sweeps")
    add(
        "--out",
        type=str,
        nargs="+",
        default=["report.html"],
        metavar="FILE",
        help="what to write; the suffix says in which form: .html, .csv or .json",
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
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    given = parser.parse_args(words)
    from scripts._results import check_share, describe, sorted_results

    for flag in ("target_bler", "target_ber"):
        check_share(f"--{flag.replace('_', '-')}", getattr(given, flag), parser)
    outs = [Path(out) for out in given.out]
    for out in outs:
        if out.suffix not in SUFFIXES:
            parser.error(f"--out must end in {', '.join(SUFFIXES)}, got '{out}'")
        if not out.parent.is_dir():
            parser.error(f"--out {out}: expected a folder that is there, got '{out.parent}'")
    if any(out.suffix == ".html" for out in outs):
        try:
            from sims.report.page import Origin, Targets, page
        except ImportError as error:
            print(
                f"{parser.prog}: error: a page needs {error.name}; install the extra [report]",
                file=sys.stderr,
            )
            return 1
    from sims.report import table_rows, write_table

    found, problems = sorted_results(given.files, parser)
    for problem in problems:
        print(problem, file=sys.stderr)
    try:
        for out in outs:
            if out.suffix == ".html":
                command = shlex.join(["python", "scripts/report.py", *words])
                made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
                origin = Origin(command, given.files, problems, made)
                targets = Targets(given.target_bler, given.target_ber)
                out.write_text(page(found, origin, targets=targets, describe=describe), "utf-8")
            else:
                write_table(table_rows(found), out)
            print(f"{out}: {out.stat().st_size / 1e6:.2g} MB")
    except OSError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
