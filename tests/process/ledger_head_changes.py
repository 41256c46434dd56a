# SPDX-License-Identifier: Apache-2.0
"""Bundles with another newest head, header or model, by chance."""

from __future__ import annotations

import base64
import json

from tests.process.ledger_draws import Draw, changed_bytes, changed_value, respelled
from tests.process.ledger_ends import (
    Ending,
    closed,
    dump,
)

from fedxdr.core.ids import sha256
from fedxdr.ledger import cosignature


def heads_changed(draw: Draw, true: Ending) -> bytes:
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


def header_changed(draw: Draw, true: Ending) -> bytes:
    lines = true.lines()
    if draw.once_in(3):
        lines[0] = respelled(draw, lines[0])
    else:
        lines[0] = dump(changed_value(draw, json.loads(lines[0])))
    return closed(lines)


def models_changed(draw: Draw, true: Ending) -> bytes:
    """Other model files, or lines of models and heads that were changed."""
    lines = true.lines()
    begin = 1 + len(true.bodies)
    at = begin + draw.below(len(lines) - 1 - begin)
    match draw.below(6):
        case 0:
            lines[at] = respelled(draw, lines[at])
        case 1:
            lines[at] = dump(changed_value(draw, json.loads(lines[at])))
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
            lines[-1] = b'{"digest":"","head":%b' % changed_bytes(
                draw, lines[-1].split(b'"head":', 1)[1]
            )
            if b'"head":' not in lines[-1]:
                lines[-1] += b'"head":'
    return closed(lines)
