"""Say whether a change to a receiver made a difference, from results before and after it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout

from scripts._cli import Formatter, Parser

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from sims.report import Matched

EXAMPLES = """
Receivers are matched by name and options, whatever their revision. Where scenario, Eb/N0, seed
and slots per chunk agree, both saw the same slots and are compared slot by slot.

  %(prog)s before.jsonl after.jsonl
  %(prog)s before.jsonl after.jsonl --fail-if-worse     exit code 1 if anything became worse
  %(prog)s results/x.jsonl --receivers ls_lin fixed_pole:window=8
"""


def make_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="compare.py",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument
    add(
        "files",
        type=str,
        nargs="+",
        metavar="FILE",
        help="results before and after; with --receivers any number",
    )
    add(
        "--receivers",
        type=str,
        nargs="+",
        default=None,
        metavar="NAME[:OPTION=VALUE,...]",
        help="two receivers to compare, the second with the first, in all files together",
    )
    add(
        "--target",
        type=float | None,
        default=None,
        metavar="RATE",
        help="error rate at which the gain in dB is taken (default: BLER 0.1; uncoded: BER 0.01)",
    )
    add(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="coverage of the intervals",
    )
    add(
        "--fail-if-worse",
        action="store_true",
        help="exit code 1 if a rate became worse; corrected for the number of comparisons, so "
        "that a change without effect fails in 1 - SHARE of all cases",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = make_parser()
    given = parser.parse_args(argv)
    from scripts._results import check_share

    check_share("--confidence", given.confidence, parser)
    if given.target is not None:
        check_share("--target", given.target, parser)
    if given.receivers is None and len(given.files) != 2:
        parser.error(
            f"FILE: expected two, before and after, got {len(given.files)}; "
            "or --receivers to compare two receivers of any number of files"
        )
    if given.receivers is not None and len(given.receivers) != 2:
        parser.error(f"--receivers: expected two, got {len(given.receivers)}")
    from sims.report.verdicts import became_worse, report

    try:
        pairs = _pairs(given, parser)
        print(report(pairs, target=given.target, confidence=given.confidence))
        worse = became_worse(pairs, confidence=given.confidence)
    except ValueError as error:
        parser.error(f"FILE: the results cannot be compared: {error}")
    if not given.fail_if_worse:
        return 0
    for text in worse:
        print(f"worse: {text}")
    if not worse:
        print("nothing became worse, all comparisons taken together")
    return 1 if worse else 0


def _pairs(given: Namespace, parser: Parser) -> list[Matched]:
    """Read the files and match their receivers; exit with one line if nothing matches."""
    from scripts._results import sorted_results
    from sims.report import match

    if given.receivers is None:
        (before, problems), (after, more) = (sorted_results([f], parser) for f in given.files)
        problems = problems + more
        pairs = match(before, after)
        lacking = "the files share no scenario and receiver with the same options"
    else:
        before, problems = sorted_results(given.files, parser)
        present = {one.identity for section in before for one in section.series}
        first, second = (_identity(text, present, parser) for text in given.receivers)
        pairs = match(before, before, receivers=(first, second))
        lacking = f"no scenario has both {first} and {second}"
    for problem in problems:
        print(problem, file=sys.stderr)
    if not pairs:
        parser.error(f"FILE: expected results that can be compared, but {lacking}")
    return pairs


def _identity(text: str, present: set[str], parser: Parser) -> str:
    """Return the receiver of the files that a text means; exit with one line if there is none."""
    import difflib

    from scripts._results import known_receivers
    from sims.report.sections import identify
    from sims.sweep.selection import read_options

    known = known_receivers()
    name = text.partition(":")[0]
    identity = text
    if name in known:
        try:
            identity = identify(name, read_options(text), known[name])
        except (ValueError, TypeError) as error:
            parser.error(f"--receivers: {error}")
    if identity not in present:
        near = difflib.get_close_matches(identity, present, n=3, cutoff=0.3) or sorted(present)
        parser.error(
            f"--receivers: expected receivers of the files, got {text!r}; "
            f"did you mean {' or '.join(near)}?"
        )
    return identity


if __name__ == "__main__":
    raise SystemExit(main())
