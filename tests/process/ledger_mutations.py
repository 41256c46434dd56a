# SPDX-License-Identifier: Apache-2.0
"""Bundles with one thing changed, numbered: the same number gives the same bundle.

Kinds of change go round robin: bytes of the file; bytes and order of lines under a
right digest; JSON values in the newest block, hashed and under a signed head again,
alone or told alike by the statements; statements, signed anew by whoever should or
somebody else; envelopes; heads; header and models. What comes out may be true.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from typing import Any

import numpy as np
from tests.process.ledger_ends import (
    KINDS,
    Ending,
    closed,
    dump,
    ending,
    in_order,
    turned,
)

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import cosignature, entries, statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import ACCEPTANCE_TYPE, APPROVAL_TYPE

TEXTS = (
    "",
    "none",
    "constructor",
    "__proto__",
    "alpha",
    "zulu",
    "é",
    "\ue000\U0001f600",
    "a\u0301",
    "\u200b",
    "\x7f",
    "\u2028",
    "x" * 500,
    "\U0001f600" * 500,
    "x" * 501,
    "a-",
    "0" * 64,
    "F" * 64,
    "2026-01-02T03:04:05.500000Z",
    "2026-01-02T03:04:05.5Z",
    "2026-01-02T03:04:05+00:00",
    "2024-02-29T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "bW9kZWw=",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    -0.5,
    1e-7,
    1e20,
    1e21,
    1.5e300,
    2**53 - 1,
    2**53,
    2**64,
    5e-324,
    127,
    128,
)
OTHERS = (None, True, False, [], {}, "1", 1, [[[]]], {"a": 1})


INNER = (
    *("aggregation_metrics", "provenance", "entry") * 2,
    "timestamp",
    "prev_hash",
)


class Draw:
    """Seeded choices."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed)

    def below(self, bound: int) -> int:
        return int(self._numbers.integers(bound))

    def of(self, options: Any) -> Any:
        found = list(options)
        return found[self.below(len(found))]

    def once_in(self, times: int) -> bool:
        return self.below(times) == 0


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


# Bytes and lines


def _bytes(draw: Draw, data: bytes) -> bytes:
    found = bytearray(data)
    at = draw.below(len(found))
    match draw.below(6):
        case 0:
            found[at] ^= 1 << draw.below(8)
        case 1:
            found[at] = draw.below(256)
        case 2:
            del found[at : at + draw.of((1, 1, 2, 100))]
        case 3:
            found[at:at] = draw.of((b" ", b"\n", b"0", b'"', b"\xff", b"\\u0041", b"["))
        case 4:
            del found[at:]
        case _:
            found += draw.of((b"\n", b" ", bytes(found[at:])))
    return bytes(found)


def _file(draw: Draw, true: Ending) -> bytes:
    return _bytes(draw, closed(true.lines()))


def _lines(draw: Draw, true: Ending) -> bytes:
    lines = true.lines()
    at = draw.below(len(lines) - 1)
    match draw.below(7):
        case 0 | 1 | 2:
            lines[at] = _bytes(draw, lines[at])
        case 3:
            lines[at], lines[at // 2] = lines[at // 2], lines[at]
        case 4:
            del lines[at]
        case 5:
            lines.insert(at, lines[at])
        case _:
            lines[at] = _spelling(draw, lines[at])
    return closed(lines)


SPELLINGS = (
    (rb":", b": "),
    (rb"\}\]", b"} ]"),
    (rb"(\d)([,}])", rb"\1.0\2"),
    (rb"([1-9])([,}])", rb"\1e0\2"),
    (rb":0([,}])", rb":-0\1"),
    (rb'"a', rb'"\\u0061'),
    (rb'("[a-z_]+":)([^,{}\[\]]+)', rb"\1\2,\1\2"),
    (rb"/", rb"\\/"),
    (rb'"', b'"\xff'),
    (rb'"', rb'"\\ud800'),
    (rb'"', rb'"\\ud83d\\ude00'),
    (rb'"', b'"\x7f'),
    (rb'"', b'"\x01'),
    (rb",", b",,"),
    (rb"([\[{])", rb"\1 "),
    (rb":[^,]+,", b":" + b"[" * 3000 + b"]" * 3000 + b","),
    (rb":[^,]+,", b":" + b"[" * 40 + b"]" * 40 + b","),
)


def _spelling(draw: Draw, data: bytes) -> bytes:
    """Return JSON spelled otherwise in one place; often no JSON at all."""
    pattern, other = draw.of(SPELLINGS)
    places = list(re.finditer(pattern, data))
    if not places:
        return data + b" "
    at = draw.of(places)
    return data[: at.start()] + at.expand(other) + data[at.end() :]


# Values


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            found += _paths(inner, (*path, at))
    return found


def _changed(draw: Draw, value: Any, *, within: tuple[str, ...] = ()) -> Any:
    """Return a JSON value with one value in it changed, under one of these keys."""
    found = copy.deepcopy(value)
    paths = _paths(found)[1:]
    few = [
        path
        for path in paths
        if path[0] in within and (len(path) > 1 or isinstance(found[path[0]], str))
    ]
    *way, last = draw.of(few or paths)
    inside = found
    for step in way:
        inside = inside[step]
    old = inside[last]
    if draw.once_in(8):
        inside[last] = draw.of(OTHERS)
    elif isinstance(inside, dict) and draw.once_in(8):
        new = draw.of((last.upper(), *TEXTS[:8]))
        inside[new] = inside.pop(last) if draw.once_in(2) else old
    elif draw.once_in(8):
        del inside[last]
    else:
        inside[last] = _other(draw, old)
    return found


def _other(draw: Draw, old: Any) -> Any:
    match old:
        case bool():
            return not old
        case int() | float():
            return draw.of((*NUMBERS, old + 1, old - 1, old * 2, old * 1.5))
        case str() if draw.once_in(5):
            return draw.of(TEXTS)
        case str() if not draw.once_in(4) and (found := _alike(draw, old)) != old:
            return found
        case str() if old:
            at = draw.below(len(old))
            letter = draw.of("abcdef019Az-=+/ ")
            return draw.of(
                (old[:at] + letter + old[at + 1 :], old + letter, old[:-1], old[::-1])
            )
        case list() if old:
            return draw.of(
                (old[:-1], old[1:], old[::-1], [*old, old[0]], [*old, "zulu"], [])
            )
        case dict() if old:
            key = draw.of(old)
            return draw.of(
                ({}, {key: old[key]}, old | {"zulu": old[key]}, old | {"é": 1})
            )
        case _:
            return draw.of((*OTHERS, *TEXTS[:6], *NUMBERS[:4]))


def _alike(draw: Draw, old: str) -> str:
    """Return another text of the same form, so that it is read and then judged."""
    if re.fullmatch("[0-9a-f]{64}", old):
        return draw.of((sha256(old.encode()), sha256(b"model 0"), "0" * 64))
    if re.fullmatch(r"\d{4}-.*Z", old):
        return draw.of((old.replace("2026", "2025"), old.replace("2026", "2027")))
    if re.fullmatch("(?:[A-Za-z0-9+/]{4}){10,}.*", old):
        data = bytearray(base64.b64decode(old))
        data[draw.below(len(data))] ^= 1 << draw.below(8)
        return base64.b64encode(data).decode()
    return draw.of(("alpha", "bravo", "charlie", "zulu", "none", "rejected", old + "x"))


# The newest block


def _body(draw: Draw, true: Ending) -> bytes:
    """A block that says something else, under its own hash and a signed head."""
    body, beside = true.bodies[-1], true.beside[-1]
    if draw.once_in(4):
        other = _spelling(draw, body)
    else:
        other = dump(_changed(draw, json.loads(body)))
    return closed(true.lines(body=other, beside=beside))


def _told_alike(draw: Draw, true: Ending) -> bytes:
    """A block that says something else, and statements that say the same."""
    within = () if draw.once_in(3) else (draw.of(INNER),)
    body = _changed(draw, json.loads(true.bodies[-1]), within=within)
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
    said = dump(_changed(draw, payload))
    if draw.once_in(6):
        said = _spelling(draw, dump(payload))
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
            beside[at] = _spelling(draw, beside[at])
        case 1:
            beside[at] = dump(_changed(draw, value))
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


# Heads, header, models


def _heads(draw: Draw, true: Ending) -> bytes:
    """A newest head with other lines or another text, in part signed again."""
    text = true.head(list(true.bodies)).decode()
    body, _, block = text.partition("\n\n")
    lines = block.split("\n")[:-1]
    at = draw.below(len(lines))
    mark, name, coded = lines[at].split(" ")
    match draw.below(12):
        case 0:
            del lines[at]
        case 1:
            lines.append(lines[at])
        case 2:
            lines.reverse()
        case 3:
            signed = bytearray(base64.b64decode(coded))
            signed[draw.of((draw.below(12), draw.below(len(signed)), -1))] ^= (
                1 << draw.below(8)
            )
            lines[at] = f"{mark} {name} {base64.b64encode(signed).decode()}"
        case 4:
            lines[at] = f"{mark} {draw.of(('zulu', 'a b', 'a+b', '', 'é'))} {coded}"
        case 5:
            lines.append(f"— zulu {base64.b64encode(bytes(draw.below(9))).decode()}")
        case 6:
            lines[at] = draw.of(
                (lines[at] + " ", lines[at][1:], lines[at][:-1], "", "— ", "— a ", "x")
            )
        case 7:
            body = draw.of(
                (body + "\nextension", body + "\n", "\n" + body, body.upper(), "")
            )
        case 8:
            body = body.replace(
                "\n", draw.of(("\n0", "\r\n", "\t\n", "\n\n", " \n")), 1
            )
        case 9:
            lies = ({"size": 1}, {"root": "0" * 64}, {"origin": "other.example/x"})
            text = true.head(list(true.bodies), **draw.of(lies)).decode()
            return closed(true.lines(newest=text))
        case 10:
            signer = draw.of((true.told.orchestrator, *true.told.spare.values()))
            text = true.head(list(true.bodies), signer=signer).decode()
            return closed(true.lines(newest=text))
        case _:
            return _cosigned_otherwise(draw, true, body)
    text = body + "\n\n" + "".join(line + "\n" for line in lines)
    return closed(
        true.lines(newest=draw.of((text, text, text, text[:-1], text + "\n")))
    )


def _cosigned_otherwise(draw: Draw, true: Ending, body: str) -> bytes:
    """A head with one more line, well signed but by whom, and when."""
    text = true.head(list(true.bodies)).decode()
    org, key = draw.of(
        (*true.witnesses.items(), *true.told.spare.items(), ("none", true.signer))
    )
    make, sign, public = draw.of(
        (
            (
                cosignature.sign_ed25519,
                key.sign_tlog_ed25519,
                key.public.tlog_ed25519,
            ),
            (
                cosignature.sign_ml_dsa_44,
                key.sign_tlog_ml_dsa_44,
                key.public.tlog_ml_dsa_44,
            ),
        )
    )
    when = draw.of((1, 2_000_000_000, 200_000_000_000))
    line = make(
        body.encode() + b"\n", name=org, timestamp=when, sign=sign, public_key=public
    )
    return closed(true.lines(newest=text + line.line()))


def _header(draw: Draw, true: Ending) -> bytes:
    lines = true.lines()
    if draw.once_in(3):
        lines[0] = _spelling(draw, lines[0])
    else:
        lines[0] = dump(_changed(draw, json.loads(lines[0])))
    return closed(lines)


def _models(draw: Draw, true: Ending) -> bytes:
    """Other model files, or lines of models and heads that were changed."""
    lines = true.lines()
    begin = 1 + len(true.bodies)
    at = begin + draw.below(len(lines) - 1 - begin)
    match draw.below(6):
        case 0:
            lines[at] = _spelling(draw, lines[at])
        case 1:
            lines[at] = dump(_changed(draw, json.loads(lines[at])))
        case 2:
            coded = json.loads(lines[begin])["data"]
            other = draw.of((coded[:-1], coded[:-2] + "h=", coded + "====", "bW9k"))
            lines[begin] = lines[begin].replace(coded.encode(), other.encode())
        case 3:
            file = draw.of((b"stranger", b"model 0", b"model 1", b""))
            line = {"data": base64.b64encode(file).decode(), "sha256": sha256(file)}
            lines.insert(draw.of((begin, begin + 1)), dump(line))
            lines[0] = lines[0].replace(b'"models":1', b'"models":2')
        case 4:
            del lines[begin]
            lines[0] = lines[0].replace(b'"models":1', b'"models":0')
        case _:
            lines[-1] = b'{"digest":"","head":%b' % _bytes(
                draw, lines[-1].split(b'"head":', 1)[1]
            )
            if b'"head":' not in lines[-1]:
                lines[-1] += b'"head":'
    return closed(lines)


CHANGES = {
    "file": _file,
    "block": _body,
    "statement": _statement,
    "told alike": _told_alike,
    "head": _heads,
    "lines": _lines,
    "envelope": _envelope,
    "block once more": _body,
    "told alike once more": _told_alike,
    "foreign": _foreign,
    "header": _header,
    "models": _models,
}
