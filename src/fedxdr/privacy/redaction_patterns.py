# SPDX-License-Identifier: Apache-2.0
"""The patterns of entities in free text, put together into one regular expression.

``MASTER`` is tried at each start of a word; its branches stand in tables of (kind,
pattern) and are tried in order. The kind ``skip`` swallows look-alikes (versions,
dates, hashes, UUIDs), so that their parts are not taken for entities. ``KIND_OF`` gives
the kind of a match by its last group.

It does NOT judge what a match means (redaction_scan.py).

Rule 1: the work is linear in the length of the text. Every repetition is bounded, and
those that could overlap are possessive (they never give back). A test walks the parsed
pattern and checks it.
Rule 2: a branch begins with a character or a set of them, so that the matcher passes
over it at the cost of one comparison; its empty group at the end tells which it was.

Sources: RFC 4291 (IPv6), RFC 5321 (e-mail), RFC 3986 (URI), RFC 7519 (JWT), RFC 7468
(PEM), MS-DTYP 2.4.2 (SID), ISO/IEC 7812-1 (cards), E.164 (phones); messages of OpenSSH,
PAM and sudo; public documentation of token formats by AWS, GitHub, GitLab, Slack,
Google, Stripe, npm, PyPI, SendGrid.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

_Branches = tuple[tuple[str, str], ...]
"""(kind, pattern), in the order in which they are tried."""

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
IPV4: Final = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_X2: Final = "[0-9A-Fa-f]{2}"
_PRIVATE: Final = r"(?:10\.|192\.168\.|172\.(?:1[6-9]|2[0-9]|3[01])\.)"
_VERSION: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9}){1,6}+(?!\w)"
_GAP: Final = r"(?:[ \t\r\n]|\\[nr]){0,4}+"
_TIME: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?+"

_FOR_WHOM: Final = r"[\w/-]{1,40}+ for (?:(?:invalid|illegal) user )?+ ?"

_HEX: Final = (
    ("skip", r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![\w-])"),  # UUID
    ("skip", r"[0-9A-Fa-f]{32,128}+(?!\w)"),  # hash
    ("mac", rf"{_X2}(?:(?::{_X2}){{5}}|(?:-{_X2}){{5}})(?!\w|[:-]{_X2})"),
    ("mac", r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])"),
    ("certificate", rf"{_X2}(?::{_X2}){{7,63}}(?![\w:])"),
    (
        "ip6",
        (
            r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,45}+"
            r"(?:\.[0-9]{1,3}){0,3}+(?:%[\w.-]{1,16}+)?+"
        ),
    ),
)
_DIGIT: Final = (
    (
        "skip",
        (
            rf"[0-9]{{4}}[-/][0-9]{{2}}[-/][0-9]{{2}}(?:[T ,]{{1,2}}{_TIME}"
            r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?+(?![\w-])"
        ),
    ),
    ("ip4", rf"(?<![.~]){IPV4}(?!\w|\.\w)"),
    ("skip", r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?+(?:[.,][0-9]{1,9})?+(?![\w:])"),
    ("skip", r"[0-9]{1,2}/[A-Z][a-z]{2}/[0-9]{4}(?::[0-9]{2}){3}(?![0-9])"),
    *_HEX,
    (
        "card",
        (
            r"(?:[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}"
            r"|3[0-9]{3}[ -]?[0-9]{6}[ -]?[0-9]{4,5})(?!\w|[.-][0-9])"
        ),
    ),
    ("phone", r"[2-9][0-9]{2}-[0-9]{3}-[0-9]{4}(?!\w|[.-][0-9])"),
    (
        "phone",
        (
            r"00[1-9][0-9]{0,2}+[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{1,4}"
            r"(?:[ .-][0-9]{2,8}+){1,5}+(?!\w|[.-][0-9])"
        ),
    ),
    ("skip", r"0x[0-9A-Fa-f]{1,64}+(?!\w)"),
    ("skip", r"[0-9]{1,9}(?:\.[0-9]{1,9}){4,20}+(?!\w|\.[A-Za-z])"),
)
_SIGN: Final = (
    (
        "phone",
        (
            r"\+[1-9](?:[ .-]?(?:\([0-9]{1,4}\))?[ .-]?[0-9]{1,10}+){1,6}+"
            r"(?!\w|[.-][0-9])"
        ),
    ),
    ("phone", r"\([2-9][0-9]{2}\) ?[0-9]{3}[ .-][0-9]{4}(?!\w|[.-][0-9])"),
    (
        "secret",
        (
            r"(?>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----)"
            rf"(?:{_GAP}[0-9A-Za-z+/=]{{16,4096}}+){{0,400}}+"
            rf"(?:{_GAP}[0-9A-Za-z+/=]{{1,76}}+(?={_GAP}-----END))?+"
            rf"{_GAP}(?:-----END [A-Z0-9 ]{{1,60}}-----)?+"
        ),
    ),
    ("ip6", r"::[0-9A-Fa-f:]{1,45}+(?:\.[0-9]{1,3}){0,3}+(?:%[\w.-]{1,16}+)?+"),
    ("host", r"\*\.[\w-]{1,63}+\.[\w.-]{1,253}+"),
)
_TOKENS: Final = (
    r"A(?:KIA|SIA|BIA|CCA|GPA|IDA|IPA|NPA|NVA|ROA|PKA|SCA)[A-Z2-7]{16}",
    r"AIza[\w-]{30,60}+",
    r"gh[pousr]_[0-9A-Za-z]{20,255}+",
    r"github_pat_\w{20,255}+",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[\w-]{20,255}+",
    r"xox[a-z]-[0-9A-Za-z-]{10,255}+",
    r"xapp-[0-9A-Za-z-]{10,255}+",
    r"ya29\.[\w-]{20,1024}+",
    r"[sr]k_(?:live|test)_[0-9A-Za-z]{10,255}+",
    r"whsec_[0-9A-Za-z]{16,255}+",
    r"npm_[0-9A-Za-z]{20,64}+",
    r"pypi-[\w-]{30,255}+",
    r"SG\.[\w-]{16,64}+\.[\w-]{16,128}+",
    r"dop_v1_[0-9a-f]{32,128}+",
    r"sq0[a-z]{3}-[\w-]{20,64}+",
    r"eyJ[\w-]{5,4096}+(?:\.[\w-]{2,4096}+){1,4}+",
)
_ROLES: Final = {
    "called": ("login", "account", "principal", "logname"),
    "named": (
        *("host", "hostname", "workstation", "computer", "machine", "server", "node"),
        "device",
    ),
}
_LONG: Final = (
    *(("secret", rf"{token}(?!\w)") for token in _TOKENS),
    ("sid", r"S-1-[0-9]{1,3}(?:-[0-9]{1,10}){1,14}+"),
)
_CALLS: Final = (
    ("skip", rf"[vV](?:er(?:sion)?|ER(?:SION)?)?[ :=/-]{{0,2}}{_VERSION}"),
    ("skip", rf"[rR]e(?:lease|v(?:ision)?)[ :=/-]{{1,2}}(?!{_PRIVATE}){_VERSION}"),
    ("skip", rf"[bB]uild[ :=/-]{{1,2}}(?!{_PRIVATE}){_VERSION}"),
    ("skip", rf"[fF]irmware[ :=/-]{{1,2}}(?!{_PRIVATE}){_VERSION}"),
    ("skip", rf"[A-Z][a-z][A-Za-z]{{0,30}}+/{_VERSION}"),
    ("said", rf"Failed {_FOR_WHOM}"),
    ("said", rf"Accepted {_FOR_WHOM}"),
    ("said", rf"P(?:ostponed|artial) {_FOR_WHOM}"),
    ("said", r"[fF]ailures? for (?:user )?"),
    ("said", r"[lL]og(?:in for|ged (?:in|on) as) "),
    ("said", r"[pP]assword for (?:user )?"),
    ("said", r"[aA]uthenticat(?:ed as|ion of) "),
    ("said", r"[oO]n behalf of "),
    ("said", r"[sS]witched to user "),
)
_ROLE_CALLS: Final = (
    ("called", r"[uU](?:ser(?:[nN]ame)?|SER(?:NAME)?) {1,2}(?=[\w'\"])"),
    *(
        (role, rf"[{word[0].upper()}{word[0]}]{word[1:]} {{1,2}}(?=[\w'\"])")
        for role, words in _ROLES.items()
        for word in words
    ),
    *(
        ("bearer", rf"[{word[0].upper()}{word[0]}]{word[1:]} {{1,2}}(?=\w)")
        for word in ("bearer", "basic", "negotiate", "digest", "token")
    ),
)
_PATHS: Final = (
    (
        "home",
        (
            r"[\\/][\\/]?(?:[hH]ome|HOME|[uU]sers|USERS|[dD]ocuments and [sS]ettings)"
            r"[\\/]{1,2}"
        ),
    ),
    ("unc", r"\\\\(?:\\\\)?(?=[0-9A-Za-z][\w.-]{0,253}+\\)"),
)
_FOLLOWED: Final = (
    ("url", r"://[^\s\"'<>\\^`{|}]{1,4096}+"),
    (
        "email",
        r"@(?![0-9]{1,63}+(?:\.[0-9]{1,63}+){0,2}+(?!\w|-|\.\w))[0-9A-Za-z-]{1,63}+(?:\.[0-9A-Za-z-]{1,63}+){0,10}+",
    ),
    ("account", r"\\\\?\w[\w.$-]{0,63}+(?![\\/])"),
    ("key", "[=:]>?"),
    ("sudo", r" : (?=TTY=|command not|user NOT|[0-9] incorrect)"),
    ("key", " {1,2}(?:=>?|:(?!:))"),
    ("key", "[\"'] {0,2}(?:=>?|:)"),
    ("key", r"\\[\"'] {0,2}(?:=>?|:)"),
    ("sudo", r"\((?=uid=)"),
    ("sudo", r"\) (?=(?:CMD|LIST|MAIL|RELOAD)\b)"),
)


def _by_kind(branches: _Branches) -> list[tuple[str, str]]:
    """Return neighbours of one kind joined: fewer groups, cheaper matches."""
    return [
        (kind, "|".join(pattern for _, pattern in same))
        for kind, same in itertools.groupby(branches, key=lambda branch: branch[0])
    ]


def _tagged(branches: _Branches) -> str:
    """Return the branches as alternatives, each kind with an empty group at its end.

    A branch that begins with a character and not with a group is passed over by the
    matcher at the cost of one comparison.
    """
    return "|".join(f"(?:{pattern})()" for _, pattern in _by_kind(branches))


def _kinds_of_groups() -> tuple[str, ...]:
    """Return the kind of each group of the master pattern, by its number."""
    named = {number: name for name, number in MASTER.groupindex.items()}
    tables = (_DIGIT, _HEX, _LONG, _CALLS, _ROLE_CALLS, _FOLLOWED, _SIGN, _PATHS)
    tags = iter([kind for table in tables for kind, _ in _by_kind(table)])
    return tuple(
        "" if number == 0 else named.get(number) or next(tags)
        for number in range(MASTER.groups + 1)
    )


# Words that no branch begins with are passed over in one go. The work stays linear: if
# nothing follows such a run, the run itself is the match, and is not read again.
_PLAIN: Final = (
    r"(?![uU]s|[lL]og|[aA](?:cc|ut)|[pP](?:r|a|o)|[hH]o|[wW]or|[cC]om|[mM]ac|[sS](?:er|wi)"
    r"|[nN](?:od|eg)|[dD](?:ev|ig)|[bB](?:ea|as|ui)|[tT]ok|[vV]|[rR]e|[fF](?:ir|ai)|[oO]n)"
    r"[A-Za-z]{1,14}+(?: {1,4}+|[,;] {0,4}+)(?!=|:(?!:))"
)
MASTER: Final = re.compile(
    r"(?<![0-9A-Za-z_])"
    rf"(?P<plain>(?:{_PLAIN}){{1,64}}+)?+(?:"
    rf"(?=[0-9])(?:{_tagged(_DIGIT)})"
    rf"|(?=[A-Fa-f][0-9A-Fa-f:.-]{{3}})(?:{_tagged(_HEX)})"
    rf"|(?=[A-Za-z][\w.-]{{15}})(?:{_tagged(_LONG)})"
    rf"|(?=[FAPfalposSvVrRbBLO]|[A-Z][a-z])(?:{_tagged(_CALLS)})"
    rf"|(?=[ulapchwmsndbtULAPCHWMSNDBT][a-zS])(?:{_tagged(_ROLE_CALLS)})"
    rf"|(?P<word>\w[\w.%+'-]{{0,253}}+)(?:{_tagged(_FOLLOWED)})"
    rf"|(?=[+(:*-])(?:{_tagged(_SIGN)})"
    r"|(?P<host>\w[\w-]{0,62}+\.[\w.-]{1,253}+)"
    r"|(?(plain)(?P<over>)|(?!))"
    r")"
    rf"|{_tagged(_PATHS)}"
)
PLAIN_GROUP: Final = MASTER.groupindex["plain"]
KIND_OF: Final = _kinds_of_groups()
"""The kind of each group of ``MASTER``, by its number."""
