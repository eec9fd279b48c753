"""Merge files of results into one, which a sweep's plain command then goes on from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

EXAMPLES = """
  %(prog)s results/x.shard*of8.jsonl --out results/x    adds their rows to results/x.jsonl

The sweep's command with the same --out and without --shard then finds every chunk there, computes
what is missing, and writes the table and the plots.
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="merge.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="results to merge")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PREFIX", help="they go to PREFIX.jsonl"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = make_parser()
    given = parser.parse_args(argv)
    from sims.sweep.merging import merge

    try:
        merged = merge(given.files, given.out)
    except (FileNotFoundError, ValueError) as error:
        parser.error(f"FILE {error}")
    except OSError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    for problem in merged.problems:
        print(problem)
    print(f"{merged.path}: {merged.num_rows} chunks, {merged.num_new} of them new")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
