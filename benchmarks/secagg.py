# SPDX-License-Identifier: Apache-2.0
"""What one secure aggregation costs: CPU of all clients and of the server, and errors.

``python -m benchmarks.secagg --organisations 10 --parameters 1000000 --peer flower``

Both sides run one whole round in one process over the same updates, each of L2 norm
``clip norm`` = 1, and open the mean. Every run is a fresh process, which plays a round
of three numbers first so that libraries are loaded. Counted on our side: round keys,
their signatures, each verified by every participant and by the server, sealing and
opening of shares, quantising, masking, the signed survivor set, answers, recovery, the
sum, and its division. Counted on Flower's: see secagg_flower.py. Not counted on either:
training, the network, and the agent's own digests and statements for the ledger.

``largest_error`` is the largest coordinate of |opened mean - exact mean|, in clip
norms. ``exact`` compares our opened integer sum with the sum of the survivors'
quantised vectors, made again after the clock has stopped, in wide integers.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.metadata
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.measure import MIN_RUNS, Figures, Meter, MissingPeer, line, run_fresh
from benchmarks.measure import show as show_line
from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SeededEntropy, SystemEntropy, generator
from fedxdr.crypto import envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.secagg import client, server
from fedxdr.secagg.derivation import RoundSecrets, derive_secrets
from fedxdr.secagg.masking import Words
from fedxdr.secagg.quantise import dequantise, quantise
from fedxdr.secagg.stages import Answer, Mail, Partition, Roster, RoundKeys

CLIP_NORM = 1.0
BITS = 31
"""The ring has 32 bits whatever the plan says, so all of them are used."""
EXTRA = "pip install 'fedxdr[bench]'"
KEYS_TYPE = "application/vnd.fedxdr.round-keys.v1+json"
SURVIVORS_TYPE = "application/vnd.fedxdr.survivors.v1+json"

Vector = npt.NDArray[np.float32]


class _Costs:
    """CPU seconds by part of the work.

    Attributes:
        parts: seconds by name, ``client_…`` or ``server_…``.
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
        """Return the CPU seconds of one side, ``client`` or ``server``."""
        return sum(s for name, s in self.parts.items() if name.startswith(side))


def updates_of(organisations: int, parameters: int, seed: int) -> list[Vector]:
    """Return each organisation's update: (d,) float32 of L2 norm ``CLIP_NORM``."""
    random = generator(seed)
    updates = []
    for _ in range(organisations):
        update = random.standard_normal(parameters, dtype=np.float32)
        update *= np.float32(CLIP_NORM / float(np.linalg.norm(update)))
        updates.append(update)
    return updates


def largest_error(mean: npt.NDArray[np.float64], updates: list[Vector]) -> float:
    """Return the largest coordinate of |mean - exact mean|, in clip norms."""
    exact = np.zeros(mean.size)
    for update in updates:
        exact += update
    exact /= len(updates)
    return float(np.max(np.abs(mean - exact))) / CLIP_NORM


class _Round:
    """Our round, played stage by stage; each stage charges its parts.

    Attributes:
        costs: CPU seconds by part.
        total: (d,) int32, the opened sum, after ``open``.
        mean: (d,) float64, after ``open``.
    """

    def __init__(self, updates: list[Vector], *, dropouts: int, threshold: int) -> None:
        count = len(updates)
        self._names = [org_id(f"org-{index:04}") for index in range(count)]
        self._survivors = self._names[: count - dropouts]
        self._update_of = dict(zip(self._names, updates, strict=True))
        self._threshold = threshold
        # Identities are on the ledger before the round.
        seeded = SeededEntropy(1)
        self._identities = {name: IdentityKey.generate(seeded) for name in self._names}
        self._publics = {name: key.public for name, key in self._identities.items()}
        self._secrets: dict[OrgId, RoundSecrets] = {}
        self._members: dict[OrgId, client.Membership] = {}
        self._mails: list[Mail] = []
        self._opened: dict[OrgId, client.OpenedMail] = {}
        self._uploads: dict[OrgId, memoryview] = {}
        self._signatures: dict[OrgId, envelope.Envelope] = {}
        self._answers: dict[OrgId, Answer] = {}
        self.costs = _Costs()
        self.total = np.zeros(0, dtype=np.int32)
        self.mean = np.zeros(0)

    def agree(self) -> None:
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
        for name in self._names:
            with self.costs.of("client_seal"):
                self._mails += client.make_mail(self._members[name])
        for name in self._names:
            inbox = [mail for mail in self._mails if mail.recipient == name]
            with self.costs.of("client_open"):
                self._opened[name] = client.open_mail(self._members[name], inbox)

    def contribute(self) -> None:
        """Quantise and mask each survivor's update."""
        for name in self._survivors:
            update = self._update_of[name].copy()  # the organisation's own, not counted
            with self.costs.of("client_quantise"):
                vector = self._quantised(name, update)
            with self.costs.of("client_mask"):
                masked = client.mask(
                    self._members[name], self._opened[name], vector, in_place=True
                )
                self._uploads[name] = masked.data.cast("B")

    def answer(self) -> None:
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
                for other in others[: self._threshold - 1]:
                    self._check_survivors(other, expected)
            with self.costs.of("client_answer"):
                self._answers[name] = client.answer_unmasking(
                    self._members[name], self._opened[name], self._partition
                )

    def open(self) -> None:
        """Recover the secrets and open the sum and the mean."""
        with self.costs.of("server_recover"):
            recovery = server.recover(self._roster, self._partition, self._answers)
        with self.costs.of("server_sum"):
            self.total = server.open_sum(
                (
                    (name, np.frombuffer(upload, dtype="<u4"))
                    for name, upload in self._uploads.items()
                ),
                size=self._update_of[self._names[0]].size,
                roster=self._roster,
                partition=self._partition,
                revealed=recovery.revealed,
                mails=self._mails,
            )
            self.mean = dequantise(
                self.total,
                bound=CLIP_NORM,
                bits=BITS,
                participants=len(self._names),
                survivors_weight=len(self._survivors),
                total_weight=len(self._names),
            )

    def plain_sum(self) -> npt.NDArray[np.int64]:
        """Return the survivors' quantised vectors, made again, summed in 64 bits."""
        wide = np.zeros(self.total.size, dtype=np.int64)
        for name in self._survivors:
            words = self._quantised(name, self._update_of[name].copy())
            wide += words.view(np.int32)
        return wide

    def _quantised(self, name: OrgId, update: Vector) -> Words:
        """Return an update as ring elements, in the update's memory."""
        return quantise(
            update,
            bound=CLIP_NORM,
            bits=BITS,
            participants=len(self._names),
            weight=1,
            total_weight=len(self._names),
            seed=self._secrets[name].rounding,
            in_place=True,
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
            threshold=self._threshold,
            min_survivors=max(2, self._threshold),
        )

    def _check_survivors(self, name: OrgId, expected: bytes) -> None:
        payload = envelope.verify(
            self._signatures[name],
            public_key=self._publics[name],
            payload_type=SURVIVORS_TYPE,
        )
        if payload != expected:
            raise SystemExit("a survivor signed another partition")


def ours(updates: list[Vector], *, dropouts: int, threshold: int) -> Figures:
    """Play one of our rounds and return what it cost.

    Args:
        updates: one per organisation.
        dropouts: how many fall silent after their shares arrived.
        threshold: answers that open the sum.
    """
    played = _Round(updates, dropouts=dropouts, threshold=threshold)
    meter = Meter()
    with meter:
        played.agree()
        played.contribute()
        played.answer()
        played.open()
    survivors = updates[: len(updates) - dropouts]
    figures = meter.figures()
    figures["client_cpu_s"] = played.costs.total("client")
    figures["server_cpu_s"] = played.costs.total("server")
    figures["cpu_s"] = played.costs.total("client") + played.costs.total("server")
    figures["largest_error"] = largest_error(played.mean, survivors)
    figures["exact"] = bool(np.array_equal(played.total, played.plain_sum()))
    figures["upload_bytes"] = survivors[0].nbytes
    parts = played.costs.parts.items()
    return figures | {f"{name}_cpu_s": spent for name, spent in parts}


def flower(updates: list[Vector], *, dropouts: int, threshold: int) -> Figures:
    """Play one round of Flower's SecAgg+ and return what it cost.

    Raises:
        MissingPeer: flwr is not installed.
    """
    try:
        peer = importlib.import_module("benchmarks.secagg_flower")
    except ImportError as error:
        raise MissingPeer(f"{error}; flwr comes with: {EXTRA}") from error
    n = len(updates)
    meter = Meter()
    client_cpu_s, server_cpu_s, mean = peer.play(
        {index + 1: update for index, update in enumerate(updates)},
        dropouts=frozenset(range(n - dropouts + 1, n + 1)),
        threshold=threshold,
        clip_norm=CLIP_NORM,
        measured=lambda: meter,
    )
    figures = meter.figures()
    figures["client_cpu_s"] = client_cpu_s
    figures["server_cpu_s"] = server_cpu_s
    figures["cpu_s"] = client_cpu_s + server_cpu_s
    figures["largest_error"] = largest_error(mean, updates[: n - dropouts])
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or one side of it once, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--organisations", type=int, default=10)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--drop-out", type=float, default=0.0)
    parser.add_argument("--peer", choices=["flower"])
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "flower"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    n = options.organisations
    dropouts = round(n * options.drop_out)
    threshold = 2 * n // 3 + 1
    if n - dropouts < threshold:
        parser.error(f"{n - dropouts} survivors are below the threshold {threshold}")
    sizes = {
        "organisations": n,
        "parameters": options.parameters,
        "dropouts": dropouts,
        "threshold": threshold,
    }
    if options.side:
        updates = updates_of(n, options.parameters, options.seed)
        side = ours if options.side == "ours" else flower
        side(updates_of(n, 3, options.seed), dropouts=dropouts, threshold=threshold)
        show_line(side(updates, dropouts=dropouts, threshold=threshold))
        return 0
    version = ""
    if options.peer:
        try:
            version = importlib.metadata.version("flwr")
        except importlib.metadata.PackageNotFoundError:
            sys.stderr.write(f"flwr is not installed; it comes with: {EXTRA}\n")
            return 2
    once = [
        f"--organisations={n}",
        f"--parameters={options.parameters}",
        f"--drop-out={options.drop_out}",
        f"--seed={options.seed}",
    ]
    show_line(
        line(
            "secagg",
            sizes=sizes,
            seed=options.seed,
            ours=lambda: run_fresh("benchmarks.secagg", [*once, "--side=ours"]),
            peer=(lambda: run_fresh("benchmarks.secagg", [*once, "--side=flower"]))
            if options.peer
            else None,
            peer_name="flwr",
            peer_version=version,
            runs=options.runs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
