# SPDX-License-Identifier: Apache-2.0
"""Whose cosignatures make a checkpoint count: C2SP trust policies.

A policy lists logs, witnesses, groups of them and one quorum::

    log VKEY [URL]
    witness NAME VKEY [URL]
    group NAME all|any|K MEMBER...
    quorum NAME|none

A checkpoint counts if a listed log signed it and the quorum's group, K of whose members
must stand for it, does. ``policy_text`` writes the policy of a federation: a group for
each organisation, of which both the Ed25519 and the ML-DSA-44 key must cosign, and a
quorum over these groups.

Not here: whether a checkpoint extends another (merkle.py), how old a cosignature may
be, and which policy is in force at a height.

Rules that always hold: no two witnesses share a key and a name is a member of one group
only, so nobody counts twice; every line of a key that the policy lists must verify; a
policy without logs accepts nothing.

Why the quorum is q > (n + f)/2 with f = ⌊(n - 1)/3⌋: two heads with q cosigners each
share at least 2q - n > f of them, so at least one that is honest and signed no fork.
It needs q <= n - f to be reached without the liars, which holds for n >= 3f + 1.

Sources: C2SP tlog-policy; Castro and Liskov 1999, "Practical Byzantine fault
tolerance", section 3, for n >= 3f + 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.ledger import checkpoint, note
from fedxdr.ledger.note_form import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    VerifierKey,
    parse_verifier_key,
)

MAX_POLICY_BYTES = 1_000_000
NONE = "none"
QUORUM_GROUP = "Quorum"  # no organisation's name has capitals

_LOG_KINDS = (ED25519, COSIGNATURE_ML_DSA_44)
_WITNESS_KINDS = (COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44)
_COUNT = re.compile(r"[1-9][0-9]{0,5}\Z")
_BLANKS = re.compile(r"[ \t]+")
# Allowed octets: tab, newline, 0x20 to 0x7E and 0x80 to 0xFF.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def faults(n: int) -> int:
    """Return f = ⌊(n - 1)/3⌋, how many of n organisations may lie, n >= 1."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """Return the smallest q with q > (n + f)/2, for n >= 1 organisations."""
    return (n + faults(n)) // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log whose checkpoints are accepted.

    Attributes:
        key: of kind 0x01 or 0x06; its name is the log's origin.
    """

    key: VerifierKey

    def __post_init__(self) -> None:
        if self.key.kind not in _LOG_KINDS:
            raise MalformedMessage("a log signs with a key of kind 0x01 or 0x06")


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness, under the name it has within the policy.

    Attributes:
        name: without spaces and tabs.
        key: of kind 0x04 or 0x06.
    """

    name: str
    key: VerifierKey

    def __post_init__(self) -> None:
        if self.key.kind not in _WITNESS_KINDS:
            raise MalformedMessage("a witness cosigns with a key of kind 0x04 or 0x06")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Names of which some must stand for a checkpoint.

    Attributes:
        name: without spaces and tabs.
        threshold: how many, in [1, len(members)].
        members: witnesses and groups on lines before.
    """

    name: str
    threshold: int
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len(self.members):
            raise MalformedMessage(
                f"a group wants {self.threshold} of {len(self.members)} members"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy, checked as a whole.

    Attributes:
        lines: logs, witnesses and groups, in order; names are used after their lines.
        quorum: name of a witness or group, or ``none``.
    """

    lines: tuple[Log | Witness | Group, ...]
    quorum: str
    _ring: note.Keyring = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names, free = set[str](), set[str]()
        keys = [set[bytes](), set[bytes]()]  # of logs, of witnesses
        for line in self.lines:
            if not isinstance(line, Group):
                known = keys[isinstance(line, Witness)]
                if line.key.public_key in known:
                    raise MalformedMessage(f"two lines with the key {line.key.name}")
                known.add(line.key.public_key)
            if isinstance(line, Log):
                continue
            if isinstance(line, Group):
                for member in line.members:
                    if member not in free:
                        raise MalformedMessage(
                            "a group's member is no name of a line before it, or is a "
                            "member already"
                        )
                    free.remove(member)
            if line.name in names or line.name == NONE:
                raise MalformedMessage("two lines with one name, or one called none")
            names.add(line.name)
            free.add(line.name)
        if self.quorum not in names and self.quorum != NONE:
            raise MalformedMessage("the quorum is no witness, no group and not none")
        ring = note.keyring(x.key for x in self.lines if not isinstance(x, Group))
        object.__setattr__(self, "_ring", ring)

    def check(self, data: bytes) -> tuple[str, ...]:
        """Return who cosigned a checkpoint that counts.

        Each line of a listed key is verified once; other lines are ignored.

        Args:
            data: the checkpoint with its signature lines.

        Returns:
            Those members of the quorum's group that stand for it, in the group's order;
            in a federation's policy the organisations. For a quorum that is a witness
            its name, for ``none`` nothing.

        Raises:
            BadSignature: the line of a listed key does not verify, the log's is
                missing, or the quorum is not reached.
            MalformedMessage: this is no signed checkpoint.
        """
        found = self.cosigners(data)
        wanted = self._quorum_group
        if self.quorum != NONE and len(found) < wanted.threshold:
            raise BadSignature(
                f"{len(found)} of {len(wanted.members)} cosigned, the policy wants "
                f"{wanted.threshold}"
            )
        return found

    def cosigners(self, data: bytes) -> tuple[str, ...]:
        """Return who of the quorum's group cosigned so far, enough or not.

        Raises:
            BadSignature: the line of a listed key does not verify, or the log's is
                missing.
            MalformedMessage: this is no signed checkpoint.
        """
        signed = note.parse(data)
        origin = checkpoint.parse_body(signed.text).origin
        keys = set(note.signers(signed, self._ring))
        standing: set[str] = set()
        log_signed = False
        for line in self.lines:
            match line:
                case Log():
                    log_signed |= line.key in keys and line.key.name == origin
                case Witness():
                    if line.key in keys:
                        standing.add(line.name)
                case Group():
                    if sum(m in standing for m in line.members) >= line.threshold:
                        standing.add(line.name)
        if not log_signed:
            raise BadSignature("no log of this policy signed the checkpoint")
        return tuple(m for m in self._quorum_group.members if m in standing)

    def listed(self, data: bytes) -> bytes:
        """Return a checkpoint with the lines of listed keys only, each once.

        Others do not count and are only carried along; nothing is verified.

        Raises:
            MalformedMessage: no note, or one without a line of a listed key.
        """
        found = note.parse(data)
        lines = dict.fromkeys(
            line for line in found.signatures if (line.name, line.key_id) in self._ring
        )
        return note.Note(text=found.text, signatures=tuple(lines)).to_bytes()

    @property
    def _quorum_group(self) -> Group:
        """The quorum as a group; that of a witness has one member."""
        for line in self.lines:
            if isinstance(line, Group) and line.name == self.quorum:
                return line
        return Group(name=self.quorum, threshold=1, members=(self.quorum,))


def parse(data: bytes) -> Policy:
    """Return the policy of a file.

    Args:
        data: lines, each with its newline. Names are octets: those that are no UTF-8
            are kept (PEP 383), and two names are one only if their octets are.

    Raises:
        MalformedMessage: not a policy, or a contradictory one.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise MalformedMessage(f"a policy has at most {MAX_POLICY_BYTES} bytes")
    if _FORBIDDEN.search(data):
        raise MalformedMessage("a policy has no control characters but tab and newline")
    text = data.decode("utf-8", "surrogateescape")
    if not text.endswith("\n"):
        raise MalformedMessage("a policy's last line ends in a newline")
    lines: list[Log | Witness | Group] = []
    wanted: str | None = None
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        match _BLANKS.split(line.strip(" \t")):
            case [""]:
                pass
            case [word, *_] if word.startswith("#"):
                pass
            case ["log", key] | ["log", key, _]:
                lines.append(Log(key=parse_verifier_key(key)))
            case ["witness", name, key] | ["witness", name, key, _]:
                lines.append(Witness(name=name, key=parse_verifier_key(key)))
            case ["group", name, count, *members] if members:
                threshold = _threshold(count, of=len(members))
                lines.append(
                    Group(name=name, threshold=threshold, members=tuple(members))
                )
            case ["quorum", name] if wanted is None:
                wanted = name
                # (checked here already: what it names stands on a line before)
                Policy(lines=tuple(lines), quorum=wanted)
            case _:
                raise MalformedMessage(
                    f"line {number} of the policy says nothing known"
                )
    if wanted is None:
        raise MalformedMessage("a policy has one quorum line")
    return Policy(lines=tuple(lines), quorum=wanted)


def policy_text(
    *, origin: str, log_key: str, witnesses: Mapping[str, tuple[str, str]]
) -> str:
    """Return the policy of a federation: a quorum of its organisations, by both keys.

    Args:
        origin: of the ledger.
        log_key: verifier key of the orchestrator, named as the origin.
        witnesses: organisation -> its verifier keys of kind 0x04 and of kind 0x06.

    Returns:
        The file, organisations in order of their names: the same for the same members.

    Raises:
        MalformedMessage: no organisations, one called ``none``, a key of another kind
            or under another origin, or one key twice.
    """
    if parse_verifier_key(log_key).name != origin:
        raise MalformedMessage("the log's key is named as its origin")
    lines = [f"log {log_key}"]
    for org, keys in sorted(witnesses.items()):
        if tuple(parse_verifier_key(key).kind for key in keys) != _WITNESS_KINDS:
            raise MalformedMessage(f"{org} cosigns with kinds 0x04 and 0x06, in order")
        lines += [
            f"witness {org}.ed25519 {keys[0]}",
            f"witness {org}.ml-dsa-44 {keys[1]}",
            f"group {org} all {org}.ed25519 {org}.ml-dsa-44",
        ]
    members = " ".join(sorted(witnesses))
    lines += [
        f"group {QUORUM_GROUP} {quorum(len(witnesses))} {members}",
        f"quorum {QUORUM_GROUP}",
    ]
    text = "".join(f"{line}\n" for line in lines)
    parse(text.encode())
    return text


def _threshold(count: str, *, of: int) -> int:
    match count:
        case "all":
            return of
        case "any":
            return 1
    if not _COUNT.match(count):
        raise MalformedMessage("a group wants all, any or a number of its members")
    return int(count)
