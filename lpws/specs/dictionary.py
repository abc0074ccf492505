"""A specification as a dict, for the way through a file or to another process."""

from __future__ import annotations

from dataclasses import asdict, fields

from .backoff import Backoff
from .fields import Spec
from .link import Link
from .outage import Outage
from .proxy import Proxy
from .restart import Restart
from .transports import TRANSPORTS
from .workload import Workload

KINDS = {kind.__name__: kind for kind in (*TRANSPORTS, Workload, Link, Proxy, Outage, Restart, Backoff)}


def to_dict(spec: Spec) -> dict:
    """The specification as a dict that JSON can hold."""
    return {"kind": type(spec).__name__, **asdict(spec)}


def from_dict(data: dict) -> Spec:
    """The specification that `to_dict` gave this dict for.

    Raises
    ------
    ValueError
        If the dict names no specification of this version, or fields that it does not have.
    """
    kind = KINDS.get(data.get("kind"))
    if kind is None:
        raise ValueError(f"expected a specification of kind {', '.join(KINDS)}, got {data.get('kind')!r}")
    names = {field.name for field in fields(kind)}
    if unknown := data.keys() - names - {"kind"}:
        raise ValueError(
            f"{kind.__name__} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}"
        )
    return kind(**{name: value for name, value in data.items() if name != "kind"})
