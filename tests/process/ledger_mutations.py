# SPDX-License-Identifier: Apache-2.0
"""Bundles with one thing changed, numbered: the same number gives the same bundle.

Kinds of change go round robin: bytes of the file; bytes and order of lines under a
right digest; JSON values in the newest block, hashed and under a signed head again,
alone or told alike by the statements; statements, signed anew by whoever should or
somebody else; envelopes; heads; header and models. What comes out may be true.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.process.ledger_draws import (
    Draw,
    changed_bytes,
    changed_value,
    respelled,
)
from tests.process.ledger_ends import (
    KINDS,
    Ending,
    closed,
    dump,
    ending,
    in_order,
    turned,
)
from tests.process.ledger_head_changes import (
    header_changed,
    heads_changed,
    models_changed,
)

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import entries, statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import ACCEPTANCE_TYPE, APPROVAL_TYPE

INNER = (
    *("aggregation_metrics", "provenance", "entry") * 2,
    "timestamp",
    "prev_hash",
)


def mutation(number: int) -> tuple[str, bytes]:
    """Return name and bytes of one changed bundle."""
    draw = Draw(number)
    kinds = list(CHANGES)
    change = kinds[number % len(kinds)]
    name = draw.of([*KINDS, "turned"])
    if change.startswith("told alike") and draw.once_in(2):
        name = draw.of(("round", "second", "private"))
    true = turned() if name == "turned" else ending(name)
    return f"{number}: {change} of {name}", CHANGES[change](draw, true)


def _file(draw: Draw, true: Ending) -> bytes:
    return changed_bytes(draw, closed(true.lines()))


def _lines(draw: Draw, true: Ending) -> bytes:
    lines = true.lines()
    at = draw.below(len(lines) - 1)
    match draw.below(7):
        case 0 | 1 | 2:
            lines[at] = changed_bytes(draw, lines[at])
        case 3:
            lines[at], lines[at // 2] = lines[at // 2], lines[at]
        case 4:
            del lines[at]
        case 5:
            lines.insert(at, lines[at])
        case _:
            lines[at] = respelled(draw, lines[at])
    return closed(lines)


def _body(draw: Draw, true: Ending) -> bytes:
    """A block that says something else, under its own hash and a signed head."""
    body, beside = true.bodies[-1], true.beside[-1]
    if draw.once_in(4):
        other = respelled(draw, body)
    else:
        other = dump(changed_value(draw, json.loads(body)))
    return closed(true.lines(body=other, beside=beside))


def _told_alike(draw: Draw, true: Ending) -> bytes:
    """A block that says something else, and statements that say the same."""
    within = () if draw.once_in(3) else (draw.of(INNER),)
    body = changed_value(draw, json.loads(true.bodies[-1]), within=within)
    beside = true.beside[-1]
    try:
        if not draw.once_in(5):
            _follow(body["entry"])
        beside = [_agreeing(true, raw, body) for raw in beside]
        for raw in beside:
            if json.loads(raw)["payloadType"] == ACCEPTANCE_TYPE:
                org = _payload(raw)["predicate"]["fedxdr_acceptance"]["org"]
                body["org_signatures"][org] = sha256(raw)
        beside = in_order(beside)
        other = true.bound(body, beside)
    except (KeyError, TypeError, AttributeError, ValueError, MalformedMessage):
        # a block in which the statements cannot be found any more
        other = dump(body)
    return closed(true.lines(body=other, beside=beside))


def _follow(entry: dict[str, Any]) -> None:
    """Make the digests right that follow from what an entry says."""
    for what, digest, label in (
        ("plan", "plan_digest", entries.PLAN_LABEL),
        ("record", "fingerprint", entries.CEREMONY_LABEL),
    ):
        if what in entry:
            entry[digest] = sha256(label.encode() + b"\x00", dump(entry[what]))
    if "contributions" in entry:
        entry["contributions_root"] = contributions_root(entry["contributions"])


def _payload(envelope: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))


def _agreeing(true: Ending, envelope: bytes, body: dict[str, Any]) -> bytes:
    """Return a statement that speaks of this block, signed by the same key."""
    says, kind = _payload(envelope), json.loads(envelope)["payloadType"]
    entry, made = body["entry"], body["provenance"]
    if kind == ACCEPTANCE_TYPE:
        figures = {
            name: value
            for name, value in body["aggregation_metrics"].items()
            if name != "num_clients"
        }
        predicate = says["predicate"]
        build, run = predicate["buildDefinition"], predicate["runDetails"]
        says["subject"][0]["digest"]["sha256"] = body["model_hash"]
        build["externalParameters"] |= {
            "dataVolume": made["data_volume"],
            "plan": entry["plan_digest"],
            "privacy": made["privacy_params"],
            "task": entry["task"],
        }
        build["resolvedDependencies"] = [
            {"name": "parent", "digest": {"sha256": made["parent_model"]}},
            *(
                {"name": f"contribution/{org}", "digest": {"sha256": found}}
                for org, found in sorted(entry["contributions"].items())
            ),
        ]
        predicate["fedxdr_acceptance"]["prev_hash"] = body["prev_hash"]
        run["byproducts"][0]["digest"]["sha256"] = entry["sum_digest"]
        run["byproducts"][1]["digest"]["sha256"] = entry["contributions_root"]
        run["byproducts"][2]["annotations"] = figures
        run["metadata"]["invocationId"] = entry["round_id"]
    elif kind == APPROVAL_TYPE:
        label = entries.ENTRY_LABEL.encode() + b"\x00"
        says["entry"] = sha256(label, dump(entry))
    elif kind == statements.CONTRIBUTION_TYPE:
        org = says["org"]
        says |= {
            "round_id": entry["round_id"],
            "plan_digest": entry["plan_digest"],
            "parent_model": made["parent_model"],
            "contribution_digest": entry["contributions"][org],
            "privacy": made["privacy_params"][org],
        }
    elif entry["type"].startswith("fedxdr/member-"):
        same = {"name", "keys", "data_sources", "invitation_digest", "previous"}
        says |= {name: entry[name] for name in same & set(says) & set(entry)}
        says["org"] = entry["org_id"]
    return true.signed(dump(says), kind, [true.key_of(envelope)])


def _with_beside(draw: Draw, true: Ending, beside: list[bytes]) -> bytes:
    """A newest block beside which these envelopes lie, bound to it."""
    body = json.loads(true.bodies[-1])
    if body["org_signatures"]:
        accepted = {}
        for raw in beside:
            try:
                if json.loads(raw)["payloadType"] == ACCEPTANCE_TYPE:
                    org = _payload(raw)["predicate"]["fedxdr_acceptance"]["org"]
                    accepted[str(org)] = sha256(raw)
            except (ValueError, KeyError, TypeError, RecursionError):
                # an envelope that names nobody
                continue
        if not draw.once_in(10):
            body["org_signatures"] = accepted
    ordered = beside if draw.once_in(20) else in_order(beside)
    return closed(true.lines(body=true.bound(body, ordered), beside=ordered))


def _statement(draw: Draw, true: Ending) -> bytes:
    """A statement that says something else, signed again by whoever may."""
    beside = list(true.beside[-1])
    if not beside:
        return _foreign(draw, true)
    at = draw.below(len(beside))
    raw = beside[at]
    kind, payload = json.loads(raw)["payloadType"], _payload(raw)
    said = dump(changed_value(draw, payload))
    if draw.once_in(6):
        said = respelled(draw, dump(payload))
    signers = [true.key_of(raw)]
    if draw.once_in(6):
        signers = [draw.of((*true.told.keys.values(), *true.told.spare.values()))]
    if draw.once_in(12):
        kind = draw.of((*(json.loads(one)["payloadType"] for one in beside), "text"))
    if draw.once_in(12):
        said = dump(payload)
    beside[at] = true.signed(said, kind, signers)
    return _with_beside(draw, true, beside)


def _foreign(draw: Draw, true: Ending) -> bytes:
    """Envelopes of other blocks, missing ones, one twice."""
    beside = list(true.beside[-1])
    strangers = [raw for kind in KINDS for raw in ending(kind).beside[-1]]
    match draw.below(3):
        case 0 if beside:
            del beside[draw.below(len(beside))]
        case 1 if beside:
            beside[draw.below(len(beside))] = draw.of(strangers)
        case _:
            beside.append(draw.of(strangers))
    return _with_beside(draw, true, beside)


def _envelope(draw: Draw, true: Ending) -> bytes:
    """An envelope of another form, or with other signatures."""
    beside = list(true.beside[-1])
    if not beside:
        return _foreign(draw, true)
    at = draw.below(len(beside))
    value = json.loads(beside[at])
    signatures = value["signatures"]
    match draw.below(6):
        case 0:
            beside[at] = respelled(draw, beside[at])
        case 1:
            beside[at] = dump(changed_value(draw, value))
        case 2:
            value["signatures"] = draw.of(
                (signatures[::-1], signatures[:1], signatures * 2, [])
            )
            beside[at] = dump(value)
        case _:
            one = draw.of(signatures)
            sig = bytearray(base64.b64decode(one["sig"]))
            place = draw.of((draw.below(len(sig)), -1, -1 - draw.below(60), 33))
            sig[place] ^= 1 << draw.below(8)
            if draw.once_in(8):
                del sig[-1]
            if len(sig) == 64 and draw.once_in(2):
                order = 2**252 + 27742317777372353535851937790883648493
                whole = base64.b64decode(one["sig"])
                s = int.from_bytes(whole[32:], "little") + order
                sig = bytearray(whole[:32] + s.to_bytes(32, "little"))
            one["sig"] = base64.b64encode(sig).decode()
            beside[at] = dump(value)
    return _with_beside(draw, true, beside)


CHANGES = {
    "file": _file,
    "block": _body,
    "statement": _statement,
    "told alike": _told_alike,
    "head": heads_changed,
    "lines": _lines,
    "envelope": _envelope,
    "block once more": _body,
    "told alike once more": _told_alike,
    "foreign": _foreign,
    "header": header_changed,
    "models": models_changed,
}
