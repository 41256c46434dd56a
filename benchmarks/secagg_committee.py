# SPDX-License-Identifier: Apache-2.0
"""Our one-shot committee round in one process, for benchmarks/secagg.py.

Counted: the helpers' keys, their signatures, each verified by every organisation,
quantising, masking and sealing, each upload's signature, verified by the server and by
every helper, reports and included set with their signatures, the helpers' answers, the
sum, and its division. Not counted: training, the network and the disk.

The orchestrator reads one upload at a time; ``meter`` holds the memory it takes.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Meter
from benchmarks.secagg_masked import Costs, Shape, Updates, mean_of, quantised
from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SeededEntropy, SystemEntropy
from fedxdr.crypto import envelope
from fedxdr.crypto.expand import hkdf
from fedxdr.crypto.keys import IdentityKey
from fedxdr.secagg import committee as protocol
from fedxdr.secagg import packing
from fedxdr.secagg.committee_stages import (
    AnswerHead,
    Committee,
    HelperAnswer,
    HelperKey,
    Included,
    Report,
    UploadHeader,
)

_TYPE = "application/vnd.fedxdr.committee-{}.v1+json"
_ORCHESTRATOR = org_id("orchestrator")


class CommitteeRound:
    """Our one-shot round, played stage by stage; each stage charges its parts.

    Attributes:
        costs: CPU seconds by part.
        meter: memory of opening the sum.
        upload_bytes: of one organisation, its vector.
        total: (d,) int32, the opened sum, after ``play``.
        mean: (d,) float64, after ``play``.
    """

    def __init__(self, updates: Updates, shape: Shape) -> None:
        self._shape = shape
        self._updates = updates
        self._size = updates[0].size
        self._names = tuple(org_id(f"org-{index:04}") for index in range(len(updates)))
        self._helpers = [org_id(f"zz-{index}") for index in range(shape.helpers)]
        seeded = SeededEntropy(1)
        everyone = (*self._names, *self._helpers, _ORCHESTRATOR)
        self._identities = {name: IdentityKey.generate(seeded) for name in everyone}
        self._publics = {name: key.public for name, key in self._identities.items()}
        system = SystemEntropy()
        self._entropy = {name: system.draw(32) for name in everyone}
        self.costs = Costs()
        self.meter = Meter()
        self.upload_bytes = 0
        self.total = np.zeros(0, dtype=np.int32)
        self.mean = np.zeros(0)

    def play(self) -> None:
        """Play the whole round; drop-outs upload nothing."""
        secrets = {}
        keys: dict[OrgId, envelope.Envelope] = {}
        for helper in self._helpers:
            with self.costs.of("helper_keys"):
                secrets[helper] = protocol.derive_helper(self._entropy[helper])
                keys[helper] = self._sign("key", secrets[helper].key, helper)
        vectors, signed = self._uploads(keys)
        with self.costs.of("server_verify"):
            committee = self._committee(keys)
            headers = self._headers(signed)
        opened, reports = {}, {}
        for helper in self._helpers:
            with self.costs.of("helper_open"):
                opened[helper] = protocol.open_seeds(
                    secrets[helper],
                    self._headers(signed),
                    committee=self._committee(keys),
                    me=helper,
                )
                reports[helper] = self._sign("report", opened[helper].report, helper)
        with self.costs.of("server_close"):
            included = protocol.close(
                committee,
                {
                    helper: canonical.decode(
                        self._verified("report", reports[helper], helper), Report
                    )
                    for helper in self._helpers
                },
            )
            closed = self._sign("included", included, _ORCHESTRATOR)
        answers = {}
        for helper in self._helpers:
            with self.costs.of("helper_answer"):
                payload = self._verified("included", closed, _ORCHESTRATOR)
                given = protocol.answer(
                    opened[helper],
                    canonical.decode(payload, Included),
                    size=self._size,
                    committee=committee,
                )
                answers[helper] = (
                    self._sign("answer", given.head, helper),
                    given.masks,
                )
        with self.meter:
            self._open(committee, included, answers, vectors)
        if [header.sender for header in headers] != list(included.names):
            raise SystemExit("somebody who uploaded was left out")

    def plain_sum(self) -> npt.NDArray[np.int64]:
        """Return the survivors' quantised vectors, made again, summed in 64 bits."""
        wide = np.zeros(self.total.size, dtype=np.int64)
        for index in range(self._survivors):
            wide += self._quantised(index).view(np.int32)
        return wide

    @property
    def _survivors(self) -> int:
        return len(self._names) - self._shape.dropouts

    def _uploads(
        self, keys: dict[OrgId, envelope.Envelope]
    ) -> tuple[dict[OrgId, bytes], dict[OrgId, envelope.Envelope]]:
        vectors, signed = {}, {}
        for index, name in enumerate(self._names[: self._survivors]):
            update = self._updates[index]  # the organisation's own, not counted
            with self.costs.of("client_verify"):
                committee = self._committee(keys)
            with self.costs.of("client_quantise"):
                vector = self._quantise(index, update)
            with self.costs.of("client_upload"):
                upload = protocol.make_upload(
                    vector,
                    entropy=self._entropy[name],
                    committee=committee,
                    me=name,
                    in_place=True,
                )
                signed[name] = self._sign("upload", upload.header, name)
            vectors[name] = upload.vector
            self.upload_bytes = len(upload.vector)
        return vectors, signed

    def _open(
        self,
        committee: Committee,
        included: Included,
        answers: dict[OrgId, tuple[envelope.Envelope, bytes]],
        vectors: dict[OrgId, bytes],
    ) -> None:
        with self.costs.of("server_sum"):
            self.total = protocol.open_sum(
                vectors.items(),
                size=self._size,
                committee=committee,
                included=included,
                answers={
                    helper: HelperAnswer(
                        head=canonical.decode(
                            self._verified("answer", head, helper), AnswerHead
                        ),
                        masks=masks,
                    )
                    for helper, (head, masks) in answers.items()
                },
            )
            self.mean = mean_of(
                self.total,
                survivors=self._survivors,
                organisations=len(self._names),
                bits=self._shape.bits,
            )

    def _committee(self, keys: dict[OrgId, envelope.Envelope]) -> Committee:
        """Return the committee after verifying its helpers' keys."""
        transcript = hashlib.sha256(b"plan, round and parent stand here")
        helpers = {}
        for helper, signature in keys.items():
            payload = self._verified("key", signature, helper)
            transcript.update(helper.encode() + b"\x00" + payload)
            helpers[helper] = canonical.decode(payload, HelperKey)
        return Committee(
            helpers=helpers,
            contributors=self._names,
            transcript=transcript.digest(),
            min_survivors=max(2, self._shape.threshold),
            width=packing.upload_width(self._shape.bits, len(self._names)),
        )

    def _headers(self, signed: dict[OrgId, envelope.Envelope]) -> list[UploadHeader]:
        """Return the headers of all uploads, verified."""
        return [
            canonical.decode(self._verified("upload", signature, name), UploadHeader)
            for name, signature in signed.items()
        ]

    def _sign(self, what: str, value: object, by: OrgId) -> envelope.Envelope:
        payload = canonical.encode(value)
        return envelope.sign(_TYPE.format(what), payload, self._identities[by])

    def _verified(self, what: str, signed: envelope.Envelope, by: OrgId) -> bytes:
        return envelope.verify(
            signed, public_key=self._publics[by], payload_type=_TYPE.format(what)
        )

    def _quantised(self, index: int) -> npt.NDArray[np.uint32]:
        return self._quantise(index, self._updates[index])

    def _quantise(
        self, index: int, update: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint32]:
        seed = hkdf(self._entropy[self._names[index]], label="benchmark/rounding/v1")
        return quantised(
            update, seed, organisations=len(self._names), bits=self._shape.bits
        )
