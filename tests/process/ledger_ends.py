# SPDX-License-Identifier: Apache-2.0
"""Small true ledgers, one for each kind of newest block, as parts of a bundle.

Each ``Ending`` can be put together again with other parts, everything that follows from
them (digests, hashes, order, the newest head) made anew with the real keys. So a lie in
the newest block meets the rule that is there for it, and not only a broken hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from tests.unit.ledger.conftest import PUBLISHER, Federation

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.envelope import pre_authentication_encoding
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import bundle, entries, heads, note, statements
from fedxdr.ledger.block import hash_of
from fedxdr.ledger.entries import (
    KeyCeremony,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
)
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.statements import PrivacyClaim, RotationStatement

ORGANISATIONS = ("alpha", "bravo")
PRIVACY = {
    "mechanism": "dp-sgd",
    "unit": "event",
    "epsilon": 8,
    "delta": 1e-05,
    "noise_multiplier": 1.25,
    "sampling_rate": 0.01,
    "steps": 40,
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A ledger in parts; the newest block is what tests change.

    Attributes:
        told: who holds the keys.
        bodies: the blocks' bytes.
        beside: the envelopes' bytes of each block.
        models: files.
        earlier: size -> head, without the newest.
        signer: key of who signs the newest head.
        origin: the ledger's name in that head.
        witnesses: organisation -> key, those who cosign it.
    """

    told: Federation
    bodies: list[bytes]
    beside: list[list[bytes]]
    models: list[bytes]
    earlier: dict[int, bytes]
    signer: IdentityKey
    origin: str
    witnesses: dict[str, IdentityKey]
    header: dict[str, Any] = field(default_factory=dict)

    def head(self, bodies: list[bytes], **lies: Any) -> bytes:
        """Return the newest head, over these bodies."""
        hashes = [hash_of(body) for body in bodies]
        truth = {
            "origin": self.origin,
            "size": len(bodies),
            "root": heads.root_of(hashes),
            "at": self.told.now,
        }
        signed = heads.sign(lies.pop("signer", self.signer), **truth | lies)
        lines = [
            line
            for org, key in self.witnesses.items()
            for line in heads.cosign(signed, key, org=org, at=self.told.now)
        ]
        found = note.parse(signed)
        return Note(text=found.text, signatures=(*found.signatures, *lines)).to_bytes()

    def lines(
        self,
        *,
        body: bytes | None = None,
        beside: list[bytes] | None = None,
        newest: str | None = None,
    ) -> list[bytes]:
        """Return the lines of the bundle, with another newest block or head."""
        bodies, besides = list(self.bodies), list(self.beside)
        bodies[-1] = self.bodies[-1] if body is None else body
        besides[-1] = self.beside[-1] if beside is None else beside
        header = {
            "blocks": len(bodies),
            "format": bundle.FORMAT,
            "heads": len(self.earlier),
            "models": len(self.models),
            "origin": json.loads(self.bodies[0])["entry"]["origin"],
            "version": 2,
        }
        found = [jcs(header | self.header)]
        found += [
            b'{"block":%b,"envelopes":[%b],"hash":%b}'
            % (one, b",".join(by), jcs(hash_of(one)))
            for one, by in zip(bodies, besides, strict=True)
        ]
        files = sorted((sha256(file), file) for file in self.models)
        found += [
            b'{"data":"%b","sha256":"%b"}' % (base64.b64encode(file), name.encode())
            for name, file in files
        ]
        found += [
            b'{"head":%b,"size":%d}' % (jcs(head.decode()), size)
            for size, head in sorted(self.earlier.items())
        ]
        head = self.head(bodies).decode() if newest is None else newest
        return [*found, b'{"digest":"","head":%b}' % dump(head)]

    def bound(self, value: dict[str, Any], beside: list[bytes]) -> bytes:
        """Return the newest body with another value, bound to these envelopes."""
        digests = sorted(hashlib.sha256(raw).hexdigest() for raw in beside)
        bound = {"signatures_digest": sha256(jcs(digests))}
        return dump(value | bound)

    def signed(self, payload: bytes, kind: str, signers: list[IdentityKey]) -> bytes:
        """Return an envelope over a payload, twice signed by each of these keys."""
        message = pre_authentication_encoding(kind, payload)
        made = [
            (keyid, sign(message))
            for key in signers
            for keyid, sign in (
                (key.public.keyid, key.sign),
                (key.public.ml_dsa_keyid, key.sign_ml_dsa_65),
            )
        ]
        return jcs(
            {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": kind,
                "signatures": [
                    {"keyid": keyid, "sig": base64.b64encode(sig).decode()}
                    for keyid, sig in made
                ],
            }
        )

    def key_of(self, envelope: bytes) -> IdentityKey:
        """Return the key that signed an envelope of this ledger."""
        keyid = json.loads(envelope)["signatures"][0]["keyid"]
        everybody = (*self.told.keys.values(), *self.told.spare.values())
        return next(key for key in everybody if key.public.keyid == keyid)


def in_order(beside: list[bytes]) -> list[bytes]:
    """Return envelopes as they lie beside a block."""
    return sorted(beside, key=lambda raw: hashlib.sha256(raw).digest())


def closed(lines: list[bytes]) -> bytes:
    """Return a bundle of lines, the digest in the last one made right."""
    before = b"".join(line + b"\n" for line in lines[:-1])
    head = lines[-1].split(b'"head":', 1)[1]
    digest = hashlib.sha256(before).hexdigest().encode()
    return before + b'{"digest":"' + digest + b'","head":' + head + b"\n"


def dump(value: Any) -> bytes:
    """Return canonical JSON, or what is nearest to it for what has none."""
    try:
        return jcs(value)
    except MalformedMessage:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return text.encode("utf-8", "surrogatepass")


@cache
def ending(kind: str) -> Ending:
    """Return the ledger that ends in a block of a kind, see ``KINDS``."""
    told = Federation(ORGANISATIONS)
    told.spare = {
        name: IdentityKey.generate(SeededEntropy(seed))
        for name, seed in (("rotated", 51), ("orchestrator", 52), ("stranger", 53))
    }
    told.begin()
    if kind != "genesis":
        told.adopt(**({"privacy": PRIVACY} if kind == "private" else {}))
    if kind in ("retired", "second"):
        told.commit()
    before = told.standing()
    witnesses = {org: told.keys[org] for org in sorted(before.members)}
    signer, origin = told.orchestrator, before.log.origin
    models = [told.models[-1]]
    KINDS[kind](told)
    if kind == "retired":
        models = [told.models[0]]
    elif kind not in ("genesis", "plan"):
        models = [told.models[-1]]
    if kind == "orchestrator":
        signer, origin = told.spare["orchestrator"], "new.example/ledger"
    return Ending(
        told=told,
        bodies=[signed.block.body() for signed in told.blocks],
        beside=[[e.to_json() for e in signed.envelopes] for signed in told.blocks],
        models=models,
        earlier={},
        signer=signer,
        origin=origin,
        witnesses=witnesses,
    )


def turned() -> Ending:
    """Return a ledger with an earlier head: a member joined before the last round."""
    told = Federation(ORGANISATIONS).founded()
    told.spare = {}
    told.enrol("charlie").commit()
    return Ending(
        told=told,
        bodies=[signed.block.body() for signed in told.blocks],
        beside=[[e.to_json() for e in signed.envelopes] for signed in told.blocks],
        models=[told.models[-1]],
        earlier={3: told.heads()[3]},
        signer=told.orchestrator,
        origin=told.standing().log.origin,
        witnesses=dict(sorted(told.keys.items())),
    )


def _private(told: Federation) -> None:
    claim = PrivacyClaim(clipping_norm=1.0, own=3, **PRIVACY | {"epsilon": 2.5})
    told.commit(contribution_lies={"privacy": claim})


def _rotate(told: Federation) -> None:
    keys, name = MemberKeys.of(told.spare["rotated"].public), "bravo"
    previous = told.keys[name].public.fingerprint
    statement = RotationStatement(
        org=name, keys=keys, previous=previous, issued_at=told.now
    )
    told.change(
        MemberKeyRotated(
            change=told.next_change, org_id=name, keys=keys, previous=previous
        ),
        [statements.sign(statement, told.spare["rotated"])],
    )


def _replace_orchestrator(told: Federation) -> None:
    told.change(
        OrchestratorReplaced(
            change=told.next_change,
            orchestrator=MemberKeys.of(told.spare["orchestrator"].public),
            publisher=PUBLISHER,
            origin="new.example/ledger",
        )
    )


def _hold_ceremony(told: Federation) -> None:
    record = {"bits": 3072, "shares": [1, 2.5, None, True, {"é": "\U0001f600"}]}
    told.change(
        KeyCeremony(
            change=told.next_change,
            record=record,
            fingerprint=entries.ceremony_fingerprint(record),
            holders=ORGANISATIONS,
        )
    )


def _suspend(told: Federation) -> None:
    told.change(
        MemberSuspended(change=told.next_change, org_id="bravo", reason="Left us.")
    )


def _retire(told: Federation) -> None:
    before = told.standing()
    told.change(
        ModelRetired(
            change=told.next_change,
            model_hash=sha256(told.models[1]),
            successor=sha256(told.models[0]),
            reason="It missed an attack.",
        ),
        model_hash=sha256(told.models[0]),
        provenance=replace(
            told.last.provenance.__class__(model_version=before.model_version),
            model_version="v0",
        ),
    )


KINDS = {
    "genesis": lambda _: None,
    "plan": lambda _: None,
    "round": lambda told: told.commit(),
    "second": lambda told: told.commit(survivors=("alpha", "bravo")),
    "private": _private,
    "failed": lambda told: told.fail("round-7"),
    "enrolled": lambda told: told.enrol("charlie"),
    "rotated": _rotate,
    "suspended": _suspend,
    "orchestrator": _replace_orchestrator,
    "ceremony": _hold_ceremony,
    "retired": _retire,
}
