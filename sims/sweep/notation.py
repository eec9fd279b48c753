"""Values in configuration files and flags: YAML with the numbers of YAML 1.2."""

from __future__ import annotations

import re
from typing import Any

import yaml

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_REPLACED = (_INT, _FLOAT, "tag:yaml.org,2002:timestamp")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 would read the range 4:12:2 as the number 15122, in base 60, and 1e-6 as a text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.nan)$"),
    list("-+.0123456789"),
)


def load(text: str) -> Any:
    """Return the value that a YAML text stands for.

    Raises:
        yaml.YAMLError: if it is none.

    >>> load("{points: [4:12:2, -3], spread: 1e-6, rate: null}")
    {'points': ['4:12:2', -3], 'spread': 1e-06, 'rate': None}
    """
    return yaml.load(text, Loader=_Loader)
