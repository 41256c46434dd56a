# SPDX-License-Identifier: Apache-2.0
"""What the parties of a one-shot committee agree on and send each other.

Plain values of bytes and names that core/canonical.py can encode, each refusing a wrong
length. In the order of the round, and by whom each is signed: ``HelperKey`` (helper) ->
``Committee`` (what all agreed on) -> ``UploadHeader`` (organisation) -> ``Report``
(helper) -> ``Included`` (orchestrator) -> ``AnswerHead`` (helper).

It does NOT sign, store or send.

Rules that always hold: names are in order, each once; there are two helpers or more; a
sum is of two organisations or more.

Source: committee.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import MalformedMessage, TooFewParticipants
from fedxdr.core.ids import Digest, OrgId, digest
from fedxdr.crypto.exchange import HybridPublicKey
from fedxdr.crypto.expand import SEED_BYTES
from fedxdr.crypto.sealing import SEAL_OVERHEAD_BYTES
from fedxdr.secagg import packing
from fedxdr.secagg.masking import TRANSCRIPT_BYTES

MIN_HELPERS = 2
HELPERS = 3
"""How many helpers a plan has unless it says otherwise."""

BOX_BYTES = SEED_BYTES + SEAL_OVERHEAD_BYTES
"""Length of a sealed seed."""

_INCLUDED_LABEL = "fedxdr/secagg/committee-included/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperKey:
    """What a helper publishes for one round, under its identity's signature.

    Attributes:
        seeds: under which organisations seal their seeds for it.
    """

    seeds: HybridPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """What everyone must agree on before a vector is uploaded.

    Attributes:
        helpers: the round key of every helper, two or more, in the order of their
            names; each under the signature of a member that all consented to by name.
        contributors: who may upload, in order; members of the ledger, so that nobody
            can fill a set with organisations of its own making.
        transcript: 32-byte digest over plan, round, parent model and the signed helper
            keys, made by the caller; it goes into every seal, seed and mask.
        min_survivors: fewest contributions whose sum may be opened, in
            [2, contributors].
        width: bits per word that travel, in [8, 32] (``packing.upload_width``).
    """

    helpers: Mapping[OrgId, HelperKey]
    contributors: tuple[OrgId, ...]
    transcript: bytes
    min_survivors: int
    width: int = packing.MAX_WIDTH

    def __post_init__(self) -> None:
        if len(self.transcript) != TRANSCRIPT_BYTES:
            raise MalformedMessage(
                f"transcript: got {len(self.transcript)} bytes, want {TRANSCRIPT_BYTES}"
            )
        for names in (tuple(self.helpers), self.contributors):
            if list(names) != sorted(set(names)):
                raise MalformedMessage("a committee lists each name once, in order")
        if len(self.helpers) < MIN_HELPERS:
            raise TooFewParticipants(
                f"{len(self.helpers)} helpers: one alone would see every update, "
                f"at least {MIN_HELPERS} are needed"
            )
        n = len(self.contributors)
        if not MIN_HELPERS <= self.min_survivors <= n:
            raise TooFewParticipants(
                f"a sum of at least {self.min_survivors} cannot be had from {n}, and "
                "a sum of one is that one's update"
            )
        packing.packed_bytes(0, width=self.width)  # refuses another width


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadHeader:
    """What an organisation signs about its upload; the helpers get it, not the vector.

    Attributes:
        sender: who uploads.
        transcript: the committee's.
        vector_digest: SHA-256 of the packed vector.
        boxes: by helper, its sealed seed, 1,168 bytes.
    """

    sender: OrgId
    transcript: bytes
    vector_digest: Digest
    boxes: Mapping[OrgId, bytes]

    def __post_init__(self) -> None:
        digest(self.vector_digest)
        for box in self.boxes.values():
            if len(box) != BOX_BYTES:
                raise MalformedMessage(
                    f"a sealed seed: got {len(box)} bytes, want {BOX_BYTES}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One organisation's only message: header and packed vector, stored before sent."""

    header: UploadHeader
    vector: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a helper says about the headers it was shown, before anyone answers.

    Attributes:
        helper: who reports.
        transcript: the committee's.
        opened: by organisation, the digest of the vector whose seed opened, in order.
        refused: whose seed did not open, in order. It takes no further part.
    """

    helper: OrgId
    transcript: bytes
    opened: Mapping[OrgId, Digest]
    refused: tuple[OrgId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """The one set U whose sum is opened, under the orchestrator's signature.

    Attributes:
        transcript: the committee's.
        vectors: by organisation, the digest of its packed vector, in order.
    """

    transcript: bytes
    vectors: Mapping[OrgId, Digest]

    def __post_init__(self) -> None:
        if list(self.vectors) != sorted(self.vectors):
            raise MalformedMessage("an included set is in the order of its names")

    @property
    def names(self) -> tuple[OrgId, ...]:
        """Who is in the sum, in order."""
        return tuple(self.vectors)

    @property
    def digest(self) -> Digest:
        """SHA-256 over the canonical form; every answer carries it."""
        return fingerprint(_INCLUDED_LABEL, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerHead:
    """What a helper signs about its answer.

    Attributes:
        helper: who answers.
        included: digest of the set it is for.
        sum_digest: SHA-256 of the packed words.
    """

    helper: OrgId
    included: Digest
    sum_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperAnswer:
    """A helper's only answer: the sum of the included organisations' masks.

    Attributes:
        head: what is signed.
        masks: packed words, ``ceil(d * width / 8)`` bytes.
    """

    head: AnswerHead
    masks: bytes = field(repr=False)
