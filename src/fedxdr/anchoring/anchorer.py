# SPDX-License-Identifier: Apache-2.0
"""Anchors the newest checkpoint now and then, in a thread of its own.

Whoever commits blocks calls ``offer`` and goes on. What is to be done follows from what
the chain holds and what was noted, so that a restart needs nothing else: an anchor that
was handed in before kill -9 is found on the chain, or handed in again.

It does NOT make or verify checkpoints, and nobody waits for it: a chain that is dead,
slow, dear, hung or lying costs the federation nothing but its anchors.

Rules that always hold:
    1. ``offer`` does not wait and does not raise.
    2. No size below one that was anchored is ever handed in, whatever the chain says.
    3. One transaction is under way at a time; a later one replaces it.
    4. An anchor on the chain that is not of this log's history stops further ones: a
       person must look.
    5. An outage is logged when it begins and when it ends, not in between.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from fedxdr.anchoring.chain import AnchoredHead, Chain
from fedxdr.anchoring.notes import Notes
from fedxdr.anchoring.proofs import AnchorRecord
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    FedxdrError,
    InvalidSettings,
    Refused,
    Unavailable,
    VerificationFailed,
)
from fedxdr.core.retries import retry_context
from fedxdr.ledger.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_LONGEST_SLEEP_S = 3600.0
_STEP = "1 checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how patiently.

    Attributes:
        every_blocks: anchor once the log has grown by so many, >= 1.
        every_s: or once so long has passed and it has grown at all, > 0.
        least_depth: blocks of the chain, its own counted, before an anchor is noted,
            >= 1. Which depth is final is the chain's rule.
        poll_s: between two looks at a transaction under way, > 0.
        resend_s: without a block for so long, offer a higher fee, > 0.
        first_wait_s: after a failure; doubled after each further one, > 0.
        longest_wait_s: between two tries, >= ``first_wait_s``.
    """

    every_blocks: int = 10
    every_s: float = 3600.0
    least_depth: int = 1
    poll_s: float = 3.0
    resend_s: float = 180.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0

    def __post_init__(self) -> None:
        counts = (self.every_blocks, self.least_depth)
        waits = (self.every_s, self.poll_s, self.resend_s, self.first_wait_s)
        is_right = min(counts) >= 1 and all(0 < wait < math.inf for wait in waits)
        if not is_right or not self.first_wait_s <= self.longest_wait_s < math.inf:
            raise InvalidSettings(
                "the pace of anchors has counts >= 1 and waits > 0, the longest last"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStatus:
    """Where the anchorer stands.

    Attributes:
        newest_size: of the newest checkpoint offered; 0 where there is none.
        anchored_size: of the last record noted; 0 where there is none.
        trouble: code of the error that holds it up, None where nothing does.
        since: when that began, UTC; None where nothing does.
    """

    newest_size: int
    anchored_size: int
    trouble: str | None
    since: datetime | None


class Anchorer:
    """Anchors the newest checkpoint of one log; a context manager.

    Args:
        chain: the contract; its calls may hang for ever.
        notes: the file of records; the caller closes it after ``stop``.
        origin: of the log; checkpoints of others are not taken.
        clock: the time.
        pace: how often.
        root_at: the log's own root, 32 bytes, of a size below the newest; called in the
            anchorer's thread. None: only roots of equal sizes are compared.
    """

    def __init__(
        self,
        chain: Chain,
        notes: Notes,
        *,
        origin: str,
        clock: Clock,
        pace: Pace | None = None,
        root_at: Callable[[int], bytes] | None = None,
    ) -> None:
        self._chain = chain
        self._notes = notes
        self._origin = origin
        self._clock = clock
        self._pace = pace or Pace()
        self._root_at = root_at
        # guards the fields below it; never held while the chain is asked
        self._lock = threading.Lock()
        self._newest: Checkpoint | None = None
        self._trouble: str | None = None
        self._since: datetime | None = None
        # only ``step`` touches these
        self._failures = 0
        self._sent_at: datetime | None = None
        self._attempt = 0
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="fedxdr-anchorer", daemon=True
        )

    def offer(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint to anchor, if it is the newest; never waits or raises.

        Args:
            checkpoint: of this log; one that is older or not of it is left out.
        """
        if checkpoint.origin != self._origin:
            logger.warning(
                "a checkpoint of another log is not anchored",
                extra={"origin": checkpoint.origin},
            )
            return
        with self._lock:
            known = self._newest
            is_newer = checkpoint.size > (known.size if known is not None else 0)
            if is_newer:
                self._newest = checkpoint
        if is_newer:
            self._wake.set()
        elif known is not None and (checkpoint.size, checkpoint.root) == (
            known.size, known.root,
        ):  # fmt: skip
            return
        elif known is not None and checkpoint.size == known.size:
            logger.error(
                "two roots of one size were offered to be anchored",
                extra={"size": checkpoint.size},
            )

    def status(self) -> AnchorStatus:
        """Return where the anchorer stands; never waits for the chain."""
        noted = self._notes.newest(self._origin)
        with self._lock:
            return AnchorStatus(
                newest_size=0 if self._newest is None else self._newest.size,
                anchored_size=0 if noted is None else noted.size,
                trouble=self._trouble,
                since=self._since,
            )

    def step(self) -> float | None:
        """Do what is to be done now: look, note, or hand in one transaction.

        Returns:
            Seconds until it pays to be called again; None: once something is offered.
        """
        try:
            wait = self._once()
        except Exception as error:  # noqa: BLE001 - the outermost loop: nothing ends it
            return self._failed(error)
        self._recovered()
        return wait

    def _once(self) -> float | None:
        with self._lock:
            newest = self._newest
        if newest is None:
            return None
        wait = self._until_due(newest)
        if wait is None or wait > 0:
            return wait
        for attempt in retry_context(
            on=Unavailable, attempts=_ATTEMPTS, wait_initial=0.1, wait_max=1.0
        ):
            with attempt:
                return self._reconcile(newest)
        raise Unavailable("the chain does not answer")

    def _until_due(self, newest: Checkpoint) -> float | None:
        """Return the seconds until an anchor is due, None without something new."""
        noted = self._notes.newest(self._origin)
        if noted is None:
            return 0.0
        if newest.size <= noted.size:
            return None
        if newest.size - noted.size >= self._pace.every_blocks:
            return 0.0
        passed = (self._clock.now() - noted.block_timestamp).total_seconds()
        # a chain's clock that runs ahead must not hold anchors up for longer
        return min(max(self._pace.every_s - passed, 0.0), self._pace.every_s)

    def _reconcile(self, newest: Checkpoint) -> float | None:
        head = self._chain.head(self._origin)
        require_not_ahead(head, newest)
        noted = self._notes.newest(self._origin)
        if head is not None and (noted is None or head.size > noted.size):
            # ours, of before a restart or of a moment ago
            if self._root_at is not None and head.size < newest.size:
                _require_same(head, self._root_at(head.size))
            if head.depth < self._pace.least_depth:
                return self._pace.poll_s
            self._notes.append(self._chain.record(self._origin, head))
            self._sent_at, self._attempt = None, 0
            logger.info("a checkpoint is anchored", extra={"size": head.size})
            return self._until_due(newest)
        now = self._clock.now()
        if self._sent_at is not None:
            passed = (now - self._sent_at).total_seconds()
            if passed < self._pace.resend_s:
                return self._pace.poll_s
        attempt = 0 if self._sent_at is None else self._attempt + 1
        self._chain.send(newest, attempt=attempt)
        self._sent_at, self._attempt = now, attempt
        return self._pace.poll_s

    def _failed(self, error: Exception) -> float:
        is_known = isinstance(error, FedxdrError)
        code = error.code if isinstance(error, FedxdrError) else type(error).__name__
        with self._lock:
            is_new = code != self._trouble
            if self._trouble is None:
                self._since = self._clock.now()
            self._trouble = code
        if is_new:
            logger.log(
                logging.WARNING if isinstance(error, Unavailable) else logging.ERROR,
                "no anchors for now; rounds go on",
                extra={"code": code, "reason": str(error) if is_known else code},
                exc_info=None if is_known else error,
            )
        wait = self._pace.first_wait_s * 2.0 ** min(self._failures, 32)
        self._failures += 1
        return min(wait, self._pace.longest_wait_s)

    def _recovered(self) -> None:
        with self._lock:
            was, self._trouble, self._since = self._trouble, None, None
        if was is not None:
            logger.info(
                "anchors go on", extra={"code": was, "failures": self._failures}
            )
        self._failures = 0

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, *, wait_s: float = 5.0) -> None:
        """End; a call to the chain that hangs for longer is left behind.

        Args:
            wait_s: how long to wait for a call under way, >= 0.
        """
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            wait = self.step()
            if wait is not None:
                wait = min(wait, _LONGEST_SLEEP_S)
            # what is offered during an outage must not ask the node more often
            (self._ended if self._failures else self._wake).wait(wait)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()


def require_not_ahead(head: AnchoredHead | None, checkpoint: Checkpoint) -> None:
    """Compare a chain's newest anchor of a log with a checkpoint of it.

    Raises:
        VerificationFailed: the chain holds another root of the same size.
        Refused: the chain holds a greater size: this checkpoint is old, or the log was
            set back.
    """
    if head is None or head.size < checkpoint.size:
        return
    if head.size > checkpoint.size:
        raise Refused(
            f"the chain holds size {head.size} of {checkpoint.origin!r}, this is "
            f"{checkpoint.size}: an old checkpoint, or a log that was set back"
        )
    _require_same(head, checkpoint.root)


def _require_same(head: AnchoredHead, root: bytes) -> None:
    if head.root != root:
        raise VerificationFailed(
            f"two roots of size {head.size}: {head.root.hex()} on the chain, "
            f"{root.hex()} in the log",
            step=_STEP,
        )


def anchor_now(
    chain: Chain,
    checkpoint: Checkpoint,
    *,
    least_depth: int,
    polls: int,
    pause: Callable[[], None],
) -> AnchorRecord:
    """Anchor one checkpoint and wait for it.

    Doing it twice gives the record of the first time.

    Args:
        chain: the contract.
        checkpoint: what to anchor.
        least_depth: as of ``Pace``.
        polls: how often to look, >= 1.
        pause: waits between two looks.

    Raises:
        VerificationFailed: the chain holds another root of that size.
        Refused: the chain holds a greater size, or does not take this one.
        Unavailable: no answer, or no block in time.
    """
    is_sent = False
    for _ in range(polls):
        head = chain.head(checkpoint.origin)
        require_not_ahead(head, checkpoint)
        if head is None or head.size < checkpoint.size:
            if not is_sent:
                chain.send(checkpoint, attempt=0)
                is_sent = True
        elif head.depth >= least_depth:
            return chain.record(checkpoint.origin, head)
        pause()
    raise Unavailable(
        f"size {checkpoint.size} is not {least_depth} blocks deep yet; the same "
        "command goes on waiting"
    )
