# SPDX-License-Identifier: Apache-2.0
"""Lies about members, keys, plan and models: one for each rule of table E.

Name -> the ledger before it, the step that refuses it, what appends it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.process.ledger_ends import (
    ORGANISATIONS,
)
from tests.unit.ledger.conftest import PUBLISHER, Federation

from fedxdr.core.ids import sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import entries, statements
from fedxdr.ledger.entries import (
    KeyCeremony,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
)
from fedxdr.ledger.statements import RotationStatement

LOW_ORDER = b"\x01" + bytes(31)
SECOND_SPELLING = b"\xf0" + b"\xff" * 30 + b"\x7f"  # y = p + 3
NO_PUBLISHER = PUBLISHER[:-1] + bytes([PUBLISHER[-1] ^ 1])
OTHER = sha256(b"another")
FIRST, SECOND = sha256(b"model 0"), sha256(b"model 1")


def suspension(told: Federation, org: str) -> MemberSuspended:
    return MemberSuspended(change=told.next_change, org_id=org, reason="Left us.")


def retire(told: Federation, model: str, successor: str) -> Federation:
    standing = told.standing()
    version = standing.models.get(successor, "v0")
    bare = dataclasses.replace(told.blocks[0].block.provenance, model_version=version)
    entry = ModelRetired(
        change=told.next_change,
        model_hash=model,
        successor=successor,
        reason="It missed an attack.",
    )
    told.models.append(b"model 0" if successor == FIRST else told.models[-1])
    return told.change(entry, model_hash=successor, provenance=bare)


def _approved(**lies: Any) -> Any:
    """Return a change whose approvals say something else."""

    def lie(told: Federation) -> None:
        entry = suspension(told, "bravo")
        said = {k: v(told) if callable(v) else v for k, v in lies.items()}
        by = [told.approval(org, entry, **said) for org in ORGANISATIONS]
        told.append(entry, by)

    return lie


def _approved_by_stranger(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.change(suspension(told, "bravo"), approved_by=("alpha", "bravo", "zulu"))


def _enrol(told: Federation, keys: MemberKeys | None = None, **options: Any) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    if keys is None:
        told.enrol("zulu", **options)
        return
    said = {"keys": keys}
    told.enrol("zulu", entry_lies=said, statement_lies=said, **options)


def _fresh(told: Federation, **other: bytes) -> MemberKeys:
    return dataclasses.replace(MemberKeys.of(told.spare["fresh"].public), **other)


def _rotate(told: Federation, org: str = "bravo", **lies: Any) -> None:
    keys = lies.pop("keys", _fresh(told))
    previous = told.keys["bravo"].public.fingerprint
    truth = {"org": org, "keys": keys, "previous": previous, "issued_at": told.now}
    said = RotationStatement(**truth | lies.pop("said", {}))
    entry = MemberKeyRotated(
        **{"change": told.next_change, "org_id": org, "keys": keys}
        | {"previous": previous}
        | lies
    )
    told.change(entry, [statements.sign(said, told.spare["fresh"])])


def _replace(told: Federation, **lies: Any) -> None:
    truth = {
        "change": told.next_change,
        "orchestrator": MemberKeys.of(told.spare["orchestrator"].public),
        "publisher": PUBLISHER,
        "origin": "new.example/ledger",
    }
    told.change(OrchestratorReplaced(**truth | lies))


def _ceremony(told: Federation, **lies: Any) -> None:
    truth = {
        "change": told.next_change,
        "record": {"bits": 3072},
        "fingerprint": entries.ceremony_fingerprint({"bits": 3072}),
        "holders": ORGANISATIONS,
    }
    told.change(KeyCeremony(**truth | lies))


def _genesis(told: Federation, **lies: Any) -> None:
    """Begin with other fields, other enrolments, or other approvals."""
    told.begin(**{k: v(told) if callable(v) else v for k, v in lies.items()})


def _shared(told: Federation, **other: Callable[[Federation], bytes]) -> None:
    """Begin with a founder ``bravo`` some of whose keys are others."""
    own = MemberKeys.of(told.keys["bravo"].public)
    keys = dataclasses.replace(own, **{k: v(told) for k, v in other.items()})
    told.keys["bravo"] = _WithKeys(told.keys["bravo"], keys)
    told.begin()


class _WithKeys:
    """A member whose published keys are not all its own."""

    def __init__(self, true: IdentityKey, keys: MemberKeys) -> None:
        self._true, self.public = true, keys.identity

    def __getattr__(self, name: str) -> Any:
        return getattr(self._true, name)


def _twice(told: Federation) -> list[Any]:
    return [
        told.enrolment(org, invitation_digest=sha256(b"one invitation"))
        for org in told.keys
    ]


def _another_approved(told: Federation) -> None:
    other = suspension(told, "alpha")
    by = [told.approval(org, other) for org in ORGANISATIONS]
    told.append(suspension(told, "bravo"), by)


def _enrol_again(told: Federation) -> None:
    told.keys["zulu"], keys = told.spare["fresh"], {"keys": _fresh(told)}
    told.enrol("alpha", entry_lies=keys, statement_lies={**keys, "signer": "zulu"})


def _twin(keys: MemberKeys) -> MemberKeys:
    return dataclasses.replace(keys, tlog_ed25519=keys.ed25519)


def _enrolled_with_others(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    bravo = told.enrolment("bravo", keys=_fresh(told), signer="zulu")
    told.begin(founders=ORGANISATIONS, enrolments=[told.enrolment("alpha"), bravo])


def _other_prints(told: Federation) -> None:
    told.begin()
    true = told.blocks.pop().block.entry
    entry = dataclasses.replace(true, founders=true.founders | {"bravo": OTHER})
    enrolled = [told.enrolment(org) for org in ORGANISATIONS]
    told.append(entry, enrolled + [told.approval(o, entry) for o in ORGANISATIONS])


def _reserved(told: Federation) -> None:
    told.keys["operator"] = told.keys.pop("bravo")
    told.begin()


def _nobody(told: Federation) -> None:
    told.keys["none"] = told.keys.pop("bravo")
    told.begin()


CHANGE_LIES: dict[str, tuple[str, int, Callable[[Federation], Any]]] = {
    "a founder too few": (
        "nothing",
        6,
        lambda t: _genesis(t, enrolments=[t.enrolment("alpha")]),
    ),
    "a founder's approval missing": (
        "nothing",
        6,
        lambda t: _genesis(t, approved_by=("alpha",)),
    ),
    "the orchestrator's key twice": (
        "nothing",
        6,
        lambda t: _genesis(t, orchestrator=_twin(MemberKeys.of(t.orchestrator.public))),
    ),
    "the orchestrator's key of low order": (
        "nothing",
        6,
        lambda t: _genesis(
            t,
            orchestrator=dataclasses.replace(
                MemberKeys.of(t.orchestrator.public), ed25519=LOW_ORDER
            ),
        ),
    ),
    "an operator among the founders": ("nothing", 6, _reserved),
    "a log called as a member may be": (
        "nothing",
        6,
        lambda t: _genesis(t, origin="ledger"),
    ),
    "a publisher of no key": (
        "nothing",
        6,
        lambda t: _genesis(t, publisher=NO_PUBLISHER),
    ),
    "a later publisher of no key": (
        "plan",
        6,
        lambda t: _replace(t, publisher=NO_PUBLISHER),
    ),
    "a later log called as a member may be": (
        "plan",
        6,
        lambda t: _replace(t, origin="ledger"),
    ),
    "an auditor joins": ("plan", 6, lambda t: t.enrol("auditor")),
    "a founder called none": ("nothing", 6, _nobody),
    "a founder with other keys": (
        "nothing",
        6,
        _enrolled_with_others,
    ),
    "a founder with another fingerprint": ("nothing", 6, _other_prints),
    "a founder with another's key": (
        "nothing",
        6,
        lambda t: _shared(
            t, tlog_ml_dsa_44=lambda f: f.keys["alpha"].public.tlog_ml_dsa_44
        ),
    ),
    "a founder with the orchestrator's key": (
        "nothing",
        6,
        lambda t: _shared(t, tlog_ed25519=lambda f: f.orchestrator.public.ed25519),
    ),
    "a founder with one key twice": (
        "nothing",
        6,
        lambda t: _shared(t, tlog_ed25519=lambda f: f.keys["bravo"].public.ed25519),
    ),
    "a founder's key of low order": (
        "nothing",
        6,
        lambda t: _shared(t, tlog_ed25519=lambda _: LOW_ORDER),
    ),
    "two founders, one invitation": (
        "nothing",
        6,
        lambda t: _genesis(t, enrolments=_twice),
    ),
    "a change skipped": (
        "plan",
        6,
        lambda t: t.change(
            MemberSuspended(change=t.next_change + 1, org_id="bravo", reason="Left.")
        ),
    ),
    "approved by too few": (
        "plan",
        6,
        lambda t: t.change(suspension(t, "bravo"), approved_by=("alpha",)),
    ),
    "approved by a stranger": ("plan", 6, _approved_by_stranger),
    "another entry approved": ("plan", 6, _another_approved),
    "approved elsewhere": ("plan", 6, _approved(ledger=OTHER)),
    "approved too long ago": (
        "plan",
        6,
        _approved(expires=lambda t: t.now - timedelta(seconds=1)),
    ),
    "approved by another's key": ("plan", 6, _approved(signer="alpha")),
    "a member twice": (
        "plan",
        6,
        _enrol_again,
    ),
    "a new member called none": ("plan", 6, lambda t: t.enrol("none")),
    "a key twice": ("plan", 6, lambda t: _enrol(t, _twin(_fresh(t)))),
    "a known key": (
        "plan",
        6,
        lambda t: _enrol(
            t, _fresh(t, tlog_ed25519=t.keys["alpha"].public.tlog_ed25519)
        ),
    ),
    "a key of low order": (
        "plan",
        6,
        lambda t: _enrol(t, _fresh(t, tlog_ed25519=LOW_ORDER)),
    ),
    "a key in a second spelling": (
        "plan",
        6,
        lambda t: _enrol(t, _fresh(t, tlog_ed25519=SECOND_SPELLING)),
    ),
    "a founder's invitation": (
        "plan",
        6,
        lambda t: _enrol(
            t,
            entry_lies={"invitation_digest": sha256(b"invitation of alpha")},
            statement_lies={"invitation_digest": sha256(b"invitation of alpha")},
        ),
    ),
    "no proof": ("plan", 6, lambda t: _enrol(t, proven=False)),
    "another's proof": (
        "plan",
        6,
        lambda t: _enrol(t, statement_lies={"signer": "alpha"}),
    ),
    "another name proven": (
        "plan",
        6,
        lambda t: _enrol(t, statement_lies={"name": "Zulu"}),
    ),
    "a stranger rotates": ("plan", 6, lambda t: _rotate(t, "zulu")),
    "other keys rotated": ("plan", 6, lambda t: _rotate(t, previous=OTHER)),
    "rotated to known keys": (
        "plan",
        6,
        lambda t: _rotate(
            t, keys=_fresh(t, ml_dsa_65=t.keys["alpha"].public.ml_dsa_65)
        ),
    ),
    "another rotation proven": (
        "plan",
        6,
        lambda t: _rotate(t, said={"previous": OTHER}),
    ),
    "a stranger suspended": ("plan", 6, lambda t: t.change(suspension(t, "zulu"))),
    "the last member suspended": (
        "one member",
        6,
        lambda t: t.change(suspension(t, "alpha")),
    ),
    "an orchestrator with known keys": (
        "plan",
        6,
        lambda t: _replace(t, orchestrator=MemberKeys.of(t.keys["alpha"].public)),
    ),
    "a log called as before": (
        "plan",
        6,
        lambda t: _replace(t, origin="test.example/ledger"),
    ),
    "a ceremony of strangers": ("plan", 6, lambda t: _ceremony(t, holders=("zulu",))),
    "another ceremony": ("plan", 6, lambda t: _ceremony(t, fingerprint=OTHER)),
    "no threshold": ("genesis", 7, lambda t: t.adopt(threshold=0)),
    "half a threshold": ("genesis", 7, lambda t: t.adopt(threshold=1.5)),
    "no survivors wanted": ("genesis", 7, lambda t: t.adopt(min_survivors=None)),
    "no mode": ("genesis", 7, lambda t: t.adopt(collection_mode="")),
    "no method": ("genesis", 7, lambda t: t.adopt(aggregation_method=None)),
    "another plan's digest": (
        "genesis",
        7,
        lambda t: t.adopt(entry_lies={"plan_digest": OTHER}),
    ),
    "an unknown model withdrawn": ("round", 9, lambda t: retire(t, OTHER, SECOND)),
    "back to an unknown model": ("round", 9, lambda t: retire(t, SECOND, OTHER)),
    "back to the same": ("round", 9, lambda t: retire(t, SECOND, SECOND)),
    "withdrawn twice": ("withdrawn", 9, lambda t: retire(t, SECOND, FIRST)),
    "back to the withdrawn": ("withdrawn", 9, lambda t: retire(t, FIRST, SECOND)),
    "back for no reason": ("two rounds", 9, lambda t: retire(t, SECOND, FIRST)),
}
