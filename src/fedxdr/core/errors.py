# SPDX-License-Identifier: Apache-2.0
"""Every error of the house, in one tree.

Three families that callers treat apart::

    FedxdrError
    ├── InvalidInput            the other side sent it: say no, go on
    │   ├── MalformedMessage    not in canonical form, wrong length, unknown field
    │   ├── BadSignature        the signature does not match key, message or context
    │   ├── UnknownSender       no such member, or a key that is not on the ledger
    │   ├── InvalidPlan         a combination that cannot work or would lie
    │   ├── InvalidUpdate       NaN, infinity, wrong shape, norm out of bounds
    │   ├── InvalidShare        a share, seed or reconstruction that does not match
    │   ├── InvalidTelemetry    a log line or file that cannot be read
    │   ├── InvalidSettings     an option, variable or file name that is wrong
    │   └── VerificationFailed  an audit step failed; carries height and step
    ├── Refused                 correct, but not allowed now
    │   ├── ReplayedRequest     a nonce or message was seen before
    │   ├── InvitationRefused   used, expired or unknown invitation
    │   ├── Unauthorised        no valid token or signature where one is needed
    │   ├── NotFound            no such round, block, organisation or model
    │   ├── WrongPhase          the round does not take this message now
    │   ├── BelowFloor          the agent's local floor forbids this plan
    │   ├── TooFewParticipants  fewer than the plan's minimum or threshold
    │   ├── AlreadyAnswered     a second, different answer to a once-only question
    │   ├── BudgetExhausted     the privacy purse does not hold what this would cost
    │   ├── TooLarge            a body, line or file above its limit
    │   └── Unavailable         the other party cannot be reached or is not ready
    │       └── WaitingForQuorum  too few members consented or cosigned yet
    └── Fault                   ours: stop
        ├── IntegrityFault      stored bytes do not hash to what was recorded
        └── StorageFault        the disk or database said no

A message never contains a secret, an update or the content of an event.
``code`` is stable: it is the last part of the problem type over HTTP and the key
of docs/reference/errors.md.
"""

from __future__ import annotations

from typing import ClassVar


class FedxdrError(Exception):
    """Root of the tree; catch a family instead."""

    code: ClassVar[str] = "error"


class InvalidInput(FedxdrError):
    """The other side sent something wrong."""

    code: ClassVar[str] = "invalid-input"


class MalformedMessage(InvalidInput):
    """Bytes that are not the one canonical form of what they should be."""

    code: ClassVar[str] = "malformed-message"


class BadSignature(InvalidInput):
    """A signature that does not verify under the key that should have made it."""

    code: ClassVar[str] = "bad-signature"


class UnknownSender(InvalidInput):
    """A sender who is not a member, or a key that is not on the ledger."""

    code: ClassVar[str] = "unknown-sender"


class InvalidPlan(InvalidInput):
    """A plan whose parts cannot work together or would misstate its protection."""

    code: ClassVar[str] = "invalid-plan"


class InvalidUpdate(InvalidInput):
    """An update with NaN, infinity, a wrong shape or a norm out of bounds."""

    code: ClassVar[str] = "invalid-update"


class InvalidShare(InvalidInput):
    """A share, seed or reconstruction that does not match its commitment."""

    code: ClassVar[str] = "invalid-share"


class InvalidTelemetry(InvalidInput):
    """A log line, file or table that cannot be read as telemetry."""

    code: ClassVar[str] = "invalid-telemetry"


class InvalidSettings(InvalidInput):
    """An option, environment variable or path that is wrong."""

    code: ClassVar[str] = "invalid-settings"


class VerificationFailed(InvalidInput):
    """An audit step failed.

    Args:
        message: what was found and what was expected.
        step: number and name of the step, for example ``"3 merkle root"``.
        height: height of the block concerned, None where no block is.
    """

    code: ClassVar[str] = "verification-failed"

    def __init__(self, message: str, *, step: str, height: int | None = None) -> None:
        where = f"step {step}" if height is None else f"block {height}, step {step}"
        super().__init__(f"{where}: {message}")
        self.step = step
        self.height = height


class Refused(FedxdrError):
    """Correct, but not allowed now."""

    code: ClassVar[str] = "refused"


class ReplayedRequest(Refused):
    """A nonce or message that was seen before."""

    code: ClassVar[str] = "replayed-request"


class InvitationRefused(Refused):
    """An invitation that is unknown, used, revoked or expired."""

    code: ClassVar[str] = "invitation-refused"


class Unauthorised(Refused):
    """No valid token or request signature where one is needed."""

    code: ClassVar[str] = "unauthorised"


class NotFound(Refused):
    """No such round, block, organisation or model."""

    code: ClassVar[str] = "not-found"


class WrongPhase(Refused):
    """The round does not take this message now."""

    code: ClassVar[str] = "wrong-phase"


class BelowFloor(Refused):
    """The agent's local floor forbids what the plan or the orchestrator asks."""

    code: ClassVar[str] = "below-floor"


class TooFewParticipants(Refused):
    """Fewer participants than the plan's minimum or threshold."""

    code: ClassVar[str] = "too-few-participants"


class AlreadyAnswered(Refused):
    """A second, different answer to a question that is answered once."""

    code: ClassVar[str] = "already-answered"


class BudgetExhausted(Refused):
    """The privacy purse does not hold what this would cost."""

    code: ClassVar[str] = "budget-exhausted"


class TooLarge(Refused):
    """A body, line or file above its limit."""

    code: ClassVar[str] = "too-large"


class Unavailable(Refused):
    """The other party cannot be reached or is not ready; try again later."""

    code: ClassVar[str] = "unavailable"


class WaitingForQuorum(Unavailable):
    """It needs the members' consent or cosignatures, and too few have come yet."""

    code: ClassVar[str] = "waiting-for-quorum"


class Fault(FedxdrError):
    """Our own failure; the process must stop what it is doing."""

    code: ClassVar[str] = "fault"


class IntegrityFault(Fault):
    """Stored bytes do not hash to what was recorded; nothing may go on."""

    code: ClassVar[str] = "integrity-fault"


class StorageFault(Fault):
    """The disk or the database said no."""

    code: ClassVar[str] = "storage-fault"
