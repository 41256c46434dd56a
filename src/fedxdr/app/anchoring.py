# SPDX-License-Identifier: Apache-2.0
"""A running orchestrator that anchors its cosigned heads on a chain.

Beside the rounds and never in their way: a thread looks for a newer head with a quorum
and offers it to the anchorer, which has a thread of its own and can be as slow as its
chain.

Not here: the chain, and what an anchor proves (anchoring/). Needs the extra ``evm``.

Rules that always hold: only heads with a quorum are offered; whatever goes wrong here
is logged, what nobody foresaw with its traceback, and tried again after a while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedxdr.api.service import Service
from fedxdr.core.errors import FedxdrError, Unavailable
from fedxdr.ledger import checkpoint
from fedxdr.ledger.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

NOTES = "anchors.jsonl"
_LOOK_S = 2.0
_LONGEST_WAIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to anchor.

    Attributes:
        rpc: the node's address.
        contract: of the contract.
        secret: 32 bytes, the key of the contract's owner.
    """

    rpc: str
    contract: str
    secret: bytes


class HeadWatch:
    """Hands every newer head with a quorum to somebody, in a thread.

    Args:
        service: the orchestrator's parts; its lock is held for a look at the heads.
        offer: takes a head; must neither wait nor raise.
        look_s: seconds between two looks; after one that failed twice as many, and so
            on up to five minutes.
    """

    def __init__(
        self,
        service: Service,
        offer: Callable[[Checkpoint], None],
        *,
        look_s: float = _LOOK_S,
    ) -> None:
        self._service = service
        self._offer = offer
        self._look_s = look_s
        self._seen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anchors", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns once the thread has ended."""
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Offer the newest head with a quorum, if it is newer than the last one."""
        heads = self._service.orchestrator.heads
        with self._service.lock:
            try:
                size = heads.newest_quorum()
            except Unavailable:
                return  # not founded yet, or nobody has cosigned
            head = heads.at(size) if size > self._seen else None
        if head is not None:
            self._offer(checkpoint.parse(head))
            self._seen = size

    def _run(self) -> None:
        wait_s = self._look_s
        while not self._stop.wait(wait_s):
            try:
                self.look()
            except FedxdrError as error:
                logger.warning("no head to anchor", extra={"reason": str(error)})
            except Exception:
                # the outermost loop: if it ended, nothing would be anchored any more
                logger.exception("looking for a head to anchor failed")
            else:
                wait_s = self._look_s
                continue
            wait_s = min(2 * wait_s, max(_LONGEST_WAIT_S, self._look_s))


@contextmanager
def anchoring(service: Service, folder: Path, target: Target) -> Iterator[None]:
    """Anchor the heads of a running orchestrator while the block runs.

    Args:
        service: the orchestrator's parts.
        folder: its folder; what was anchored is noted in ``anchors.jsonl``.
        target: where to.

    Raises:
        ModuleNotFoundError: the extra ``evm`` is not installed.
        InvalidInput: address or key are none.
    """
    from fedxdr.anchoring import evm  # noqa: PLC0415 - an extra, and slow to load
    from fedxdr.anchoring.anchorer import Anchorer  # noqa: PLC0415 - the same
    from fedxdr.anchoring.notes import Notes  # noqa: PLC0415 - the same

    recorder = service.orchestrator.recorder
    with evm.Node(target.rpc) as node, Notes(folder / NOTES) as notes:
        anchorer = Anchorer(
            evm.EvmChain(
                node, target.contract.lower(), key=evm.AccountKey(target.secret)
            ),
            notes,
            origin=service.registrar.origin,
            clock=service.clock,
            root_at=lambda size: bytes.fromhex(recorder.root_at(size)),
        )
        watch = HeadWatch(service, anchorer.offer)
        anchorer.start()
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            anchorer.stop()
