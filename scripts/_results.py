"""What the commands that read result files share: the files, and what the laboratory knows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts._cli import Parser
from sims.report import Known, Section, sections
from sims.store import Contents, read


def read_results(files: Sequence[str], parser: Parser) -> Contents:
    """Read result files; exit with one line if one is not there or holds something else."""
    for file in map(Path, files):
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            beside = [str(other) for other in file.parent.glob("*.jsonl")]
            near = difflib.get_close_matches(str(file), beside, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            parser.error(f"FILE {file}: expected a file of results: {error.strerror}{hint}")
        contents = read([file])
        if not contents.rows:
            reason = contents.problems[0] if contents.problems else "it is empty"
            parser.error(f"FILE {file}: expected a file of results (.jsonl of a sweep): {reason}")
    return read(files)


def sorted_results(files: Sequence[str], parser: Parser) -> tuple[list[Section], list[str]]:
    """Return the sections of result files and what could not be used, in words."""
    contents = read_results(files, parser)
    found = sections(contents.rows, known_receivers())
    problems = contents.problems + [
        f"{section.name}, {one.label}: {one.unused} stored chunks wait for one before them"
        for section in found
        for one in section.series
        if one.unused
    ]
    return found, problems


def known_receivers() -> dict[str, Known]:
    """Return what the laboratory's registry says of each receiver."""
    from sims.sweep.quiet import quiet_stderr

    with quiet_stderr():
        from sims.receivers import RECEIVERS, resolve

    return {
        name: Known(receiver.label, resolve(name), receiver.genie)
        for name, receiver in RECEIVERS.items()
    }


def describe(scenario: Mapping[str, Any]) -> str:
    """Return one line about a scenario, or nothing if this version knows no such scenario."""
    from sims.scenario import Scenario

    try:
        return Scenario.from_dict(dict(scenario)).summary
    except (ValueError, TypeError):
        return ""


def check_share(flag: str, value: float, parser: Parser) -> None:
    """Exit with one line unless a value lies between 0 and 1."""
    if not 0 < value < 1:
        parser.error(f"{flag} must lie between 0 and 1, got {value:g}")
