# SPDX-License-Identifier: Apache-2.0
"""``agent run --dry-run``: prints exactly the bytes and fields that would leave.

Rounds of the plan in force, or of one with wishes, are rehearsed in this process
(rehearsal.py); every message is shown with its fields and values, large values by
length, digest and first bytes.

It does NOT send anything. Ledger and model are read from the orchestrator, as every
agent does when it starts, only where the agent has not got them yet, and it says so.

Rule that always holds: with ``--json`` nothing is left out, and with ``--out`` the file
holds the very bytes.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import cbor2

from fedxdr.app.participating import OpenParticipant
from fedxdr.cli.console import OUT, print_json
from fedxdr.cli.rehearsal import Rehearsed, rehearse, tasks_of
from fedxdr.core import canonical
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.plan import MINIMUM_SURVIVORS, Plan, default_threshold
from fedxdr.federation.sessions import Step
from fedxdr.models import snapshot
from fedxdr.parties.ports import Link
from fedxdr.parties.recording import InForce
from fedxdr.parties.testimony import Heard, Testimony

SHOWN_BYTES: Final = 32
"""How much of a large value people are shown, in hexadecimal."""

_LONG: Final = 120


def print_dry_run(
    opened: OpenParticipant,
    learner: Any,  # noqa: ANN401 - a Trainer; its type needs torch
    wishes: Sequence[str],
    *,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rehearse the rounds of a plan and print what our link would send.

    Args:
        opened: the agent.
        learner: its data and fit.
        wishes: ``FIELD=JSON`` of another plan than the one in force.
        out: where the exact bytes go, if anywhere.
        as_json: whether everything is printed whole, as one object.

    Raises:
        InvalidInput, Refused: this organisation would refuse the round; says why.
    """
    was_read = not is_known_here(opened)
    if was_read:
        # ledger and model are read, as every agent does when it starts
        opened.follow_ledger()
        opened.participant.model()
    in_force = opened.participant.mirror.in_force
    plan = rehearsed_plan(in_force, opened.participant.model(), wishes)
    org = OrgId(opened.file.org)
    rehearsals = [
        rehearse(
            task,
            org=org,
            members=in_force.cohort,
            plan=plan,
            model=snapshot.load(opened.participant.model()).vector,
            learner=learner,
            ceremony=in_force.ceremonies.get(Digest(plan.paillier_key)),
            share_of=opened.share_of,
        )
        for task in tasks_of(plan)
    ]
    told = {
        "org_id": org,
        "events_read": learner.events,
        "examples": learner.samples(),
        "collection_mode": plan.collection_mode,
        "privacy": canonical.builtins(plan.privacy),
        "plan_is_in_force": in_force.plan == plan,
        "read_from_orchestrator": was_read,
        "sent": 0,
        **report(rehearsals),
    }
    if out is not None:
        out.write_bytes(bodies(rehearsals))
    if as_json:
        print_json(told)
        return
    print(f"What would leave {org} in mode {plan.collection_mode}; nothing was sent")
    for line in lines(told):
        print(line)
    OUT.print(
        f"{told['bytes']:,} bytes of bodies in all. Signatures, keys and masks are of "
        "a rehearsal: a real round has others, of the same kinds and lengths. Every "
        "request also carries the fingerprint of this organisation's key, a nonce, the "
        "time and a signature; reading names rounds, steps and digests. Beside rounds "
        "an agent sends two signature lines for each head of the ledger, and signed "
        "approvals of plans within its floor and of key ceremonies (with --ask: none).",
        highlight=False,
    )
    if told["missing"]:
        OUT.print(
            f"Not rehearsed, for others would have to act first: "
            f"{', '.join(told['missing'])}.",
            highlight=False,
        )


class _Reading:
    """A link that reads; what it is to send stays here."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method that reads
        return getattr(self._link, name)

    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        """Keep a message."""

    def cosign(self, size: int, lines: bytes) -> None:
        """Keep a cosignature."""

    def approve(self, digest: Digest, approval: Envelope) -> None:
        """Keep an approval."""

    def testify(self, said: Testimony) -> Heard:
        """Keep what we saw of the ledger."""
        return Heard(size=said.begin)


def reading_only(link: Link) -> Link:
    """Return the way to the orchestrator on which nothing is sent."""
    return cast("Link", _Reading(link))


def is_known_here(opened: OpenParticipant) -> bool:
    """Return whether plan and model are in the agent's folder already."""
    mirror = opened.participant.mirror
    if not mirror.is_begun or mirror.in_force.plan is None:
        return False
    return opened.blobs.has(mirror.in_force.model)


def rehearsed_plan(in_force: InForce, model: bytes, wishes: Sequence[str]) -> Plan:
    """Return the plan in force, or one as the settings make it, with wishes.

    Args:
        in_force: what the ledger says.
        model: the file of the model in force.
        wishes: ``FIELD=JSON``.

    Raises:
        InvalidPlan: wishes that make no plan.
        InvalidSettings: a wish without ``=``.
    """
    from fedxdr.app.orchestrating import plan_with  # noqa: PLC0415 - a server's parts
    from fedxdr.app.settings import plan_settings  # noqa: PLC0415 - the same
    from fedxdr.cli.serve import setting_of  # noqa: PLC0415 - the same

    plan = in_force.plan
    if plan is None:
        card = snapshot.load(model).card
        participants = max(MINIMUM_SURVIVORS, len(in_force.members))
        plan = Plan(
            federation=in_force.genesis.federation,
            run_id="run-1",
            participants=participants,
            threshold=default_threshold(participants),
            layout=card.layout,
            architecture=card.architecture,
            **plan_settings().plan_fields(),
        )
    return plan_with(plan, dict(setting_of(wish) for wish in wishes))


def report(rehearsals: Sequence[Rehearsed]) -> dict[str, Any]:
    """Return everything that would leave, whole: fields, values, bytes.

    Args:
        rehearsals: one for each kind of round.

    Returns:
        ``messages``: task, step, offset (in the concatenation of all bodies), bytes,
        sha256, ``parts`` (signed statements: type, fields, key that signed), ``vector``
        (base64, null without one), ``body`` (base64); ``reads`` and ``missing``.
    """
    messages, offset = [], 0
    for sent in (message for found in rehearsals for message in found.sent):
        parts, vector = parts_of(sent.body)
        messages.append(
            {
                "task": sent.task,
                "step": str(sent.step),
                "offset": offset,
                "bytes": len(sent.body),
                "sha256": sha256(sent.body),
                "parts": parts,
                "vector": None if vector is None else base64.b64encode(vector).decode(),
                "body": base64.b64encode(sent.body).decode(),
            }
        )
        offset += len(sent.body)
    reads: Counter[str] = Counter()
    for found in rehearsals:
        reads.update(found.reads)
    missing = sorted({step for found in rehearsals for step in found.missing})
    return {
        "messages": messages,
        "bytes": offset,
        "reads": dict(reads),
        "missing": missing,
    }


def parts_of(body: bytes) -> tuple[list[dict[str, Any]], bytes | None]:
    """Return the signed statements in a body, and the vector that goes with them.

    Args:
        body: of a message that was made here.
    """
    if body[:1] in {b"{", b"["}:
        found = json.loads(body)
        values = found if isinstance(found, list) else [found]
        return [_part(Envelope.from_value(value)) for value in values], None
    packed = cbor2.loads(body)
    envelopes = [packed["statement"], *packed.get("mail", [])]
    return [_part(Envelope.from_json(e)) for e in envelopes], packed["vector"]


def _part(envelope: Envelope) -> dict[str, Any]:
    return {
        "type": envelope.payload_type,
        "fields": json.loads(envelope.payload),
        "signed_by": [signature.keyid for signature in envelope.signatures],
    }


def bodies(rehearsals: Sequence[Rehearsed]) -> bytes:
    """Return the exact bytes of all messages, one after the other."""
    return b"".join(sent.body for found in rehearsals for sent in found.sent)


def lines(told: Mapping[str, Any]) -> list[str]:
    """Return what ``report`` says as lines for people.

    Args:
        told: of ``report``.
    """
    found = []
    for message in told["messages"]:
        found.append(
            f"{message['task']}: {message['step']}: {message['bytes']:,} bytes, sha256 "
            f"{message['sha256']}"
        )
        for part in message["parts"]:
            found.append(f"  {part['type']}, signed by {', '.join(part['signed_by'])}")
            found += [f"    {name} = {text}" for name, text in _flat(part["fields"])]
        if message["vector"] is not None:
            found.append(f"  vector: {shown(base64.b64decode(message['vector']))}")
    return found


def shown(data: bytes) -> str:
    """Return length, digest and first bytes of a large value."""
    begin = data[:SHOWN_BYTES].hex()
    return f"{len(data):,} bytes, sha256 {sha256(data)}, begins {begin}"


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return the leaves of a JSON value with their paths."""
    match value:
        case dict():
            return [
                leaf
                for name, inner in value.items()
                for leaf in _flat(inner, f"{prefix}.{name}" if prefix else str(name))
            ]
        case list() if any(isinstance(inner, dict | list) for inner in value):
            return [
                leaf
                for place, inner in enumerate(value)
                for leaf in _flat(inner, f"{prefix}[{place}]")
            ]
        case str() if len(value) > _LONG:
            return [(prefix, shown(value.encode()))]
        case _:
            return [(prefix, value if isinstance(value, str) else json.dumps(value))]
