"""One file of results from many, such as those of shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sims.store import Store, read


@dataclass(frozen=True)
class Merged:
    """What a merge did: `num_rows` in its file, `num_new` of them added, `problems` in words."""

    path: Path
    num_rows: int
    num_new: int
    problems: list[str]


def merge(paths: Sequence[Path], out: Path) -> Merged:
    """Add the rows of files of results to another one, each (key, chunk) once.

    What the other file holds already comes first: where counts contradict each other, it wins,
    and then the first of the files. Run again, it adds what is new.

    Args:
        paths: files of results.
        out: the other one, `<out>.jsonl`, as a sweep's `out`; the suffix may be there already.

    Returns:
        What came of it.

    Raises:
        FileNotFoundError: if one of the files is missing.
        ValueError: if none are given or one holds no row of results.
        OSError: if a file cannot be read or the other one not be written.
    """
    if not paths:
        raise ValueError("paths must name at least one file of results")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file of results")
        if not read([path]).rows and path.stat().st_size:
            raise ValueError(f"{path}: holds no row of results")
    target = out.with_name(out.name.removesuffix(".jsonl") + ".jsonl")
    with Store(target) as store:
        contents = read([target, *paths])
        num_new = store.extend(contents.rows)
    return Merged(target, len(contents.rows), num_new, contents.problems)
