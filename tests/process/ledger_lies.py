# SPDX-License-Identifier: Apache-2.0
"""One lie for each rule of blocks: all is signed, hashed and cosigned, and untrue.

``LIES`` maps a name to the ledger before it, the step at which it must be refused, and
what appends it. Chance (ledger_mutations.py) seldom tells a lie so consistently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.process.ledger_ends import (
    ORGANISATIONS,
    PRIVACY,
    Ending,
    closed,
    ending,
    turned,
)
from tests.unit.ledger.conftest import PUBLISHER, Federation

from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import cosignature, entries, statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.entries import (
    KeyCeremony,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    RoundFailed,
)
from fedxdr.ledger.note_form import COSIGNATURE_ED25519, NoteSignature, VerifierKey
from fedxdr.ledger.statements import PrivacyClaim, RotationStatement

LOW_ORDER = b"\x01" + bytes(31)
SECOND_SPELLING = b"\xf0" + b"\xff" * 30 + b"\x7f"  # y = p + 3
OTHER = sha256(b"another")
FIRST, SECOND = sha256(b"model 0"), sha256(b"model 1")


def bundle_of(name: str) -> bytes:
    """Return the bundle of a ledger that ends in a lie."""
    before, _, lie = LIES[name]
    told = Federation(ORGANISATIONS)
    told.spare = {
        kind: IdentityKey.generate(SeededEntropy(seed))
        for kind, seed in (("fresh", 61), ("orchestrator", 62))
    }
    BEFORE[before](told)
    earlier = {
        size: told.head(size)
        for size in range(2, len(told.blocks) + 1)
        if told.standing(size).is_turn
    }
    members = told.standing().members
    witnesses = {org: told.keys[org] for org in sorted(members)}
    lie(told)
    witnesses = witnesses or dict(sorted(told.keys.items()))
    signer, origin = told.orchestrator, "test.example/ledger"
    if isinstance(told.last.entry, OrchestratorReplaced):
        signer, origin = told.spare["orchestrator"], told.last.entry.origin
    true = Ending(
        told=told,
        bodies=[signed.block.body() for signed in told.blocks],
        beside=[[e.to_json() for e in signed.envelopes] for signed in told.blocks],
        models=[told.models[-1]],
        earlier=earlier,
        signer=signer,
        origin=origin,
        witnesses=witnesses,
    )
    return closed(true.lines())


def step_of(name: str) -> int:
    """Return the step at which a lie must be refused."""
    return LIES[name][1]


BEFORE: dict[str, Callable[[Federation], Any]] = {
    "nothing": lambda _: None,
    "genesis": lambda told: told.begin(),
    "plan": lambda told: told.founded(),
    "one accepts": lambda told: told.begin().adopt(threshold=1),
    "round": lambda told: told.founded().commit(),
    "two rounds": lambda told: told.founded().commit().commit(),
    "private": lambda told: told.begin().adopt(privacy=PRIVACY),
    "vague": lambda told: told.begin().adopt(privacy={"mechanism": "dp-sgd"}),
    "one member": lambda told: told.founded().change(_suspension(told, "bravo")),
    "withdrawn": lambda told: _retire(told.founded().commit(), SECOND, FIRST),
}


# Rounds


def _alike(metrics: dict[str, float] | None = None, **provenance: Any) -> Any:
    """Return a lie about figures or provenance, told by the acceptances as well."""

    def lie(told: Federation) -> None:
        said = {
            name: provenance[name]
            for name in ("parent_model", "data_volume", "privacy_params")
            if name in provenance
        }
        if metrics:
            figures = {"round": told.rounds + 1, **_figures(told), **metrics}
            said["figures"] = {k: v for k, v in figures.items() if k != "num_clients"}
        stated = (
            {"parent_model": said["parent_model"]} if "parent_model" in said else {}
        )
        told.commit(
            metrics_lies=metrics,
            provenance_lies=provenance,
            acceptance_lies=said,
            contribution_lies=stated,
        )

    return lie


def _figures(told: Federation) -> dict[str, float]:
    return {k: v for k, v in told.figures().items() if k != "round"}


def _claim(**lies: Any) -> Any:
    made = {"clipping_norm": 1.0, **PRIVACY, "epsilon": 2.5} | lies
    claim = PrivacyClaim(**{k: v for k, v in made.items() if v is not None})
    return lambda told: told.commit(contribution_lies={"privacy": claim})


def _contributed(told: Federation) -> None:
    given = {org: sha256(b"round-1", org.encode()) for org in (*ORGANISATIONS, "zulu")}
    root = contributions_root(given)
    told.commit(
        entry_lies={"contributions": given, "contributions_root": root},
        acceptance_lies={"contributions": given, "contributions_root": root},
    )


def _unsaid(told: Federation) -> None:
    """Say that both are in the sum, though one alone stated that it is."""
    told.commit(
        survivors=("alpha",), entry_lies={"survivors": ORGANISATIONS, "dropouts": ()}
    )


def _accepted_by_one(told: Federation) -> None:
    told.commit(accepted=[_acceptance(told, "alpha", ORGANISATIONS)])


def _accepted_unasked(told: Federation) -> None:
    accepted = [_acceptance(told, org, ("alpha",)) for org in ORGANISATIONS]
    told.commit(cohort=("alpha",), accepted=accepted)


def _acceptance(told: Federation, org: str, survivors: tuple[str, ...]) -> Any:
    """Return what an organisation says of the next round."""
    number = told.rounds + 1
    given = [told.contribution(one, f"round-{number}") for one in survivors]
    figures = {"round": number, **_figures(told)}
    model = f"model {number}".encode()
    return told.acceptance(org, f"round-{number}", model, given, figures=figures)


def _accepted_by_stranger(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.commit(cohort=("alpha", "bravo", "zulu"), survivors=ORGANISATIONS)


def _survives_unknown(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.commit()


# Changes


def _suspension(told: Federation, org: str) -> MemberSuspended:
    return MemberSuspended(change=told.next_change, org_id=org, reason="Left us.")


def _retire(told: Federation, model: str, successor: str) -> Federation:
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
        entry = _suspension(told, "bravo")
        said = {k: v(told) if callable(v) else v for k, v in lies.items()}
        by = [told.approval(org, entry, **said) for org in ORGANISATIONS]
        told.append(entry, by)

    return lie


def _approved_by_stranger(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.change(_suspension(told, "bravo"), approved_by=("alpha", "bravo", "zulu"))


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
    other = _suspension(told, "alpha")
    by = [told.approval(org, other) for org in ORGANISATIONS]
    told.append(_suspension(told, "bravo"), by)


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


def _nobody(told: Federation) -> None:
    told.keys["none"] = told.keys.pop("bravo")
    told.begin()


def _failed(told: Federation, **lies: Any) -> None:
    truth = {
        "round_id": "round-9",
        "phase": "shares",
        "reason": "too-few-participants",
        "sentence": "Only one answered.",
    }
    beside = lies.pop("beside", ())
    fields = {k: lies.pop(k) for k in ("survivors", "round_id") if k in lies}
    told.append(RoundFailed(**truth | fields), beside, **lies)


LIES: dict[str, tuple[str, int, Callable[[Federation], Any]]] = {
    # 7: plan, counts, figures, provenance
    "no plan": ("genesis", 7, lambda t: t.commit()),
    "another plan": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"plan_digest": OTHER}),
    ),
    "dropouts of nobody": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"dropouts": ("zulu",)}),
    ),
    "too few survivors": ("one accepts", 7, lambda t: t.commit(survivors=("alpha",))),
    "collected otherwise": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"collection_mode": "clear"}),
    ),
    "a figure below zero": ("plan", 7, _alike({"convergence": -1.0})),
    "other clients": ("plan", 7, _alike({"num_clients": 3.0})),
    "no weight": ("plan", 7, _alike({"survivors_weight": 0.0})),
    "an old round": ("round", 7, _alike({"round": 1.0})),
    "half a round": ("round", 7, _alike({"round": 2.5})),
    "another round's provenance": ("plan", 7, _alike(round_id="round-8")),
    "no round's provenance": ("plan", 7, _alike(round_id=None)),
    "trained by one": ("plan", 7, _alike(training_orgs=("alpha",))),
    "aggregated otherwise": ("plan", 7, _alike(aggregation_method="krum")),
    "volume of a stranger": (
        "plan",
        7,
        _alike(data_volume={"alpha": 128, "bravo": 128, "zulu": 1}),
    ),
    "trained otherwise": ("plan", 7, _alike(training_config={"clip_norm": 2})),
    "sources of nobody": ("plan", 7, _alike(data_sources=("zeek-conn",))),
    # 8: privacy
    "claims of a stranger": (
        "plan",
        8,
        _alike(
            privacy_params=dict.fromkeys(
                ("alpha", "bravo", "zulu"), statements.NO_PRIVACY
            )
        ),
    ),
    "figures without a mechanism": (
        "plan",
        8,
        lambda t: t.commit(
            contribution_lies={"privacy": PrivacyClaim(mechanism="none", steps=1)}
        ),
    ),
    "a mechanism without a plan": ("plan", 8, _claim()),
    "no mechanism": ("private", 8, lambda t: t.commit()),
    "another mechanism": ("private", 8, _claim(mechanism="laplace")),
    "another unit": ("private", 8, _claim(unit="entity")),
    "another delta": ("private", 8, _claim(delta=1e-06)),
    "less noise": ("private", 8, _claim(noise_multiplier=1.0)),
    "another rate": ("private", 8, _claim(sampling_rate=0.02)),
    "other steps": ("private", 8, _claim(steps=41)),
    "steps untold": ("private", 8, _claim(steps=None)),
    "nothing promised": ("vague", 8, _claim()),
    "too much spent": ("private", 8, _claim(epsilon=8.5)),
    "nothing spent": ("private", 8, _claim(epsilon=0.0)),
    "spending untold": ("private", 8, _claim(epsilon=None)),
    # 9: lineage
    "a round twice": ("round", 9, lambda t: t.commit("round-1")),
    "a round that failed before": (
        "plan",
        9,
        lambda t: t.fail("round-1").commit("round-1"),
    ),
    "another parent": ("plan", 9, _alike(parent_model=OTHER)),
    "a model twice": ("two rounds", 9, lambda t: t.commit(model=b"model 1")),
    "failed after it committed": ("round", 9, lambda t: t.fail("round-1")),
    "another model without a round": (
        "plan",
        9,
        lambda t: _failed(t, model_hash=OTHER),
    ),
    # 4 and 5: statements
    "contributions of a stranger": ("plan", 4, _contributed),
    "another root": (
        "plan",
        4,
        lambda t: t.commit(
            entry_lies={"contributions_root": OTHER},
            acceptance_lies={"contributions_root": OTHER},
        ),
    ),
    "another volume": (
        "plan",
        4,
        lambda t: t.commit(provenance_lies={"data_volume": {"alpha": 1, "bravo": 1}}),
    ),
    "one contribution unsaid": (
        "plan",
        4,
        _unsaid,
    ),
    "accepted by one": (
        "plan",
        5,
        _accepted_by_one,
    ),
    "rejected by both": (
        "plan",
        5,
        lambda t: t.commit(acceptance_lies={"verdict": "rejected", "reason": "No."}),
    ),
    "accepted by who was not asked": (
        "one accepts",
        5,
        _accepted_unasked,
    ),
    "signed though it failed": (
        "plan",
        5,
        lambda t: _failed(t, org_signatures={"alpha": OTHER}),
    ),
    "figures though it failed": (
        "plan",
        7,
        lambda t: _failed(t, aggregation_metrics={"round": 1.0}),
    ),
    "envelopes though it failed": (
        "plan",
        5,
        lambda t: _failed(t, beside=[t.contribution("alpha", "round-9")]),
    ),
    # 6: members
    "failed for strangers": ("plan", 6, lambda t: _failed(t, survivors=("zulu",))),
    "a stranger in the cohort": ("plan", 6, _accepted_by_stranger),
    "a stranger in the sum": ("plan", 6, _survives_unknown),
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
        lambda t: t.change(_suspension(t, "bravo"), approved_by=("alpha",)),
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
    "a stranger suspended": ("plan", 6, lambda t: t.change(_suspension(t, "zulu"))),
    "the last member suspended": (
        "one member",
        6,
        lambda t: t.change(_suspension(t, "alpha")),
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
    "an unknown model withdrawn": ("round", 9, lambda t: _retire(t, OTHER, SECOND)),
    "back to an unknown model": ("round", 9, lambda t: _retire(t, SECOND, OTHER)),
    "back to the same": ("round", 9, lambda t: _retire(t, SECOND, SECOND)),
    "withdrawn twice": ("withdrawn", 9, lambda t: _retire(t, SECOND, FIRST)),
    "back to the withdrawn": ("withdrawn", 9, lambda t: _retire(t, FIRST, SECOND)),
    "back for no reason": ("two rounds", 9, lambda t: _retire(t, SECOND, FIRST)),
}


_STRANGER = "— zulu AAAAAAA=\n"


def _in_the_future(head: str) -> str:
    """Return a head that a member cosigned, well, at a time that is none."""
    org, key = next(iter(ending("round").witnesses.items()))
    body = head.split("\n\n", 1)[0].encode() + b"\n"
    found = VerifierKey(
        name=org, kind=COSIGNATURE_ED25519, public_key=key.public.tlog_ed25519
    )
    message = cosignature.message_of(body, key=found, timestamp=2**63)
    signed = (2**63).to_bytes(8, "big") + key.sign_tlog_ed25519(message)
    line = NoteSignature(name=org, key_id=found.key_id, signature=signed).line()
    return head + line


HEADS: dict[str, tuple[int, Callable[[str], str]]] = {
    "a line by a stranger": (11, lambda head: head + _STRANGER),
    "a line by a stranger under the log's name": (
        11,
        lambda head: head + _STRANGER.replace("zulu", "test.example/ledger"),
    ),
    "a line from beyond time": (11, _in_the_future),
    "a line twice": (11, lambda head: head + head.split("\n")[-2] + "\n"),
    "the last newline missing": (10, lambda head: head[:-1] + "x"),
    "a control character": (10, lambda head: head + _STRANGER.replace("u", "\x01")),
    "a space of Unicode": (10, lambda head: head + _STRANGER.replace("u", "\x85")),
    "another space of Unicode": (
        10,
        lambda head: head + _STRANGER.replace("u", "\u3000"),
    ),
    "no space of Unicode": (11, lambda head: head + _STRANGER.replace("u", "\ufeff")),
    "a plus in a name": (10, lambda head: head + _STRANGER.replace("u", "+")),
    "no room for a signature": (
        10,
        lambda head: head + _STRANGER.replace("AAAAAAA=", "AAAAAA=="),
    ),
    "spare bits": (10, lambda head: head + _STRANGER.replace("AAA=", "AAB=")),
    "more lines than there may be": (10, lambda head: head + _STRANGER * 1_020),
    "as many lines as there may be": (11, lambda head: head + _STRANGER * 1_018),
    "more bytes than there may be": (
        10,
        lambda head: head + _STRANGER.replace("zulu", "u" * 999_000),
    ),
    "an extension": (10, lambda head: head.replace("\n\n", "\nmore\n\n")),
}


def unasked() -> dict[str, bytes]:
    """Return bundles without the head over a turn, and with one over none (11)."""
    plain = ending("round")
    more = dataclasses.replace(plain, earlier={2: plain.told.head(2)})
    return {
        "no head over a turn": closed(
            dataclasses.replace(turned(), earlier={}).lines()
        ),
        "a head over no turn": closed(more.lines()),
    }


def headed(name: str) -> tuple[bytes, int]:
    """Return a bundle whose newest head has another form, and its step."""
    true = ending("round")
    step, change = HEADS[name]
    head = true.head(list(true.bodies)).decode()
    return closed(true.lines(newest=change(head))), step
