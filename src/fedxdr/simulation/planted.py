# SPDX-License-Identifier: Apache-2.0
"""Entities planted into real log lines, with the truth of where they stand.

``plant`` takes real lines and returns lines in which some fields hold made-up entities,
and into whose texts sentences with entities and look-alikes were put. What the line
held before is labelled as well, where its format says what a field is. A sanitiser can
then be measured: which entities it misses (recall), and what it takes for one that is
none (precision).

It does NOT read files (planted_sources.py) or count (planted_score.py).

Rule 1: one seed, one result; the sets ``tune`` and ``held_out`` share neither values,
nor surface formats, nor sentences.
Rule 2: the generator was written before the rules that it measures. ``held_out`` is
scored once; what it shows wrong is mended after that, without another score.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fedxdr.core.randomness import generator
from fedxdr.simulation.planted_labels import (
    EVE_FIELDS,
    TRAP,
    WAZUH_FIELDS,
    Span,
    label_cells,
    label_record,
    label_syslog,
    mark,
    unmark,
    zeek_fields,
)
from fedxdr.simulation.planted_values import Formats, Maker

Log = Literal["eve", "zeek-json", "zeek-tsv", "wazuh", "syslog", "text"]
"""How a line is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealLine:
    """A line as a sensor wrote it.

    Attributes:
        log: its format.
        text: the line without its end.
        stream: name of the Zeek log, or empty.
        columns: names of a table's columns, or empty.
    """

    log: Log
    text: str
    stream: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedLine:
    """A line and what is in it.

    Attributes:
        line: the text, and what is needed to read it.
        truth: the entities, by rising position, none overlapping.
        traps: look-alikes.
    """

    line: RealLine
    truth: tuple[Span, ...]
    traps: tuple[Span, ...]


_SENTENCES: Final = {
    "tune": (
        "session for user {user} from {address} closed",
        "user={user} src={address} dst={address}:{~number5} action=allow",
        "login failed for {account} from host {host} ({address})",
        "mail from <{email}> to <{email}> queued",
        "GET {url} 200 {~timestamp}",
        "sudo: {user} : TTY=pts/0 ; PWD=/home/{user} ; USER={user} ; COMMAND=/bin/ls",
        "dhcp lease {address} to {mac} via eth0, {~port}",
        "token SID {sid} assigned to {account}, {~rule}",
        "Authorization: Bearer {secret}",
        "password={password} user={user}",
        "aws_access_key_id={secret} aws_secret_access_key={key40}",
        "payment with card {card} by {email}",
        "call {phone} about ticket, {~mitre}",
        "contact: {email}, phone: {phone}",
        "process {~file} {~version} loaded by {account}",
        "connect {address} port 443, {~hash}",
        "host {host} resolved to {address} {~wording}",
        "api_key: {key40} at {~timestamp}",
        "guid {~uuid} order {~number} {~package}",
        "key material {secret} found on {host}",
        "rule {~rule} {~mitre} {~version} matched on hostname={host}",
        "NetBIOS name \\\\{machine}\\share$ opened by {login}",
    ),
    "held_out": (
        "authentication of '{user}' at workstation {host} succeeded",
        "suser={user} shost={host} dhost={host} spt={~number5} cs1={~hash}",
        "Account Name: {user} Account Domain: {realm} Network Address: {address}",
        'recipient="{email}" sender={email} status=sent',
        "redirected to {url} after {~timestamp}",
        "pam_sss: user {user} may not log in; home is /Users/{user}/Library",
        "arp reply {address} is-at {mac} {~port}",
        "Security ID: {sid} Logon Account: {account} {~uuid}",
        "x-api-key: {secret}",
        'passwd: "{password}" login: {user}',
        "client_secret={key40}; tenant {~uuid}",
        "PAN {card} declined, holder reachable at {phone}",
        "tel. {phone}; mailto:{email}",
        "{~file} {~version} started by {account}",
        "[{address}]:8443 handshake, {~wording}",
        "lookup of {host} via {address} took 3 ms ({~package})",
        "leaked credential {secret} in commit, {~rule}",
        "order {~number} from {email}; {~mitre}",
        "runas /user:{account} {~file}; S-1-5-18 stays",
        "peer {address} -> {address}, next hop {host}: {~rule}",
        "pwd='{password}' for principal {login}",
        "UNC path \\\\{machine}\\C$ used by {account} on {host}",
    ),
}
_SLOT: Final = re.compile(r"\{(~?\w+)\}")
_EXTRA: Final = {
    "tune": ("note", "comment", "message_detail"),
    "held_out": ("remarks", "x_context", "freetext"),
}
_EVE_SWAPS: Final = {
    "src_ip": "address",
    "dest_ip": "address",
    "dns.rrname": "host",
    "tls.sni": "host",
    "http.hostname": "host",
    "http.http_refer": "url",
    "smtp.mail_from": "email",
    "host": "host",
}
_ZEEK_SWAPS: Final = {
    "id.orig_h": "address",
    "id.resp_h": "address",
    "query": "host",
    "server_name": "host",
    "orig_l2_addr": "mac",
    "client_name": "host",
    "mailfrom": "email",
}
_WAZUH_SWAPS: Final = {"agent.ip": "address", "agent.name": "host"}


def plant(
    lines: Sequence[RealLine], *, seed: int, formats: Formats, share: float = 0.5
) -> list[PlantedLine]:
    """Return the lines with entities planted, in their order.

    Args:
        lines: real lines.
        seed: of every choice, >= 0.
        formats: which set of surface formats and sentences.
        share: of lines that get sentences, in [0, 1]; and of the fields that can, those
            that are given another value.
    """
    return _Planter(seed, formats, share).run(lines)


def sentences(
    *, seed: int, formats: Formats, count: int, entities: int = 12
) -> list[PlantedLine]:
    """Return lines of free text alone, each with about that many entities.

    Args:
        seed: of every choice, >= 0.
        formats: which set.
        count: how many lines.
        entities: fewest entities of a line.
    """
    planter = _Planter(seed, formats, 1.0)
    result = []
    for _ in range(count):
        marked = (
            "May 12 10:11:12 " + mark("host", planter.maker.plain_host()) + " app[77]:"
        )
        while len(unmark(marked)[1]) < entities:
            marked += f" {planter.sentence()};"
        result.append(_finished(RealLine(log="syslog", text=""), marked))
    return result


class _Planter:
    """One run of the generator."""

    def __init__(self, seed: int, formats: Formats, share: float) -> None:
        self._draws = generator(seed, 0 if formats == "tune" else 1)
        self.maker = Maker(self._draws, formats)
        self._formats: Formats = formats
        self._share = share

    def run(self, lines: Sequence[RealLine]) -> list[PlantedLine]:
        return [_finished(line, self._marked(line)) for line in lines]

    def _is_chosen(self) -> bool:
        return bool(self._draws.random() < self._share)

    def sentence(self) -> str:
        """Return one marked sentence."""
        return _SLOT.sub(
            lambda slot: self._filled(slot.group(1)),
            self.maker.pick(_SENTENCES[self._formats]),
        )

    def _filled(self, slot: str) -> str:
        maker = self.maker
        match slot:
            case "password":
                return mark("secret", maker.password())
            case "key40":
                return mark("secret", maker.key())
            case "login":
                return mark("email", f"{maker.entity('user')}@{maker.plain_host()}")
            case "machine":
                return mark("host", maker.plain_host().partition(".")[0])
            case "realm":
                return mark("account", maker.entity("account").partition("\\")[0])
            case "~number5":
                return str(maker.number(1024, 65_536))
            case _ if slot.startswith("~"):
                return mark(TRAP, maker.trap(slot[1:]))
            case _:
                return mark(slot, maker.entity(slot))

    def _marked(self, line: RealLine) -> str:
        match line.log:
            case "eve":
                return self._json(line, EVE_FIELDS, _EVE_SWAPS)
            case "wazuh":
                return self._json(line, WAZUH_FIELDS, _WAZUH_SWAPS)
            case "zeek-json":
                swaps = _ZEEK_SWAPS | {
                    k.replace(".", "_"): v for k, v in _ZEEK_SWAPS.items()
                }
                return self._json(line, zeek_fields(line.stream), swaps)
            case "zeek-tsv":
                return self._table_row(line)
            case "syslog":
                marked = label_syslog(line.text)
                return f"{marked} {self.sentence()}" if self._is_chosen() else marked
            case "text":
                return (
                    f"{line.text} {self.sentence()}" if self._is_chosen() else line.text
                )

    def _json(
        self, line: RealLine, fields: dict[str, str], swaps: dict[str, str]
    ) -> str:
        record = label_record(json.loads(line.text), fields)
        self._swap(record, swaps, "")
        if self._is_chosen():
            record[self.maker.pick(_EXTRA[self._formats])] = self.sentence()
        if self._is_chosen() and line.log == "wazuh":
            record["full_log"] = f"{self.sentence()}; {self.sentence()}"
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    def _swap(self, record: dict[str, Any], swaps: dict[str, str], path: str) -> None:
        """Give some of the fields that can be swapped another, marked value."""
        for key, value in record.items():
            name = f"{path}.{key}" if path else key
            if isinstance(value, dict):
                self._swap(value, swaps, name)
            elif name in swaps and isinstance(value, str) and self._is_chosen():
                record[key] = mark(swaps[name], self.maker.entity(swaps[name]))

    def _table_row(self, line: RealLine) -> str:
        cells = label_cells(line.text.split("\t"), line.columns, line.stream)
        for place, column in enumerate(line.columns):
            kind = _ZEEK_SWAPS.get(column)
            if kind and cells[place] != "-" and self._is_chosen():
                cells[place] = mark(kind, self.maker.entity(kind))
            if column in {"addl", "last_reply"} and self._is_chosen():
                cells[place] = self.sentence()
        return "\t".join(cells)


def _finished(line: RealLine, marked: str) -> PlantedLine:
    text, spans = unmark(marked)
    return PlantedLine(
        line=RealLine(
            log=line.log, text=text, stream=line.stream, columns=line.columns
        ),
        truth=tuple(span for span in spans if span.kind != TRAP),
        traps=tuple(span for span in spans if span.kind == TRAP),
    )
