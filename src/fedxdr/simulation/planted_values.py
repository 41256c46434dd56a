# SPDX-License-Identifier: Apache-2.0
"""Made-up entities and look-alikes, in two sets of surface formats.

``Maker.entity`` writes an entity of a kind (an address, a card number …) and
``Maker.trap`` something that looks like one and is none (a version, a hash, a number
that fails Luhn).
The sets ``tune`` and ``held_out`` write the same kinds in other formats.

It does NOT name anybody: addresses are drawn from all of the space, names from fixed
lists, card numbers are random with a valid check digit, keys and tokens are random.

Rule: everything follows from the generator handed in.

Sources: ISO/IEC 7812-1 annex B (Luhn); RFC 7519 (JWT); RFC 7468 (PEM); RFC 6750
(bearer); MS-DTYP 2.4.2 (SIDs); E.164 (telephone numbers); public documentation of the
token formats of AWS, GitHub, Slack, Google, GitLab, Stripe and npm.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import string
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

Formats = Literal["tune", "held_out"]
"""Which set of surface formats and sentences."""
KINDS: Final = (
    *("address", "email", "user", "host", "url", "sid", "account", "mac", "card"),
    *("phone", "secret"),
)
"""Kinds that are planted."""

_GIVEN: Final = (
    *("alice", "bruno", "carla", "dmitri", "elena", "farid", "greta", "hiro"),
    *("ines", "jonas", "katya", "liam", "mona", "nadia", "oscar", "priya"),
    *("quentin", "rosa", "sven", "tariq", "ursula", "viktor", "wanda", "xenia"),
)
_FAMILY: Final = (
    *("almeida", "becker", "castillo", "dupont", "eriksen", "fontaine", "garcia"),
    *("hoffmann", "ivanov", "jensen", "kowalski", "larsen", "moreau", "novak"),
    *("okafor", "petrov", "quinn", "rossi", "schmidt", "tanaka"),
)
_DOMAINS: Final = {
    "tune": (
        *("acme-corp.com", "northwind.local", "contoso.net", "fabrikam.org"),
        *("initech.io", "corp.globex.com", "hooli.lan", "umbrella.co.uk"),
    ),
    "held_out": (
        *("stadtwerke-nord.de", "wayne.enterprises", "tyrell.internal", "kvh.gov.au"),
        *("soylent.app", "ad.massive-dynamic.eu", "stark.intra", "oscorp.com.br"),
    ),
}
_MACHINES: Final = {
    "tune": ("web", "db", "mail", "dc", "fs", "ws", "vpn", "build", "jump"),
    "held_out": ("SRV", "LAPTOP-", "desktop", "printer", "edge", "node", "PC", "hr"),
}
_REALMS: Final = {
    "tune": ("CORP", "NORTHWIND", "ACME", "HOOLI"),
    "held_out": ("Tyrell-AD", "EMEA", "STARK", "KVH"),
}
_PATHS: Final = {
    "tune": ("login", "api/v1/users", "search", "account/reset", "download/report"),
    "held_out": ("oauth2/authorize", "wp-admin/profile.php", "s/share", "p/invoice"),
}
_QUERIES: Final = {
    "tune": ("user={0}&token={1}", "email={0}%40example.com&id={1}", "q={0}+{1}"),
    "held_out": ("session={1}&name={0}", "u={0};k={1}", "redirect=%2Fhome%2F{0}&c={1}"),
}
_TRAPS: Final = (
    *("version", "hash", "timestamp", "port", "mitre", "rule", "uuid", "number"),
    *("file", "package", "wording"),
)
_HEX: Final = "0123456789abcdef"
_ALNUM: Final = string.ascii_letters + string.digits
_BASE64: Final = _ALNUM + "+/"
_URLSAFE: Final = _ALNUM + "-_"


class Maker:
    """Writes entities and look-alikes of one set of formats.

    Args:
        draws: where every choice comes from.
        formats: which set.
    """

    def __init__(self, draws: np.random.Generator, formats: Formats) -> None:
        self._draws = draws
        self._formats: Formats = formats
        self._is_tune = formats == "tune"

    def pick(self, choices: Sequence[str]) -> str:
        """Return one of them."""
        return choices[int(self._draws.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """Return an integer in [low, high)."""
        return int(self._draws.integers(low, high))

    def _text(self, alphabet: str, size: int) -> str:
        return "".join(
            alphabet[i] for i in self._draws.integers(len(alphabet), size=size)
        )

    def entity(self, kind: str) -> str:
        """Return an entity of one of ``KINDS`` as it stands in a log."""
        return str(getattr(self, f"_{kind}")())

    def trap(self, kind: str = "") -> str:
        """Return something that is no entity: of one of the kinds, or of any."""
        chosen = kind or self.pick(_TRAPS)
        return str(getattr(self, f"_trap_{chosen}")())

    def _address(self) -> str:
        style = self.number(0, 10)
        if style < 6:
            return self.plain_ipv4()
        value = ipaddress.IPv6Address(
            (0x2001_0DB8 << 96 if style < 8 else 0xFE80 << 112)
            | int.from_bytes(self._draws.bytes(8), "big")
        )
        if self._is_tune:
            return value.exploded if style == 7 else str(value)
        if style == 6:
            return f"::ffff:{self.plain_ipv4()}"
        return str(value).upper() if style == 7 else f"{value}%eth{self.number(0, 3)}"

    def plain_ipv4(self) -> str:
        """Return an IPv4 address in dotted form."""
        first = self.pick(("10", "192", "172", "203", "198", "45", "81", "134", "8"))
        return ".".join([first, *(str(self.number(0, 256)) for _ in range(3))])

    def plain_host(self) -> str:
        """Return a fully qualified name of a host."""
        machines, domains = _MACHINES[self._formats], _DOMAINS[self._formats]
        name = f"{self.pick(machines)}{self.number(1, 99):02d}"
        if self._is_tune and self.number(0, 2):
            name = f"{name}-{self.pick(('eu', 'us', 'prod'))}"
        return f"{name}.{self.pick(domains)}"

    def _host(self) -> str:
        if self.number(0, 4) == 0:
            return self.pick(_DOMAINS[self._formats])
        return self.plain_host()

    def _user(self) -> str:
        given, family, style = self.pick(_GIVEN), self.pick(_FAMILY), self.number(0, 3)
        if self._is_tune:
            return (f"{given[0]}{family}", f"{given}.{family}", f"{given}_{family[0]}")[
                style
            ]
        return (
            f"{family}{self.number(10, 99)}",
            f"{given.title()}-{family.title()}",
            f"svc_{given}",
        )[style]

    def _email(self) -> str:
        given, family = self.pick(_GIVEN), self.pick(_FAMILY)
        domain = self.pick(_DOMAINS[self._formats])
        if self._is_tune:
            return f"{self.pick((f'{given}.{family}', f'{given[0]}{family}'))}@{domain}"
        local = self.pick(
            (
                f"{family.title()}+{self.number(1, 99)}",
                f"{given}_{family}",
                f"o'{family}",
            )
        )
        return f"{local}@{self.pick(('mx.', ''))}{domain}"

    def _url(self) -> str:
        query = self.pick(_QUERIES[self._formats]).format(
            self.pick(_GIVEN), self._text(_ALNUM, 12)
        )
        path = self.pick(_PATHS[self._formats])
        host = self.plain_host()
        if self._is_tune:
            return f"{self.pick(('http', 'https'))}://{host}/{path}?{query}"
        scheme = self.pick(("https", "ftp", "HTTP", "ws"))
        where = self.pick(
            (f"{host}:{self.number(1024, 65535)}", self.plain_ipv4(), host)
        )
        return f"{scheme}://{where}/{path}?{query}{self.pick(('', '#top'))}"

    def _sid(self) -> str:
        parts = "-".join(str(self.number(10**8, 2**32)) for _ in range(3))
        relative = self.number(500, 9999)
        return f"S-1-5-21-{parts}" + ("" if relative % 9 == 0 else f"-{relative}")

    def _account(self) -> str:
        user = f"{self.pick(_GIVEN)[0]}{self.pick(_FAMILY)}"
        realm = self.pick(_REALMS[self._formats])
        if self._is_tune or self.number(0, 2):
            return f"{realm}\\{user}"
        return f"{realm}\\{self.pick(_MACHINES[self._formats])}{self.number(1, 99)}$"

    def _mac(self) -> str:
        digits = self._text(_HEX, 12)
        pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
        if self._is_tune:
            return ":".join(pairs) if self.number(0, 2) else "-".join(pairs).upper()
        if self.number(0, 2):
            return ".".join(digits[i : i + 4] for i in (0, 4, 8))
        return ":".join(pairs).upper()

    def _card(self) -> str:
        prefix, size = self._draws.choice(
            [("4", "16"), ("51", "16"), ("55", "16"), ("2221", "16"), ("37", "15")]
        )
        digits = prefix + self._text(string.digits, int(size) - 1 - len(prefix))
        digits += luhn_digit(digits)
        groups = (4, 4, 4, 4) if len(digits) == 16 else (4, 6, 5)
        separator = self.pick(("", " ") if self._is_tune else ("-", "", " "))
        begins = [sum(groups[:i]) for i in range(len(groups))]
        return separator.join(
            digits[b : b + size] for b, size in zip(begins, groups, strict=True)
        )

    def _phone(self) -> str:
        def digits(size: int) -> str:
            return self._text(string.digits[2:], size)

        if self._is_tune:
            return self.pick(
                (
                    f"+1 {digits(3)} {digits(3)} {digits(4)}",
                    f"({digits(3)}) {digits(3)}-{digits(4)}",
                    f"+44 20 {digits(4)} {digits(4)}",
                    f"+49{digits(10)}",
                )
            )
        return self.pick(
            (
                f"+33 {digits(1)} {digits(2)} {digits(2)} {digits(2)} {digits(2)}",
                f"{digits(3)}-{digits(3)}-{digits(4)}",
                f"+61-4{digits(2)}-{digits(3)}-{digits(3)}",
                f"0049 (0)30 {digits(8)}",
            )
        )

    def _secret(self) -> str:
        if self._is_tune:
            return self.pick(
                (
                    "AKIA" + self._text(string.ascii_uppercase + "234567", 16),
                    "ghp_" + self._text(_ALNUM, 36),
                    self._jwt("HS256"),
                    self._pem("RSA PRIVATE KEY", "\\n"),
                    f"xoxb-{self._text(string.digits, 12)}-{self._text(_ALNUM, 24)}",
                )
            )
        return self.pick(
            (
                "ASIA" + self._text(string.ascii_uppercase + "234567", 16),
                "glpat-" + self._text(_URLSAFE, 20),
                self._jwt("RS256"),
                self._pem(self.pick(("EC PRIVATE KEY", "PRIVATE KEY")), " "),
                "AIza" + self._text(_URLSAFE, 35),
                "sk_live_" + self._text(_ALNUM, 24),
                "npm_" + self._text(_ALNUM, 36),
            )
        )

    def password(self) -> str:
        """Return a password or key that only its label tells for what it is."""
        if self.number(0, 2):
            return self.pick(_GIVEN).title() + str(self.number(10, 9999)) + "!"
        return self._text(_ALNUM, 20)

    def key(self) -> str:
        """Return 40 characters that only their label tells for a key."""
        return self._text(_BASE64, 40)

    def _jwt(self, algorithm: str) -> str:
        head = {"alg": algorithm, "typ": "JWT"}
        body = {"sub": self.pick(_GIVEN), "iat": self.number(1, 9**9)}
        texts = [json.dumps(part, separators=(",", ":")) for part in (head, body)]
        parts = [base64.urlsafe_b64encode(text.encode()).decode() for text in texts]
        return ".".join([*(p.rstrip("=") for p in parts), self._text(_URLSAFE, 43)])

    def _pem(self, label: str, newline: str) -> str:
        lines = [self._text(_BASE64, 64) for _ in range(self.number(1, 4))]
        return newline.join(
            (f"-----BEGIN {label}-----", *lines, f"-----END {label}-----")
        )

    def _trap_version(self) -> str:
        parts = [str(self.number(0, 30)) for _ in range(4)]
        four = ".".join(parts)
        if self._is_tune:
            return self.pick(
                (
                    f"version {four}",
                    f"v{four}",
                    f"Chrome/{'.'.join(parts[:2])}.4472.124",
                )
            )
        return self.pick(
            (
                f"ver={four}",
                f"release {four}",
                f"build {four}",
                f"nginx/{'.'.join(parts[:3])}",
            )
        )

    def _trap_hash(self) -> str:
        size = (32, 40, 64)[self.number(0, 3)]
        digest = self._text(_HEX, size)
        name = {32: "md5", 40: "sha1", 64: "sha256"}[size]
        return f"{name}={digest}" if self._is_tune else digest.upper()

    def _trap_timestamp(self) -> str:
        d, h, m = self.number(10, 28), self.number(10, 23), self.number(10, 59)
        if self._is_tune:
            return self.pick(
                (f"2024-05-{d}T{h}:{m}:{m}.123456Z", f"{d}/May/2024:{h}:{m}:{m}")
            )
        return self.pick(
            (
                f"2024/05/{d} {h}:{m}:{m},{m}1",
                f"May {d} {h}:{m}:{m}",
                f"17147{m}{h}00.{m}{d}",
            )
        )

    def _trap_port(self) -> str:
        port = self.number(1, 65_536)
        return f"port {port}" if self._is_tune else f"dport={port}/tcp"

    def _trap_mitre(self) -> str:
        number = self.number(1001, 1660)
        if self._is_tune:
            return f"T{number}.{self.number(1, 12):03d}"
        return self.pick(
            (f"TA{self.number(1, 12):04d}", f"CVE-2024-{number}", f"T{number}")
        )

    def _trap_rule(self) -> str:
        if self._is_tune:
            return self.pick(("ET SCAN Potential SSH Scan", "GPL ICMP PING NMAP"))
        return self.pick(
            ("SURICATA STREAM excessive retransmissions", "sigma:win_susp_svc")
        )

    def _trap_uuid(self) -> str:
        d = self._text(_HEX, 32)
        text = f"{d[:8]}-{d[8:12]}-4{d[13:16]}-a{d[17:20]}-{d[20:]}"
        return text if self._is_tune else "{" + text.upper() + "}"

    def _trap_number(self) -> str:
        body = "4" + self._text(string.digits, 14)
        wrong = (int(luhn_digit(body)) + self.number(1, 10)) % 10
        if self._is_tune:
            return f"{body}{wrong}"
        return self.pick(
            (f"{body}{wrong}", f"0x{self._text(_HEX, 12)}", f"{body}_{wrong}")
        )

    def _trap_file(self) -> str:
        if self._is_tune:
            return self.pick(
                ("svchost.exe", "kernel32.dll", "libssl.so.1.1", "setup.py")
            )
        return self.pick(
            ("rundll32.exe", "nginx.conf", "report.final.docx", "install.sh")
        )

    def _trap_package(self) -> str:
        if self._is_tune:
            return self.pick(
                ("openssl-1.1.1k-7.el8.x86_64", "python3.11", "libc6:amd64")
            )
        return self.pick(
            ("glibc-2.34-60.el9.noarch", "linux-image-6.1.0-18", "node@18.19.0")
        )

    def _trap_wording(self) -> str:
        if self._is_tune:
            return self.pick(("user unknown", "host unreachable", "password changed"))
        return self.pick(("user not found", "host key mismatch", "token expired"))


def luhn_digit(body: str) -> str:
    """Return the check digit of a number without it (ISO/IEC 7812-1, annex B).

    Args:
        body: decimal digits.
    """
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 * (doubled > 9)
    return str(-total % 10)
