# SPDX-License-Identifier: Apache-2.0
"""Our masked round in one process, for benchmarks/secagg.py.

Counted: round keys, their signatures, each verified by every participant and by the
server, sealing and opening of shares, quantising, masking, packing, the signed survivor
set, answers, recovery, the sum, and its division. Not counted: training, the network
and the disk, and the agent's own digests and statements for the ledger.

The server reads one upload at a time; ``meter`` holds the memory it takes for that.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Meter
from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SeededEntropy, SystemEntropy
from fedxdr.crypto import envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.secagg import client, packing, server
from fedxdr.secagg.derivation import RoundSecrets, derive_secrets
from fedxdr.secagg.masking import Words
from fedxdr.secagg.quantise import dequantise, quantise
from fedxdr.secagg.stages import Answer, Mail, Partition, Roster, RoundKeys

CLIP_NORM = 1.0
KEYS_TYPE = "application/vnd.fedxdr.round-keys.v1+json"
SURVIVORS_TYPE = "application/vnd.fedxdr.survivors.v1+json"

Vector = npt.NDArray[np.float32]
Updates = Mapping[int, Vector]
"""(d,) float32 by participant, 0 to n - 1, made when asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What kind of round is played.

    Attributes:
        dropouts: how many fall silent after their shares arrived.
        threshold: survivors that a sum needs.
        degree: neighbours of each, None for all.
        bits: signed bits of the sum.
        helpers: of a committee.
    """

    dropouts: int
    threshold: int
    degree: int | None
    bits: int
    helpers: int


class Costs:
    """CPU seconds by part of the work.

    Attributes:
        parts: seconds by name, ``client_…``, ``helper_…`` or ``server_…``.
    """

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Charge the block's CPU seconds to a part."""
        begin = time.process_time()
        yield
        spent = time.process_time() - begin
        self.parts[name] = self.parts.get(name, 0.0) + spent

    def total(self, side: str) -> float:
        """Return the CPU seconds of one side, ``client``, ``helper`` or ``server``."""
        return sum(s for name, s in self.parts.items() if name.startswith(side))


def quantised(update: Vector, seed: bytes, *, organisations: int, bits: int) -> Words:
    """Return an update as ring elements of equal weight, in the update's memory."""
    return quantise(
        update,
        bound=CLIP_NORM,
        bits=bits,
        participants=organisations,
        weight=1,
        total_weight=organisations,
        seed=seed,
        in_place=True,
    )


def mean_of(
    total: npt.NDArray[np.int32], *, survivors: int, organisations: int, bits: int
) -> npt.NDArray[np.float64]:
    """Return the mean that an opened sum stands for, weights being equal."""
    return dequantise(
        total,
        bound=CLIP_NORM,
        bits=bits,
        participants=organisations,
        survivors_weight=survivors,
        total_weight=organisations,
    )


class MaskedRound:
    """Our masked round, played stage by stage; each stage charges its parts.

    Attributes:
        costs: CPU seconds by part.
        meter: memory of opening the sum.
        upload_bytes: of one organisation.
        total: (d,) int32, the opened sum, after ``open``.
        mean: (d,) float64, after ``open``.
    """

    def __init__(self, updates: Updates, shape: Shape) -> None:
        self._shape = shape
        self._names = [org_id(f"org-{index:04}") for index in range(len(updates))]
        self._survivors = self._names[: len(updates) - shape.dropouts]
        self._updates = updates
        self._size = updates[0].size
        self._width = packing.upload_width(shape.bits, len(updates))
        # Identities are on the ledger before the round.
        seeded = SeededEntropy(1)
        self._identities = {name: IdentityKey.generate(seeded) for name in self._names}
        self._publics = {name: key.public for name, key in self._identities.items()}
        self._secrets: dict[OrgId, RoundSecrets] = {}
        self._members: dict[OrgId, client.Membership] = {}
        self._mails: list[Mail] = []
        self._opened: dict[OrgId, client.OpenedMail] = {}
        self._uploads: dict[OrgId, bytes | Words] = {}
        self._signatures: dict[OrgId, envelope.Envelope] = {}
        self._answers: dict[OrgId, Answer] = {}
        self.costs = Costs()
        self.meter = Meter()
        self.upload_bytes = 0
        self.total = np.zeros(0, dtype=np.int32)
        self.mean = np.zeros(0)

    def play(self) -> None:
        """Play the whole round."""
        self._agree()
        self._contribute()
        self._answer()
        with self.meter:
            self._open()

    def plain_sum(self) -> npt.NDArray[np.int64]:
        """Return the survivors' quantised vectors, made again, summed in 64 bits."""
        wide = np.zeros(self.total.size, dtype=np.int64)
        for name in self._survivors:
            wide += self._quantised(name, self._update(name)).view(np.int32)
        return wide

    def _agree(self) -> None:
        """Sign and verify round keys; seal and open shares."""
        signed: dict[OrgId, envelope.Envelope] = {}
        system = SystemEntropy()
        for name in self._names:
            with self.costs.of("client_keys"):
                self._secrets[name] = derive_secrets(system.draw(32))
                payload = canonical.encode(self._secrets[name].round_keys)
                signed[name] = envelope.sign(KEYS_TYPE, payload, self._identities[name])
        for name in self._names:
            with self.costs.of("client_verify"):
                roster = self._roster_of(signed, me=name)
            with self.costs.of("client_agree"):
                self._members[name] = client.join(
                    self._secrets[name], roster=roster, me=name
                )
        with self.costs.of("server_verify"):
            self._roster = self._roster_of(signed)
        inbox: dict[OrgId, list[Mail]] = {name: [] for name in self._names}
        for name in self._names:
            with self.costs.of("client_seal"):
                mails = client.make_mail(self._members[name])
            self._mails += mails
            for mail in mails:
                inbox[mail.recipient].append(mail)
        for name in self._names:
            with self.costs.of("client_open"):
                self._opened[name] = client.open_mail(self._members[name], inbox[name])

    def _contribute(self) -> None:
        """Quantise, mask and pack each survivor's update."""
        for name in self._survivors:
            update = self._update(name)  # the organisation's own, not counted
            with self.costs.of("client_quantise"):
                vector = self._quantised(name, update)
            with self.costs.of("client_mask"):
                masked = client.mask(
                    self._members[name], self._opened[name], vector, in_place=True
                )
            if self._width == packing.MAX_WIDTH:
                self._uploads[name] = masked
                self.upload_bytes = masked.nbytes
            else:
                with self.costs.of("client_pack"):
                    packed = packing.pack(masked, width=self._width)
                self._uploads[name] = packed
                self.upload_bytes = len(packed)

    def _answer(self) -> None:
        """Sign the survivor set, verify a threshold of signatures, reveal shares."""
        self._partition = Partition.of(self._survivors, participants=self._names)
        for name in self._survivors:
            with self.costs.of("client_survivors"):
                self._signatures[name] = envelope.sign(
                    SURVIVORS_TYPE,
                    canonical.encode(self._partition),
                    self._identities[name],
                )
        with self.costs.of("server_survivors"):
            expected = canonical.encode(self._partition)
            for name in self._survivors:
                self._check_survivors(name, expected)
        for name in self._survivors:
            others = [other for other in self._survivors if other != name]
            with self.costs.of("client_survivors"):
                expected = canonical.encode(self._partition)
                for other in others[: self._shape.threshold - 1]:
                    self._check_survivors(other, expected)
            with self.costs.of("client_answer"):
                self._answers[name] = client.answer_unmasking(
                    self._members[name], self._opened[name], self._partition
                )

    def _open(self) -> None:
        """Recover the secrets and open the sum and the mean."""
        with self.costs.of("server_recover"):
            recovery = server.recover(self._roster, self._partition, self._answers)
        with self.costs.of("server_sum"):
            self.total = server.open_sum(
                self._uploads.items(),
                size=self._size,
                roster=self._roster,
                partition=self._partition,
                revealed=recovery.revealed,
                mails=self._mails,
                width=self._width,
            )
            self.mean = mean_of(
                self.total,
                survivors=len(self._survivors),
                organisations=len(self._names),
                bits=self._shape.bits,
            )

    def _update(self, name: OrgId) -> Vector:
        return self._updates[self._names.index(name)]

    def _quantised(self, name: OrgId, update: Vector) -> Words:
        return quantised(
            update,
            self._secrets[name].rounding,
            organisations=len(self._names),
            bits=self._shape.bits,
        )

    def _roster_of(
        self, signed: dict[OrgId, envelope.Envelope], *, me: OrgId | None = None
    ) -> Roster:
        """Return the roster after verifying the key list, our own entry excepted."""
        transcript = hashlib.sha256(b"plan, round and parent stand here")
        keys = {}
        for name, signature in signed.items():
            payload = signature.payload
            if name != me:
                envelope.verify(
                    signature, public_key=self._publics[name], payload_type=KEYS_TYPE
                )
            transcript.update(name.encode() + b"\x00" + payload)
            keys[name] = canonical.decode(payload, RoundKeys)
        return Roster(
            keys=keys,
            transcript=transcript.digest(),
            threshold=self._shape.threshold,
            min_survivors=max(2, self._shape.threshold),
            degree=self._shape.degree,
        )

    def _check_survivors(self, name: OrgId, expected: bytes) -> None:
        payload = envelope.verify(
            self._signatures[name],
            public_key=self._publics[name],
            payload_type=SURVIVORS_TYPE,
        )
        if payload != expected:
            raise SystemExit("a survivor signed another partition")
