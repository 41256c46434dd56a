# SPDX-License-Identifier: Apache-2.0
"""A proposed change as people and programs see it before they approve it.

Not here: the commands (members.py), what is in force (app/agreed.py).

Rules that always hold: nothing of a change is left out or cut, however narrow the
terminal: what does not fit goes on in the next line; what differs from the plan in
force comes first; keys are shown by their fingerprint, in hexadecimal and in words, and
stand whole in the JSON; nothing that others wrote reaches the terminal but printable
text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from fedxdr.app.agreed import Agreed
from fedxdr.app.deciding import subject_of
from fedxdr.cli.console import OUT
from fedxdr.core import canonical
from fedxdr.crypto.words import words_of
from fedxdr.ledger import statements
from fedxdr.ledger.entries import (
    Genesis,
    MemberEnrolled,
    MemberKeyRotated,
    MemberSuspended,
    OrchestratorReplaced,
    PlanAdopted,
)
from fedxdr.ledger.statements import EnrolmentStatement
from fedxdr.parties.changes import ProposedChange

_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of a plan that is otherwise than in the plan in force.

    Attributes:
        name: its name, with dots below others.
        old: its value in force, ``_ABSENT`` if it has none.
        new: its value in the plan proposed, likewise.
    """

    name: str
    old: Any
    new: Any

    def to_value(self) -> dict[str, Any]:
        """Return it as a JSON value; a side on which it is absent has no key."""
        sides = {"old": self.old, "new": self.new}
        return {
            "field": self.name,
            **{side: value for side, value in sides.items() if value is not _ABSENT},
        }


def told(change: ProposedChange, agreed: Agreed | None) -> dict[str, Any]:
    """Return a change as a JSON value, whole.

    Args:
        change: what is proposed.
        agreed: what is in force, None before the founding.
    """
    return {
        "digest": change.digest,
        "kind": change.entry.type,
        "subject": subject_of(change),
        "proposed_by": change.proposed_by,
        "approved_by": list(change.approved_by),
        "outcome": change.outcome,
        "why": change.why,
        "fingerprints": {
            name: {"hex": found, "words": list(words_of(found))}
            for name, found in _fingerprints(change, agreed).items()
        },
        "differences": [found.to_value() for found in differences(change, agreed)],
        "entry": canonical.builtins(change.entry),
    }


def show(change: ProposedChange, agreed: Agreed | None) -> None:
    """Print a change for somebody who is to approve it; arguments as ``told``."""
    entry = change.entry
    _title(f"{entry.type.split('/')[1]}: {subject_of(change)}")
    rows = [
        ("digest", change.digest),
        ("proposed by", _text(change.proposed_by)),
        ("approved by", ", ".join(change.approved_by) or "nobody yet"),
    ]
    names = {
        str(statement.org): statement.name
        for _, statement in statements.by_organisation(
            change.envelopes, EnrolmentStatement
        ).values()
    }
    for name, found in _fingerprints(change, agreed).items():
        whose = name + (f" ({names[name]})" if name in names else "")
        rows += [(f"keys of {whose}", words(found)), ("", found)]
    rows += [(name, _text(value)) for name, value in _fields(change)]
    _rows(rows)
    if isinstance(entry, PlanAdopted):
        _show_plan(change, entry, agreed)


def show_plan_in_force(agreed: Agreed) -> None:
    """Print the plan in force, field by field."""
    if agreed.plan is None:
        _line("No plan is in force yet.")
        return
    _title("plan in force")
    _rows([("digest", agreed.plan_digest)])
    _rows((_name(path), _json(value)) for path, value in _flat(agreed.plan))


def differences(change: ProposedChange, agreed: Agreed | None) -> list[Difference]:
    """Return what a proposed plan changes; without a plan in force, nothing.

    Args:
        change: of any kind; of those that bring no plan nothing is returned.
        agreed: what is in force.
    """
    entry = change.entry
    if not isinstance(entry, PlanAdopted) or agreed is None or agreed.plan is None:
        return []
    old, new = dict(_flat(agreed.plan)), dict(_flat(entry.plan))
    return [
        Difference(
            name=_name(path), old=old.get(path, _ABSENT), new=new.get(path, _ABSENT)
        )
        for path in sorted({*old, *new})
        if not _is_same(old.get(path, _ABSENT), new.get(path, _ABSENT))
    ]


def words(fingerprint: str) -> str:
    """Return the words that stand for a fingerprint, as one text."""
    return " ".join(words_of(fingerprint))


def _show_plan(
    change: ProposedChange, entry: PlanAdopted, agreed: Agreed | None
) -> None:
    found = differences(change, agreed)
    if agreed is None or agreed.plan is None:
        _line("No plan is in force here: all of it is new.")
    else:
        _line(
            f"Against the plan in force ({agreed.plan_digest}, block "
            f"{agreed.blocks - 1} here), old -> new:"
        )
        _rows((d.name, f"{_json(d.old)} -> {_json(d.new)}") for d in found)
        _line("  nothing" if not found else "As in force:")
    changed = {difference.name for difference in found}
    _rows(
        (_name(path), _json(value))
        for path, value in _flat(entry.plan)
        if _name(path) not in changed
    )


def _fields(change: ProposedChange) -> Iterator[tuple[str, object]]:
    """Yield what an entry says, but for keys and plan, which have their own rows."""
    value: dict[str, Any] = canonical.builtins(change.entry)
    for name, found in value.items():
        if name in {"type", "org_id", "keys", "orchestrator", "plan", "founders"}:
            continue
        if isinstance(found, dict):
            yield from ((f"{name}.{_name(path)}", v) for path, v in _flat(found))
        else:
            yield name, found


def _fingerprints(change: ProposedChange, agreed: Agreed | None) -> dict[str, str]:
    """Return whose keys a change brings, or takes away -> their fingerprint."""
    entry = change.entry
    match entry:
        case Genesis():
            founders = {str(o): str(f) for o, f in sorted(entry.founders.items())}
            return {"orchestrator": entry.orchestrator.fingerprint, **founders}
        case MemberEnrolled() | MemberKeyRotated():
            return {str(entry.org_id): entry.keys.fingerprint}
        case OrchestratorReplaced():
            return {"orchestrator": entry.orchestrator.fingerprint}
        case MemberSuspended() if agreed is not None and entry.org_id in agreed.members:
            return {str(entry.org_id): agreed.members[entry.org_id]}
        case _:
            return {}


def _flat(
    value: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each field of a JSON object, in order of names."""
    for name, found in sorted(value.items()):
        path = (*above, name)
        if isinstance(found, dict) and found:
            yield from _flat(found, path)
        else:
            yield path, found


def _name(path: tuple[str, ...]) -> str:
    """Return the name of a field; one that is no plain word is quoted."""
    return ".".join(p if p.isidentifier() and p.isascii() else _json(p) for p in path)


def _is_same(one: object, other: object) -> bool:
    if _ABSENT in (one, other):
        return one is other
    return canonical.jcs(one) == canonical.jcs(other)


def _json(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    found = canonical.jcs(value).decode()
    return found if found.isprintable() else json.dumps(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else _json(value)


def _title(text: str) -> None:
    OUT.print(Text(text, style="bold"), soft_wrap=True)


def _line(text: str) -> None:
    OUT.print(Text(text), soft_wrap=True)


def _rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values; a long value goes on in the terminal's next line."""
    known = list(rows)
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        _line(f"  {name:<{width}}  {value}")
