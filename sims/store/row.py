"""One row of a file of results, and the text that it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any


def canonical_json(value: Any) -> str:
    """Write a value as the one JSON text that equal values share.

    Args:
        value: anything JSON can hold; NaN and infinity are refused.

    Returns:
        The text: sorted keys, no spaces.

    Raises:
        TypeError, ValueError: if JSON cannot hold the value.

    >>> canonical_json({"b": 1, "a": [2.0, None]})
    '{"a":[2.0,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON as 64 hexadecimal digits.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class OtherFormat(ValueError):
    """A row that another version of this program wrote, with other fields."""


@dataclass(frozen=True)
class Row:
    """The error counts of one chunk of slots of one task.

    Args:
        key: the task's identity, 64 hexadecimal digits.
        chunk: index of the chunk in its task, from 0.
        scenario: the scenario as JSON; receiver, options, revision, ebno_db [dB], seed: the rest
            of the task, readable.
        bits, blocks: how many of them one slot carries.
        bit_errors, block_errors: one count a slot, of equal length.
        seconds: what the receiver took for the chunk, the first call's compilation included.
        versions: name -> version of the software that computed it.

    Raises:
        ValueError, TypeError: if a field is of the wrong kind or the counts are impossible.
    """

    key: str
    chunk: int
    scenario: dict[str, Any]
    receiver: str
    options: dict[str, Any]
    revision: int
    ebno_db: float
    seed: int
    bits: int
    blocks: int
    bit_errors: list[int]
    block_errors: list[int]
    seconds: float
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not _is_count(self.chunk):
            raise ValueError(
                f"key and chunk must be a text and a count, got {self.key!r}, {self.chunk!r}"
            )
        for name, kinds in _KINDS.items():
            if not isinstance(getattr(self, name), kinds) or getattr(self, name) is True:
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{name} must be of type {expected}, got {getattr(self, name)!r}")
        for name, per_slot in (("bit_errors", self.bits), ("block_errors", self.blocks)):
            counts = getattr(self, name)
            if not isinstance(counts, list) or not counts:
                raise TypeError(f"{name} must be a list of one count a slot, got {counts!r}")
            if not all(_is_count(count) and count <= per_slot for count in counts):
                raise ValueError(f"{name} must be counts between 0 and {per_slot} a slot")
        if len(self.bit_errors) != len(self.block_errors):
            raise ValueError(
                f"bit_errors has {len(self.bit_errors)} slots and block_errors "
                f"{len(self.block_errors)}; they must agree"
            )

    def to_line(self) -> str:
        """Return the row as one line of JSON, without the line's end."""
        return canonical_json(asdict(self))

    @classmethod
    def from_line(cls, line: str, shared: dict[str, Any] | None = None) -> Row:
        """Read what `to_line` wrote.

        Args:
            line: one line of a file.
            shared: takes the scenarios, options and versions of the rows that are read with it,
                so that thousands of rows hold each of them once; None: every row has its own.

        Raises:
            OtherFormat: if the row has other fields than rows have now.
            ValueError, TypeError: for whatever else is wrong with the line.
        """
        content = json.loads(line, parse_constant=_refuse)
        if not isinstance(content, dict):
            raise TypeError(f"a row is a JSON object, got {type(content).__name__}")
        _check_fields(content)
        if shared is not None:
            for name in ("scenario", "options", "versions"):
                value = content[name]
                content[name] = shared.setdefault(canonical_json(value), value)
        return cls(**content)


_NAMES = {field.name for field in fields(Row)}
_KINDS: dict[str, tuple[type, ...]] = {
    "scenario": (dict,),
    "receiver": (str,),
    "options": (dict,),
    "revision": (int,),
    "ebno_db": (int, float),
    "seed": (int,),
    "bits": (int,),
    "blocks": (int,),
    "seconds": (int, float),
    "versions": (dict,),
}


def _check_fields(content: dict[str, Any]) -> None:
    if not {"key", "chunk"} <= content.keys():
        raise ValueError("a row has a key and a chunk")
    unknown, missing = sorted(content.keys() - _NAMES), sorted(_NAMES - content.keys())
    differences = [
        f"{word} {', '.join(map(repr, names))}"
        for word, names in (("with", unknown), ("without", missing))
        if names
    ]
    if differences:
        raise OtherFormat(" and ".join(differences))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a value of JSON")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
