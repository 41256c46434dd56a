# SPDX-License-Identifier: Apache-2.0
r"""Finds entities in free text, in one pass.

``find`` returns where addresses, e-mails, users, hosts, URLs, SIDs, DOMAIN\user, MACs,
card and phone numbers, fingerprints of certificates and secrets stand. The patterns
(redaction_patterns.py) propose, the functions here judge: a check digit, a valid IPv6
address, a name after "user" that is no plain word.

It does NOT know formats (redaction_fields.py) or replace anything (redaction.py). A
name that no field, sentence or shape tells for one cannot be found.

Rule 1: what has been read is not read again, but for one value after its key (at most
512 characters) and one second look at lines with a literal ``\n``.
Rule 2: hits are in order and do not overlap.

Source: see redaction_patterns.py.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from fedxdr.privacy.redaction_names import is_domain, kind_of_key
from fedxdr.privacy.redaction_patterns import KIND_OF, MASTER, PLAIN_GROUP
from fedxdr.privacy.redaction_values import (
    IPV4_INSIDE,
    SHAPED,
    is_card,
    is_ipv6,
    is_secret,
    kind_of_name,
)

Hit = tuple[int, int, str]
"""An entity in a text: it takes characters [begin, end), and its kind."""

_VALUE: Final = re.compile(
    r"(?:\\?\"([^\"\\]{1,512})|'([^']{1,512})|<([^<>\s]{1,256})>"
    r"|((?:[^\s\"'<>,;&|()\[\]{}]|(?<=\w)'(?=\w)){1,512}+))"
)
_SECRET_VALUE: Final = re.compile(
    r"(?:\\?\"([^\"\\]{1,512})|'([^']{1,512})|([^\s\"'<>,;&]{1,512}))"
)
_NAME: Final = re.compile(r"[\"']?(\w(?:[\w.$@+\\-]|'(?=\w)){0,127}+)")
_HOME_NAME: Final = re.compile(r"([\w.$-]{1,64}+)")
_PHONE_VALUE: Final = re.compile(r"\+?[0-9(][0-9() ./-]{4,24}[0-9]")
_ESCAPE: Final = re.compile(r"\\[nrt]")
_ENCODED_MAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.+-]{1,64}+%40[0-9A-Za-z-]{1,63}+(?:\.[0-9A-Za-z-]{1,63}+){1,10}+"
)
_BEFORE: Final = re.compile(
    r"(user|account|logon|workstation|computer|host|machine|member|client|server"
    r"|domain|caller|target|subject) $",
    re.IGNORECASE,
)
_TO_WHOM: Final = re.compile(
    r"[\"']? (?:from|logged|on|at|by|may|via|using|authenticated|failed|connected|with"
    r"|executed|ran|has|was|is|did|tried)\b"
)
_FOR: Final = re.compile(
    r"\b(?:for|invalid|illegal|by|as|remote|target|opened|closed|su to) $",
    re.IGNORECASE,
)
_INVALID: Final = re.compile(r"\b(?:invalid|illegal) $", re.IGNORECASE)
_WELL_KNOWN: Final = frozenset(
    ["public", "default", "all users", "default user", "shared", "linuxbrew"]
)
_PASSED: Final = frozenset(["skip", "over"])
"""Look-alikes, and runs of plain words after which every branch failed."""
_TWO_WORDS: Final = frozenset(
    [*("name", "account", "id", "domain"), *("Name", "Account", "ID", "Domain")]
)
"""Fields' names that mean something only with the word before them."""
_SCRIPTS: Final = (".pl", ".rs", ".cc", ".ps", ".in", ".do", ".st", ".ml", ".me")
"""Endings of files, behind a slash; elsewhere they are countries."""
_AUTHORITIES: Final = frozenset(["authority", "builtin", "service", "hklm", "hkcu"])


def find(
    text: str, suffixes: frozenset[str] = frozenset(), *, start: int = 0
) -> list[Hit]:
    """Return the entities of a text.

    Args:
        text: any text; a line of a log, or a field of one.
        suffixes: last labels of the organisation's own names, in lower case.
        start: where to begin, >= 0.
    """
    hits = _scan(text, suffixes, start)
    if "\\" in text and _ESCAPE.search(text) and _has_escape(text, hits):
        # a literal \n may be a line's end or the middle of CORP\nadia: look both ways
        hits = _merged(hits, _scan(_ESCAPE.sub("  ", text), suffixes, start))
    if "%40" in text:
        mails = [(*m.span(), "email") for m in _ENCODED_MAIL.finditer(text, start)]
        hits = _merged(hits, mails)
    return hits


def _has_escape(text: str, hits: list[Hit]) -> bool:
    """Return whether an escape stands outside of what is found, accounts aside."""
    inside = bytearray(len(text))
    for begin, end, kind in hits:
        if kind != "account":
            inside[begin:end] = b"\x01" * (end - begin)
    return any(not inside[found.start()] for found in _ESCAPE.finditer(text))


def _merged(first: list[Hit], second: list[Hit]) -> list[Hit]:
    """Return both, overlapping hits joined under the kind of the first."""
    result: list[Hit] = []
    for hit in sorted({*first, *second}, key=lambda h: (h[0], -h[1])):
        if result and hit[0] < result[-1][1]:
            last = result[-1]
            result[-1] = (last[0], max(last[1], hit[1]), last[2])
        else:
            result.append(hit)
    return result


def _scan(text: str, suffixes: frozenset[str], start: int) -> list[Hit]:
    """Go over the text once; begin again where a judgement went on elsewhere."""
    hits: list[Hit] = []
    position: int | None = start
    while position is not None:
        position = _scan_from(text, position, suffixes, hits)
    return hits


def _scan_from(
    text: str, position: int, suffixes: frozenset[str], hits: list[Hit]
) -> int | None:
    """Add hits until a judgement goes on elsewhere; return where, None at the end."""
    for found in MASTER.finditer(text, position):
        group = KIND_OF[found.lastindex or 0]
        if group in _PASSED:
            continue
        begin, end = found.span()
        after_plain = found.end(PLAIN_GROUP)
        if after_plain > begin:  # noqa: PLR1730 - a call of max() costs more, per match
            begin = after_plain
        match group:
            case "key":
                go_on = _keyed(text, begin, found, suffixes, hits)
            case "host" | "ip6":
                go_on = _checked(text, begin, end, suffixes, hits)
            case "ip4":
                hits.append((begin, end, "address"))
                continue
            case "email" | "secret" | "mac" | "certificate":
                hits.append((begin, end, group))
                continue
            case "url":
                go_on = begin + len(text[begin:end].rstrip(".,;:!?)]}'"))
                hits.append((begin, go_on, "url"))
            case "sudo":
                hits.append((*found.span("word"), "user"))
                continue
            case "account":
                go_on = _accounted(text, (begin, end), found["word"], hits)
            case _:
                go_on = _judged(text, begin, end, group, hits)
        if go_on != end:
            return go_on
    return None


def _judged(text: str, begin: int, end: int, group: str, hits: list[Hit]) -> int:
    """Judge what needs a closer look; return where to go on."""
    match group:
        case "card":
            if is_card(text[begin:end]):
                hits.append((begin, end, "card"))
        case "phone":
            if 8 <= sum(map(str.isdigit, text[begin:end])) <= 16:
                hits.append((begin, end, "phone"))
        case "sid":
            if text.startswith(("S-1-5-21-", "S-1-12-1-"), begin):
                hits.append((begin, end, "sid"))
        case "said" | "called" | "named":
            return _told(text, (begin, end), group, hits)
        case "bearer":
            return _borne(text, end, hits)
        case "home":
            name = _HOME_NAME.match(text, end)
            if name is not None and name[1].lower() not in _WELL_KNOWN:
                hits.append((*name.span(1), "user"))
                return name.end()
        case _:  # a UNC path: the machine's name follows
            name = _NAME.match(text, end)
            if name is not None:
                stop = name.start(1) + len(name[1].partition("\\")[0])
                is_ip = IPV4_INSIDE.fullmatch(text, name.start(1), stop) is not None
                hits.append((name.start(1), stop, "address" if is_ip else "host"))
                return stop
    return end


def _checked(
    text: str, begin: int, end: int, suffixes: frozenset[str], hits: list[Hit]
) -> int:
    """Judge what may be a host or an IPv6 address; return where to go on."""
    word = text[begin:end]
    if ":" not in word:
        length = _host_length(word, text[begin - 1 : begin] == "/", suffixes)
        if length:
            hits.append((begin, begin + length, "host"))
        else:
            hits += [
                (*m.span(), "address") for m in IPV4_INSIDE.finditer(text, begin, end)
            ]
        return end
    trimmed = word[:-1] if word.endswith(":") and word[-2:] != "::" else word
    for address in (trimmed, trimmed.rpartition(":")[0]):  # with a port behind it
        if is_ipv6(address):
            hits.append((begin, begin + len(address), "address"))
            return begin + len(address)
    return begin + 1 + (len(word) - len(word.lstrip(":")))


def _add_inside(text: str, begin: int, end: int, hits: list[Hit]) -> None:
    """Add the IPv4 addresses in a word that names no host (``ip-10.0.0.1``)."""
    hits += [(*m.span(), "address") for m in IPV4_INSIDE.finditer(text, begin, end)]


@functools.lru_cache(maxsize=16_384)
def _host_length(word: str, in_path: bool, suffixes: frozenset[str]) -> int:
    """Return how much of a word is a host's name; 0 where it is none."""
    trimmed = word.rstrip(".-")
    if in_path and trimmed.endswith(_SCRIPTS):
        return 0
    return len(trimmed) if is_domain(trimmed.removeprefix("*."), suffixes) else 0


def _keyed(
    text: str,
    begin: int,
    found: re.Match[str],
    suffixes: frozenset[str],
    hits: list[Hit],
) -> int:
    """Judge ``key=value`` and ``key: value``; return where to go on."""
    word, end = found["word"], found.end()
    if "." in word and is_domain(word, suffixes):
        hits.append((begin, begin + len(word), "host"))
        return begin + len(word)
    key = word
    if word in _TWO_WORDS:
        before = _BEFORE.search(text, max(0, begin - 16), begin)
        key = before[1] + word if before else word
    kind = kind_of_key(key)
    if not kind:
        if "." in word:
            hits += [
                (*m.span(), "address") for m in IPV4_INSIDE.finditer(text, begin, end)
            ]
        return end
    start = end
    if text.startswith(" ", end) and (
        text[end - 1] == ":" or text[begin + len(word)] == " "
    ):
        start += 1 + text.startswith(" ", end + 1)
    pattern = _SECRET_VALUE if kind == "secret" else _VALUE
    value = pattern.match(text, start)
    if value is None:
        return end
    return _valued(text, value.span(value.lastindex or 0), (kind, key), hits) or end


def _valued(
    text: str, span: tuple[int, int], field: tuple[str, str], hits: list[Hit]
) -> int:
    """Judge a field's value; return its end where it is an entity, else 0."""
    begin, end = span
    kind, key = field
    value = text[begin:end]
    match kind:
        case "secret":
            if not is_secret(key.lower(), value):
                return 0
        case "phone":
            number = _PHONE_VALUE.match(text, begin)
            if number is None:
                return 0
            end = number.end()
        case _:
            name = _NAME.match(value)
            if name is None or (end - begin > name.end() and value[name.end()] in "/:"):
                return 0
            end = begin + len(name[1].rstrip(".-"))
            kind = kind_of_name(kind, value[: end - begin], key.lower())
            if not kind:
                return 0
    hits.append((begin, end, kind))
    return end


def _accounted(text: str, span: tuple[int, int], realm: str, hits: list[Hit]) -> int:
    r"""Judge ``realm\name``; return where to go on."""
    begin, end = span
    before = text[begin - 1 : begin] if begin else ""
    whole = text[begin:end].rstrip(".-")
    is_path = before in {"\\", "/", ":", "%"} or realm.lower() in _AUTHORITIES
    if is_path or re.search(r"\.[A-Za-z0-9]{2,4}$", whole):
        return begin + len(realm)
    hits.append((begin, begin + len(whole), "account"))
    return begin + len(whole)


def _told(text: str, span: tuple[int, int], group: str, hits: list[Hit]) -> int:
    """Judge the word after "user", "host" and the like; return where to go on."""
    start, end = span
    name = _NAME.match(text, end)
    if name is None:
        return end
    begin = name.start(1)
    word = name[1].rstrip(".-")
    if text[begin + len(word) : begin + len(word) + 3] == "://":
        return begin
    kind = kind_of_name("host" if group == "named" else "user", word)
    is_named = group == "said" or _INVALID.search(text, max(0, start - 8), start)
    if is_named and text.startswith((" from ", " [preauth]"), name.end()):
        kind = kind or "user"  # sshd names whoever knocks, be it "management"
    quoted = begin > name.start()
    after = text[name.end() : name.end() + 1]
    if after == "=" or not kind:
        return begin
    if group == "named":
        if not (SHAPED.search(word) or quoted):
            return begin
        if "." in word and not (quoted or is_domain(word)):
            return begin
    elif group == "called":
        is_told = (
            SHAPED.search(word)
            or _TO_WHOM.match(text, name.end())
            or _FOR.search(text, max(0, start - 9), start)
        )
        if not (is_told or quoted) or (after == ":" and not SHAPED.search(word)):
            return begin
    hits.append((begin, begin + len(word), kind))
    return begin + len(word)


def _borne(text: str, begin: int, hits: list[Hit]) -> int:
    """Judge what follows "Bearer" and the like; return where to go on."""
    value = re.compile(r"[\w+/=.~-]{8,4096}+").match(text, begin)
    if value is None:
        return begin
    word = value.group().rstrip(".")
    is_random = any(map(str.isdigit, word)) or word.endswith("=")
    if not is_random and (word.islower() or word.istitle()):
        return begin
    hits.append((begin, begin + len(word), "secret"))
    return begin + len(word)
