# SPDX-License-Identifier: Apache-2.0
"""A change as it is seen: whole, on the narrowest terminal, the differences first."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from fedxdr.app.agreed import Agreed
from fedxdr.cli import showing
from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.words import words_of
from fedxdr.ledger import entries, statements
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
)
from fedxdr.ledger.statements import EnrolmentStatement
from fedxdr.parties.changes import ProposedChange

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
AURORA = OrgId("aurora")
KEY = IdentityKey(seed=bytes(range(32)))
KEYS = MemberKeys.of(KEY.public)
PUBLISHER = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
) + bytes(range(64))
PLAN = {
    "clip_norm": 10.0,
    "helpers": [],
    "privacy": {"mechanism": "none", "epsilon": 8.0, "constants": {}},
    "run_id": "one",
    "old": "thing",
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("fedxdr.cli.console.OUT.width", 40, raising=False)


@pytest.fixture
def shown(capsys):
    def show(change, known=None):
        showing.show(change, known)
        return capsys.readouterr().out

    return show


def proposed(entry, *envelopes, by="operator"):
    return ProposedChange(
        digest=entries.entry_digest(entry),
        entry=entry,
        envelopes=envelopes,
        proposed_by=by,
        proposed_at=AT,
        approved_by=(),
    )


def agreed(plan=PLAN):
    return Agreed(
        genesis=sha256(b"genesis"),
        blocks=3,
        newest_at=AT,
        orchestrator=sha256(b"orchestrator"),
        members={AURORA: KEYS.fingerprint},
        plan=plan,
        plan_digest="" if plan is None else entries.plan_digest(plan),
    )


def adopting(plan):
    return proposed(
        PlanAdopted(change=2, plan=plan, plan_digest=entries.plan_digest(plan))
    )


CHANGED = {
    "clip_norm": 5,
    "helpers": ["aurora", "borealis"],
    "privacy": {"mechanism": "none", "epsilon": 16.0, "constants": {}},
    "run_id": "one",
    "new.field": True,
}

RECORD = {
    "key": {"modulus": "f" * 600, "holders": ["aurora"]},
    "boxes": [sha256(b"box"), sha256(b"other")],
}

CHANGES = [
    (
        Genesis(
            federation="drill", origin="drill.example/ledger", orchestrator=KEYS,
            publisher=PUBLISHER, created=AT, protocol_version=1,
            initial_model=sha256(b"model"), layout_digest=sha256(b"layout"),
            founders={AURORA: KEYS.fingerprint},
        ),
        ["drill.example/ledger", sha256(b"model"), sha256(b"layout")],
    ),
    (
        MemberEnrolled(
            change=1, org_id=AURORA, name="Aurora GmbH", keys=KEYS,
            data_sources=("suricata-eve", "zeek-conn"),
            invitation_digest=sha256(b"invitation"),
        ),
        ["Aurora GmbH", '["suricata-eve","zeek-conn"]', sha256(b"invitation")],
    ),
    (
        MemberKeyRotated(
            change=1, org_id=AURORA, keys=KEYS, previous=sha256(b"previous")
        ),
        [sha256(b"previous")],
    ),
    (
        MemberSuspended(change=1, org_id=AURORA, reason="left " * 30 + "us"),
        ["left " * 30 + "us"],
    ),
    (
        OrchestratorReplaced(
            change=1, orchestrator=KEYS, publisher=PUBLISHER, origin="new.example/log"
        ),
        ["new.example/log", canonical.builtins(PUBLISHER)],
    ),
    (
        ModelRetired(
            change=1, model_hash=sha256(b"bad"), successor=sha256(b"good"),
            reason="it was poisoned",
        ),
        [sha256(b"bad"), sha256(b"good"), "it was poisoned"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "said"), CHANGES, ids=lambda e: type(e).__name__)
def test_every_field_and_whose_keys_it_is_about(shown, entry, said):
    change = proposed(entry)
    out = shown(change, agreed())
    assert change.digest in out
    if not isinstance(entry, ModelRetired):
        assert KEYS.fingerprint in out
        assert " ".join(words_of(KEYS.fingerprint)) in out
    for text in said:
        assert text in out
    for name in canonical.builtins(entry):
        if name not in {"type", "org_id", "keys", "orchestrator", "founders"}:
            assert f"\n  {name} " in out
    assert "…" not in out
    found = json.loads(json.dumps(showing.told(change, agreed())))
    assert canonical.jcs(found["entry"]) == canonical.encode(entry)
    assert entries.parse(found["entry"]) == entry


def test_a_ceremony_is_shown_with_its_record(shown):
    entry = KeyCeremony(
        change=1,
        record=RECORD,
        fingerprint=entries.ceremony_fingerprint(RECORD),
        holders=(AURORA,),
    )
    out = shown(proposed(entry))
    assert entry.fingerprint in out
    assert "f" * 600 in out
    assert "record.key.modulus" in out
    assert sha256(b"other") in out
    assert showing.told(proposed(entry), None)["entry"]["record"] == RECORD


def test_who_applied_is_named_as_it_enrolled_itself(shown):
    entry = CHANGES[1][0]
    statement = EnrolmentStatement(
        org=AURORA, name="Aurora GmbH", keys=KEYS, data_sources=entry.data_sources,
        invitation_digest=entry.invitation_digest,
        issued_at=AT,
    )  # fmt: skip
    change = proposed(entry, statements.sign(statement, KEY))
    assert "keys of aurora (Aurora GmbH)" in shown(change)


def test_without_a_ledger_of_ones_own_a_suspension_has_no_keys_to_show(shown):
    change = proposed(CHANGES[3][0])
    assert showing.told(change, None)["fingerprints"] == {}
    assert "keys of" not in shown(change)


# Plans.


def test_what_differs_from_the_plan_in_force_comes_first(shown):
    change = adopting(CHANGED)
    out = shown(change, agreed())
    first, then = out.split("As in force:")
    assert entries.plan_digest(PLAN) in first
    assert change.entry.plan_digest in first
    lines = [" ".join(line.split()) for line in first.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.endswith("old -> new:"))
    assert lines[begin + 1 :] == [
        "clip_norm 10 -> 5",
        'helpers [] -> ["aurora","borealis"]',
        '"new.field" absent -> true',
        'old "thing" -> absent',
        "privacy.epsilon 8 -> 16",
    ]
    assert [" ".join(line.split()) for line in then.split("\n") if line] == [
        "privacy.constants {}", 'privacy.mechanism "none"', 'run_id "one"',
    ]  # fmt: skip
    assert showing.told(change, agreed())["differences"] == [
        {"field": "clip_norm", "old": 10.0, "new": 5},
        {"field": "helpers", "old": [], "new": ["aurora", "borealis"]},
        {"field": '"new.field"', "new": True},
        {"field": "old", "old": "thing"},
        {"field": "privacy.epsilon", "old": 8.0, "new": 16.0},
    ]


def test_a_plan_that_changes_nothing_says_so(shown):
    out = shown(adopting(PLAN | {"clip_norm": 10}), agreed())
    assert "old -> new:\n  nothing\n" in out
    assert "run_id" in out


@pytest.mark.parametrize("known", [None, agreed(None)], ids=["no-ledger", "no-plan"])
def test_of_the_first_plan_all_is_new(shown, known):
    out = shown(adopting(CHANGED), known)
    assert "No plan is in force here: all of it is new." in out
    for text in ("clip_norm", "privacy.epsilon", '"new.field"'):
        assert text in out
    assert showing.told(adopting(CHANGED), known)["differences"] == []


def test_two_fields_never_pass_for_one(shown):
    """A name with a dot in it hides no other field."""
    old = {"privacy": {"mechanism": "dp-sgd"}}
    new = {**old, "privacy.mechanism": "none"}
    out = shown(adopting(new), agreed(old))
    assert '"privacy.mechanism"' in out
    assert 'absent -> "none"' in out


def test_the_plan_in_force_is_shown_whole(capsys):
    showing.show_plan_in_force(agreed())
    out = capsys.readouterr().out
    assert entries.plan_digest(PLAN) in out
    for line in ("clip_norm 10", "privacy.epsilon 8", 'old "thing"'):
        assert line in " ".join(out.split())
    showing.show_plan_in_force(agreed(None))
    assert capsys.readouterr().out == "No plan is in force yet.\n"


# What others wrote.


def test_nothing_that_others_wrote_moves_the_cursor_or_is_marked_up(shown):
    plan = {"run_id": "one\u202e\x1b[2Atwo", "\x1b[8m": "[bold]:warning:[/bold]"}
    change = dataclasses.replace(adopting(plan), proposed_by="x\x1b[2K[red]")
    out = shown(change)
    assert "\x1b" not in out.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\u202e" not in out
    assert r"one\u202e\u001b[2Atwo" in out
    assert "[bold]:warning:[/bold]" in out
    assert r"x\u001b[2K[red]" in out
