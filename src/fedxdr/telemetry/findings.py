# SPDX-License-Identifier: Apache-2.0
"""What a detector found, for the people of one organisation: finding, evidence, line.

A finding says that some events of one organisation look like an attack, how much, by
which model, and on which lines of which log one can see it.

Where it may go: into the organisation's own memory, its outbox, its files and the
systems that it sends its own alerts to. Where it may NOT go: to the orchestrator, to
another organisation, into a message, a block, a model, a model card or a log message of
ours. Not the whole, and no field of it: even a token links an organisation's records,
and the place of a line tells of its machines. What organisations learn from each other
goes through protected rounds alone (docs/adr/0008-detection.md).

It does NOT score events or group them (learning/), keep findings (storage/), or write
them in anybody's format. It does NOT know a real address: entities are tokens, and
whoever writes a finding out for the organisation looks the names up at that moment and
stores them nowhere.

Rules that always hold:
    1. The rooms that speak with others, and the ledger, cannot import this file
       (import contract "findings stay at home").
    2. No finding and no evidence of today can be signed, hashed or put in an envelope:
       nanoseconds since 1970 lie beyond the integers that core/canonical.py has a form
       for.
    3. ``repr`` shows no entity, no sentence, no evidence and no place.
    4. A sentence names nobody: words of ours and numbers, no text from a log. What
       looks like an address, a path or an account is refused; a bare host name cannot
       be told, so whoever makes sentences keeps the rule.
    5. The same finding made again has the same ``id``: sinks drop the second.

Source: MITRE ATT&CK Enterprise (identifiers of tactics and techniques); OCSF 1.x,
Detection Finding (class 2004), for what a finding has to say and its ``severity_id``.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from typing import Final

from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.ids import Digest, OrgId, digest, org_id
from fedxdr.telemetry.catalogue import Kind, Service

MAX_EVIDENCE: Final = 128
"""A finding shows at most this many events; nobody reads more to believe it."""

MAX_SENTENCE: Final = 1_000
"""Characters that a sentence has at most."""

_LABEL: Final = "fedxdr/finding/v1"
_LAST_NS: Final = 2**63
_TACTIC: Final = re.compile(r"TA\d{4}\Z", re.ASCII)
_TECHNIQUE: Final = re.compile(r"T\d{4}(\.\d{3})?\Z", re.ASCII)
_CAMPAIGN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LOOKS_LIKE_A_NAME: Final = re.compile(
    r"\d+\.\d+\.\d+\.\d+|[0-9a-f]{0,4}:[0-9a-f]{0,4}:|[@\\/]"
    r"|[\x00-\x1f\x7f-\x9f\u2028\u2029]",
    re.IGNORECASE,
)


class Severity(enum.IntEnum):
    """How soon somebody should look; numbers are those of OCSF's ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in a log something stands; also how far a log was read.

    Device and inode say which file it was whatever it is called now; the fingerprint
    tells a copy, a packed sibling or an inode used again.

    Attributes:
        source: the log's name as the organisation configured it: a path, or
            ``kafka:topic``.
        device: of the file, >= 0; of a topic the partition.
        inode: of the file, >= 0; of a topic 0.
        fingerprint: SHA-256 of the first KiB of the log, unpacked, or of what there was
            when it was shorter; of a topic SHA-256 of its name.
        begin: where it begins, >= 0: bytes of the unpacked log, or offsets of a topic.
        end: where it ends, >= ``begin``: [begin, end).

    Raises:
        InvalidTelemetry: a number below 0, or an end before the begin.
        MalformedMessage: a fingerprint that is no digest.
    """

    source: str = field(repr=False)
    device: int = field(repr=False)
    inode: int = field(repr=False)
    fingerprint: Digest = field(repr=False)
    begin: int
    end: int

    def __post_init__(self) -> None:
        digest(self.fingerprint)
        if self.device < 0 or self.inode < 0:
            raise InvalidTelemetry("device and inode are 0 or more")
        if not 0 <= self.begin <= self.end:
            raise InvalidTelemetry(
                f"a position is [begin, end) with 0 <= begin <= end, "
                f"got [{self.begin}, {self.end})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One event that a finding rests on.

    Attributes:
        time_ns: UTC nanoseconds, in (0, 2^63).
        source: token of the entity that opened the exchange, 0 unknown.
        destination: token of the entity it was opened to, 0 unknown.
        user: token of the account that acted, 0 unknown.
        kind: what the record tells about.
        service: what was spoken.
        contribution: by how much the finding's ``score`` is higher with this event than
            without it; below 0 where the event speaks against the finding.
        line: where it stands in which log, None where that was not kept.

    Raises:
        InvalidTelemetry: a time or a contribution outside its range.
    """

    time_ns: int
    source: int = field(repr=False)
    destination: int = field(repr=False)
    user: int = field(default=0, repr=False)
    kind: Kind
    service: Service
    contribution: float
    line: Position | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_times(self.time_ns)
        _check_finite(contribution=self.contribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Events of one organisation that look like an attack.

    Attributes:
        id: see ``finding_id``; the key by which a sink knows one that it has already.
        org: whose events they are.
        time_ns: when it was found, UTC nanoseconds, in (0, 2^63).
        first_ns: time of the first event, UTC nanoseconds.
        last_ns: time of the last event, >= ``first_ns``; it may lie after ``time_ns``
            where a sensor's clock is ahead of ours.
        score: the detector's own number for the most suspicious event; comparable under
            one model only.
        calibrated: share of this organisation's own benign past that scores as high, in
            [0, 1]; the smaller, the rarer. It comes from its past alone and is as
            private as that.
        threshold: from which ``score`` on this organisation is told, by its own budget
            of false alarms; at most ``score``.
        severity: how soon somebody should look.
        tactic: ATT&CK tactic (``TA0011``), None where the model tells none.
        technique: ATT&CK technique (``T1071.004``), None where the model tells none.
        model: SHA-256 of the snapshot that scored, as the ledger names it.
        ledger_index: height of the block that made this model the federation's, None
            for a model that is on no ledger.
        source: token of the entity that seems to act, 0 unknown.
        destination: token of the entity that it seems to be done to, 0 unknown.
        user: token of the account concerned, 0 unknown.
        evidence: the events it rests on, at most ``MAX_EVIDENCE``, the largest
            contribution first.
        sentence: what happened, for a person: 1 to ``MAX_SENTENCE`` characters on one
            line. It names nobody (rule 4); addresses are fields.
        nearest: name of the known campaign that is most like it, None where none is:
            1 to 64 letters, digits, points, hyphens and underscores.

    Raises:
        InvalidTelemetry: a value outside its range, evidence out of order, or a
            sentence or campaign with something like an address, a path or an account in
            it.
        MalformedMessage: an ``id``, ``model`` or ``org`` that is none.
    """

    id: Digest
    org: OrgId
    time_ns: int
    first_ns: int
    last_ns: int
    score: float
    calibrated: float
    threshold: float
    severity: Severity
    tactic: str | None
    technique: str | None
    model: Digest
    ledger_index: int | None
    source: int = field(repr=False)
    destination: int = field(repr=False)
    user: int = field(default=0, repr=False)
    evidence: tuple[Evidence, ...] = field(repr=False)
    sentence: str = field(repr=False)
    nearest: str | None

    def __post_init__(self) -> None:
        digest(self.id)
        digest(self.model)
        org_id(self.org)
        _check_times(self.time_ns, self.first_ns, self.last_ns)
        if self.first_ns > self.last_ns:
            raise InvalidTelemetry("the last event of a finding is before its first")
        self._check_score()
        _check_word(_TACTIC, self.tactic, "a tactic is written like TA0011")
        _check_word(_TECHNIQUE, self.technique, "a technique is written like T1071.004")
        if self.ledger_index is not None and self.ledger_index < 0:
            raise InvalidTelemetry("a block's height is 0 or more")
        self._check_evidence()
        _check_word(_CAMPAIGN, self.nearest, "a campaign's name is 1 to 64 characters")
        if not 1 <= len(self.sentence) <= MAX_SENTENCE:
            raise InvalidTelemetry(
                f"a sentence has 1 to {MAX_SENTENCE} characters, "
                f"got {len(self.sentence)}"
            )
        # the message does not show the text: it may be what must not be there
        if _LOOKS_LIKE_A_NAME.search(f"{self.sentence} {self.nearest or ''}"):
            raise InvalidTelemetry(
                "the words of a finding hold something like an address, a path or an "
                "account, or more than one line"
            )

    def _check_score(self) -> None:
        _check_finite(score=self.score, threshold=self.threshold)
        if self.score < self.threshold:
            raise InvalidTelemetry(
                f"score {self.score} is below its threshold {self.threshold}"
            )
        if not 0 <= self.calibrated <= 1:
            raise InvalidTelemetry(
                f"calibrated is a share in [0, 1], got {self.calibrated}"
            )

    def _check_evidence(self) -> None:
        if len(self.evidence) > MAX_EVIDENCE:
            raise InvalidTelemetry(
                f"a finding has at most {MAX_EVIDENCE} events of evidence, "
                f"got {len(self.evidence)}"
            )
        weights = [one.contribution for one in self.evidence]
        if weights != sorted(weights, reverse=True):
            raise InvalidTelemetry("the largest contribution comes first")


def finding_id(
    *,
    org: OrgId,
    model: Digest,
    source: int,
    destination: int,
    tactic: str | None,
    first_ns: int,
) -> Digest:
    """Return the name of a finding, made from what stays while events join it.

    Who scores the same events again with the same model, as after a crash, makes the
    same name. It is as private as the tokens in it.

    Args:
        org: whose events they are.
        model: digest of the snapshot that scored.
        source: token of who seems to act, 0 unknown.
        destination: token of whom it seems to be done to, 0 unknown.
        tactic: ATT&CK tactic or None.
        first_ns: time of the first event, UTC nanoseconds.

    Returns:
        SHA-256(``fedxdr/finding/v1`` || 0x00 || canonical array of the six as text).
    """
    # as text: tokens and nanoseconds lie beyond the integers of RFC 8785
    parts = (org, model, str(source), str(destination), tactic or "", str(first_ns))
    return fingerprint(_LABEL, parts)


def _check_times(*times_ns: int) -> None:
    for time_ns in times_ns:
        if not 0 < time_ns < _LAST_NS:
            raise InvalidTelemetry(f"a time lies in (0, 2^63) ns, got {time_ns}")


def _check_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise InvalidTelemetry(f"{name} is not finite")


def _check_word(form: re.Pattern[str], word: str | None, want: str) -> None:
    if word is not None and not form.match(word):
        raise InvalidTelemetry(want)
