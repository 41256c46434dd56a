# SPDX-License-Identifier: Apache-2.0
"""What stands in real log lines, by what their formats say of each field.

A line is marked: each entity is enclosed in two characters of Unicode's private use
area that also name its kind. Marked text can be encoded, escaped and joined like any
other; ``unmark`` takes the marks out and says where the entities are.

It does NOT know how the sanitiser finds them (privacy/redaction.py): fields are named
here from the formats' documentation and sentences from the programs that print them, so
that precision is counted against what is really there.

Rule: only entities are marked. What a format calls an address is one, also a broadcast.

Sources: Suricata 8 user guide, "EVE JSON Output"; Zeek 7 script reference (the record
``Info`` of each log); Wazuh 4 manual, "Alert management"; AIT-ADS (Landauer et al.
2024); messages of OpenSSH auth.c, Linux-PAM pam_unix, wu-ftpd and login(1).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TRAP: Final = "trap"
"""The kind under which look-alikes are marked: nothing should be found there."""

_ALL_KINDS: Final = (
    *("address", "email", "user", "host", "url", "sid", "account", "mac", "card"),
    *("phone", "secret", "certificate", "content", "file", TRAP),
)
_OPEN: Final = {kind: chr(0xE010 + i) for i, kind in enumerate(_ALL_KINDS)}
_KIND_OF: Final = {mark: kind for kind, mark in _OPEN.items()}
_CLOSE: Final = "\ue001"
_MARKS: Final = re.compile("[\ue001\ue010-\ue020]")
_URL: Final = re.compile(r"https?://[^\s\"'<>();,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """An entity, or a look-alike, inside a line.

    Attributes:
        kind: which; ``trap`` for what is none.
        begin: index of its first character.
        end: index after its last: [begin, end).
    """

    kind: str
    begin: int
    end: int


def mark(kind: str, text: str) -> str:
    """Return the text marked as an entity of a kind; empty text stays as it is."""
    return f"{_OPEN[kind]}{text}{_CLOSE}" if text else text


def unmark(text: str) -> tuple[str, tuple[Span, ...]]:
    """Return the text without marks, and where the marked entities are.

    Args:
        text: marked text; marks are never nested.
    """
    pieces, spans = [], []
    length = last = begin = 0
    kind = ""
    for found in _MARKS.finditer(text):
        pieces.append(text[last : found.start()])
        length += found.start() - last
        last = found.end()
        if found.group() == _CLOSE:
            spans.append(Span(kind=kind, begin=begin, end=length))
        else:
            kind, begin = _KIND_OF[found.group()], length
    pieces.append(text[last:])
    return "".join(pieces), tuple(spans)


_HOST_OR_ADDRESS: Final = "host/address"
_AGENT: Final = "agent"

EVE_FIELDS: Final = {
    **dict.fromkeys(
        ("src_ip", "dest_ip", "dns.grouped.A", "dns.grouped.AAAA"), "address"
    ),
    **dict.fromkeys(
        ("host", "http.hostname", "dns.rrname", "dns.answers.rrname", "tls.sni"),
        _HOST_OR_ADDRESS,
    ),
    **dict.fromkeys(
        ("dns.answers.rdata", "dns.grouped.CNAME", "smtp.helo", "dns.queries.rrname"),
        _HOST_OR_ADDRESS,
    ),
    **dict.fromkeys(("http.url", "http.http_refer", "http.redirect"), "url"),
    **dict.fromkeys(("smtp.mail_from", "smtp.rcpt_to"), "email"),
    **dict.fromkeys(
        ("tls.subject", "tls.issuerdn", "tls.serial", "tls.fingerprint"), "certificate"
    ),
    **dict.fromkeys(("payload", "payload_printable", "packet"), "content"),
    **dict.fromkeys(("fileinfo.filename", "files.filename"), "file"),
    "http.http_user_agent": _AGENT,
}
"""Suricata EVE: dotted names, list positions left out."""

ZEEK_FIELDS: Final = {
    **dict.fromkeys(("id.orig_h", "id.resp_h", "tx_hosts", "rx_hosts"), "address"),
    **dict.fromkeys(
        ("san.ip", "x_originating_ip", "path", "src", "dst", "addl_addr"), "address"
    ),
    **dict.fromkeys(("orig_l2_addr", "resp_l2_addr"), "mac"),
    **dict.fromkeys(
        ("query", "answers", "server_name", "helo", "client_name", "san.dns", "host"),
        _HOST_OR_ADDRESS,
    ),
    **dict.fromkeys(("@system", "auth", "addl", "ref_id"), _HOST_OR_ADDRESS),
    **dict.fromkeys(
        ("mailfrom", "rcptto", "from", "to", "cc", "reply_to", "san.email", "msg_id"),
        "email",
    ),
    **dict.fromkeys(("certificate.subject", "certificate.issuer"), "certificate"),
    **dict.fromkeys(
        ("certificate.serial", "fingerprint", "cert_chain_fps", "subject", "issuer"),
        "certificate",
    ),
    **dict.fromkeys(("client_cert_chain_fps", "resp_certificate_sha1"), "certificate"),
    **dict.fromkeys(("first_received", "second_received"), "content"),
    **dict.fromkeys(("filename", "extracted"), "file"),
    **dict.fromkeys(("client", "service_principal"), "account"),
    **dict.fromkeys(("uri", "referrer", "san.uri"), "url"),
    **dict.fromkeys(("cookie", "username"), "user"),
    "user_agent": _AGENT,
}
"""Zeek: column names; those of JSON are read with ``_`` for ``.`` as well."""

_ZEEK_BY_STREAM: Final = {
    ("smtp", "subject"): "content",
    ("dns", "addl"): "address",
    ("weird", "addl"): "",
    ("loaded_scripts", "name"): "",
    ("kerberos", "service"): "account",
    ("smb_mapping", "path"): "file",
    ("smb_files", "path"): "file",
    ("smb_files", "name"): "file",
    ("notice", "sub"): "certificate",
    ("conn", "service"): "",
    ("ntp", "ref_id"): "ntp",
}

WAZUH_FIELDS: Final = {
    **dict.fromkeys(("agent.ip", "data.srcip", "AMiner.ID"), "address"),
    **dict.fromkeys(("agent.name", "manager.name"), _HOST_OR_ADDRESS),
}
"""Wazuh and AMiner alerts, dotted names."""

_SYSLOG_HEAD: Final = re.compile(
    r"^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )(\S+)"
    r"( [^:\[(]+(?:\([^)]*\))?(?:\[\d+\])?: )"
)
_MESSAGES: Final = tuple(
    (re.compile(pattern), kinds)
    for pattern, kinds in (
        (r"\brhost=(\S+)", (_HOST_OR_ADDRESS,)),
        (r"(?<=[ ;])user=(\S+)", ("user",)),
        (r"\b(?:ruser|logname)=(\S+)", ("user",)),
        (
            r"(?:Failed|Accepted) \w+ for (?:invalid user )? ?(\S+) from (\S+) port",
            ("user", "address"),
        ),
        (r"Failed none for invalid user  ?(\S+) from (\S+) port", ("user", "address")),
        (r"Invalid user  ?(\S+) from (\S+)", ("user", "address")),
        (r"input_userauth_request: invalid user  ?(\S+) \[preauth\]", ("user",)),
        (
            r"getaddrinfo for (\S+) \[(\S+)\] failed",
            (_HOST_OR_ADDRESS, "address"),
        ),
        (r"^Address (\S+) maps to (\S+), but", ("address", _HOST_OR_ADDRESS)),
        (r"(?:disconnect from|Connection closed by) (\d\S*?)(?=:| |$)", ("address",)),
        (r"identification string from (\S+)", ("address",)),
        (r"Too many authentication failures for (\S+)", ("user",)),
        (r"session (?:opened|closed) for user (\S+)", ("user",)),
        (r"session opened for user \S+ by (\w+)\(uid", ("user",)),
        (r"connection from (\S+) \((\S+)\) at", ("address", _HOST_OR_ADDRESS)),
        (r"connection from (\S+) \(\) at", ("address",)),
        (r"message repeated .* from (\S+) port", ("address",)),
        (r"(?:FAILED LOGIN \d+ FROM|LOGIN FROM) (\S+) FOR", (_HOST_OR_ADDRESS,)),
        (r"ANONYMOUS FTP LOGIN FROM (\S+),", (_HOST_OR_ADDRESS,)),
        (r"Authentication failed from (\S+) \(([\d.]+)\)", ("address", "address")),
        (r"SNMP packet\(s\) from (\S+)", ("address",)),
        (r"\((\w+@bugs[\w.]+)\)", ("email",)),
    )
)


def labelled(kind: str, text: str) -> str:
    """Return a field's text with what the format says of it marked.

    Args:
        kind: a kind, or one of the words of the tables above.
        text: the field's value.
    """
    match kind:
        case "" | "ntp":
            is_address = kind == "ntp" and _is_address(text)
            return mark("address", text) if is_address else text
        case "host/address":
            return mark("address" if _is_address(text) else "host", text)
        case "agent":
            return _URL.sub(lambda found: mark("url", found.group()), text)
        case _:
            return mark(kind, text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def label_record(record: Any, fields: Mapping[str, str], path: str = "") -> Any:  # noqa: ANN401 - a decoded JSON value is any of six types
    """Return a decoded JSON value whose texts are marked.

    Args:
        record: object, list, text, number, truth value or null.
        fields: kind by dotted name.
        path: the dotted name of this value.
    """
    if isinstance(record, dict):
        return {
            key: label_record(value, fields, f"{path}.{key}" if path else key)
            for key, value in record.items()
        }
    if isinstance(record, list):
        return [label_record(value, fields, path) for value in record]
    if isinstance(record, str) and path in fields:
        return labelled(fields[path], record)
    return record


def zeek_fields(stream: str) -> dict[str, str]:
    """Return the kinds of the columns of one Zeek log, under both spellings.

    Args:
        stream: the log's name, for example ``conn``.
    """
    table = dict(ZEEK_FIELDS)
    table |= {
        column: kind for (log, column), kind in _ZEEK_BY_STREAM.items() if log == stream
    }
    return table | {name.replace(".", "_"): kind for name, kind in table.items()}


def label_cells(cells: list[str], columns: tuple[str, ...], stream: str) -> list[str]:
    """Return the cells of a Zeek table's row, marked.

    Args:
        cells: one text per column; sets and vectors are comma-separated.
        columns: the column names.
        stream: the log's name.
    """
    fields = zeek_fields(stream)
    result = []
    for column, cell in zip(columns, cells, strict=True):
        kind = fields.get(column, "")
        if not kind or cell in {"-", "(empty)"}:
            result.append(cell)
        elif column in {
            "answers",
            "path",
            "san.dns",
            "san.ip",
            "cert_chain_fps",
            "rcptto",
        }:
            parts = re.split(r",(?! )", cell)
            result.append(
                ",".join(
                    mark("content", p) if p.startswith("TXT ") else labelled(kind, p)
                    for p in parts
                )
            )
        else:
            result.append(labelled(kind, cell))
    return result


def label_syslog(text: str) -> str:
    """Return a line of syslog with its host and the names in known messages marked."""
    head = _SYSLOG_HEAD.match(text)
    if head is None:
        return text
    message = text[head.end() :]
    spans: dict[tuple[int, int], str] = {}
    for pattern, kinds in _MESSAGES:
        for found in pattern.finditer(message):
            for group, kind in enumerate(kinds, start=1):
                if found.group(group):
                    spans.setdefault(found.span(group), kind)
    pieces, last = [], 0
    for (begin, end), kind in sorted(spans.items()):
        if begin >= last:
            pieces += [message[last:begin], labelled(kind, message[begin:end])]
            last = end
    marked = "".join([*pieces, message[last:]])
    return head[1] + mark("host", head[2]) + head[3] + marked
