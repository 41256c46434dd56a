# SPDX-License-Identifier: Apache-2.0
"""Directories of committed models: the orchestrator signs them, agents mirror them.

Both are driven from outside, with the blocks that are new: the orchestrator's by the
loop of api/app.py, an agent's by the loop of ``agent run``.

Not here: what lies in a directory (storage/model_directory.py), whether a block is true
(ledger), when a round is over.

Rules that always hold: a block is counted as done only once its model is published, or
is not ours to publish; what fails is tried again and never stops a round; an agent
publishes what its own mirror of the ledger says and nothing that it was told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fedxdr.core import canonical
from fedxdr.core.errors import FedxdrError, NotFound, Unavailable
from fedxdr.core.ids import Digest
from fedxdr.crypto.publisher import Publisher, PublisherKey
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.recording import Recorder
from fedxdr.storage.model_directory import Seal, read_seal
from fedxdr.storage.publishing import mirror, publish, publisher_after, unpublished

logger = logging.getLogger(__name__)

_BLOCKS_AT_ONCE = 200
_MOST_TRIES = 20

ModelOf = Callable[[Digest], bytes]


class ModelPublisher:
    """The orchestrator's: signs each committed model and publishes its directory.

    Args:
        folder: of all published models.
        key: the publisher's. Where the ledger names another one, that model is left
            out: its signature would be nobody's.
        model_of: returns a model's file.
    """

    def __init__(self, folder: Path, *, key: PublisherKey, model_of: ModelOf) -> None:
        self._folder = folder
        self._key = key
        self._model_of = model_of
        self._named: Publisher | None = None

    def publish(self, blocks: Sequence[SignedBlock]) -> None:
        """Publish what the next blocks bring; takes seconds, asks nobody for a lock.

        Args:
            blocks: those that follow on what was published by the last call that
                returned; the first time from the Genesis.

        Raises:
            FedxdrError: the disk said no, or a model is not there; call it again.
        """
        for signed, named in unpublished(self._folder, blocks, publisher=self._named):
            name = signed.block.model_hash
            if named != self._key.public:
                logger.warning("a model of another publisher", extra={"model": name})
                continue
            publish(
                self._folder,
                signed=signed,
                model=self._model_of(name),
                publisher=self._key,
            )
            logger.info("model published", extra={"model": name})
        self._named = publisher_after(blocks, before=self._named)

    def seal(self, model: Digest) -> bytes:
        """Return canonical bytes of what we added to a model; for others to mirror.

        Raises:
            NotFound: it is not published here, or not yet.
        """
        return canonical.encode(read_seal(self._folder / model))


class ModelMirror:
    """An agent's: publishes the models of its mirror of the ledger, sealed elsewhere.

    One thread works; ``follow`` and ``close`` belong to the thread that takes part in
    rounds.

    Args:
        folder: of all published models.
        ledger: the agent's own mirror.
        model_of: returns a model's file, checked against its digest.
        seal_of: asks the orchestrator for canonical bytes of a ``Seal``.
    """

    def __init__(
        self, folder: Path, *, ledger: Recorder, model_of: ModelOf, seal_of: ModelOf
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._model_of = model_of
        self._seal_of = seal_of
        self._seen = 0
        self._named: Publisher | None = None
        # both belong to the working thread while it works
        self._missing: dict[Digest, tuple[SignedBlock, Publisher]] = {}
        self._tries: dict[Digest, int] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fedxdr-models")
        self._work: Future[None] | None = None
        self._is_closing = False  # set by the other thread, read by the working one

    def follow(self) -> None:
        """Begin to mirror what is missing, unless that is still being done."""
        if self._work is not None:
            if not self._work.done():
                return
            error, self._work = self._work.exception(), None
            if error is not None:
                logger.error("mirroring models broke off", exc_info=error)
        while self._seen < self._ledger.size():
            blocks = self._ledger.blocks(
                begin=self._seen,
                end=min(self._ledger.size(), self._seen + _BLOCKS_AT_ONCE),
            )
            found = unpublished(self._folder, blocks, publisher=self._named)
            for signed, named in found:
                self._missing[signed.block.model_hash] = (signed, named)
            self._named = publisher_after(blocks, before=self._named)
            self._seen += len(blocks)
        if self._missing:
            self._work = self._pool.submit(self._fetch)

    def _fetch(self) -> None:
        for name, (signed, named) in list(self._missing.items()):
            if self._is_closing:
                return
            try:
                seal = canonical.decode(self._seal_of(name), Seal)
                mirror(
                    self._folder,
                    signed=signed,
                    model=self._model_of(name),
                    publisher=named,
                    seal=seal,
                )
            except Unavailable:
                return  # later, and nothing was counted
            except FedxdrError as error:
                self._note(name, error)
            else:
                logger.info("model mirrored", extra={"model": name})
                del self._missing[name]

    def _note(self, name: Digest, error: FedxdrError) -> None:
        """Count a failure; a model that is never to be had is given up."""
        self._tries[name] = tries = self._tries.get(name, 0) + 1
        is_early = isinstance(error, NotFound) and tries < _MOST_TRIES
        logger.log(
            logging.DEBUG if is_early else logging.WARNING,
            "a model is not mirrored yet",
            extra={"model": name, "reason": str(error), "tries": tries},
        )
        if tries >= _MOST_TRIES:
            del self._missing[name]

    def close(self) -> None:
        """End, after the directory that is being written."""
        self._is_closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)
