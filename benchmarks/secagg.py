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
quantised vectors in wide integers.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.secagg import client, server
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.quantise import dequantise, quantise
from fedxdr.secagg.stages import Mail, Partition, Roster, RoundKeys

CLIP_NORM = 1.0
BITS = 24
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


def ours(updates: list[Vector], *, dropouts: int, threshold: int) -> Figures:
    """Play one of our rounds and return what it cost.

    Args:
        updates: one per organisation.
        dropouts: how many fall silent after their shares arrived.
        threshold: answers that open the sum.
    """
    n, size = len(updates), updates[0].size
    names = [org_id(f"org-{index:04}") for index in range(n)]
    update_of = dict(zip(names, updates, strict=True))
    seeded, system = SeededEntropy(1), SystemEntropy()
    # Identities are on the ledger before the round.
    identities = {name: IdentityKey.generate(seeded) for name in names}
    publics = {name: identities[name].public for name in names}
    costs, meter = _Costs(), Meter()
    plain: dict[OrgId, npt.NDArray[np.uint32]] = {}
    with meter:
        secrets, signed = {}, {}
        for name in names:
            with costs.of("client_keys"):
                secrets[name] = derive_secrets(system.draw(32))
                signed[name] = envelope.sign(
                    KEYS_TYPE,
                    canonical.encode(secrets[name].round_keys),
                    identities[name],
                )
        members = {}
        for name in names:
            with costs.of("client_verify"):
                roster = _roster(signed, publics, threshold)
            with costs.of("client_agree"):
                members[name] = client.join(secrets[name], roster=roster, me=name)
        with costs.of("server_verify"):
            roster = _roster(signed, publics, threshold)
        mails: list[Mail] = []
        for name in names:
            with costs.of("client_seal"):
                mails += client.make_mail(members[name])
        opened = {}
        for name in names:
            inbox = [mail for mail in mails if mail.recipient == name]
            with costs.of("client_open"):
                opened[name] = client.open_mail(members[name], inbox)
        survivors = names[: n - dropouts]
        uploads = {}
        for name in survivors:
            update = update_of[name].copy()  # the organisation's own, not counted
            with costs.of("client_quantise"):
                vector = quantise(
                    update,
                    bound=CLIP_NORM,
                    bits=BITS,
                    participants=n,
                    weight=1,
                    total_weight=n,
                    seed=secrets[name].rounding,
                    in_place=True,
                )
            plain[name] = vector.copy()  # for the comparison below, not counted
            with costs.of("client_mask"):
                masked = client.mask(members[name], opened[name], vector, in_place=True)
                uploads[name] = masked.data.cast("B")
        partition = Partition.of(survivors, participants=names)
        signatures = {}
        for name in survivors:
            with costs.of("client_survivors"):
                signatures[name] = envelope.sign(
                    SURVIVORS_TYPE, canonical.encode(partition), identities[name]
                )
        with costs.of("server_survivors"):
            for name in survivors:
                _check_survivors(signatures[name], publics[name], partition)
        answers = {}
        for name in survivors:
            with costs.of("client_survivors"):
                for other in [other for other in survivors if other != name][
                    : threshold - 1
                ]:
                    _check_survivors(signatures[other], publics[other], partition)
            with costs.of("client_answer"):
                answers[name] = client.answer_unmasking(
                    members[name], opened[name], partition
                )
        with costs.of("server_recover"):
            recovery = server.recover(roster, partition, answers)
        with costs.of("server_sum"):
            total = server.open_sum(
                (
                    (name, np.frombuffer(uploads[name], dtype="<u4"))
                    for name in survivors
                ),
                size=size,
                roster=roster,
                partition=partition,
                revealed=recovery.revealed,
                mails=mails,
            )
            mean = dequantise(
                total,
                bound=CLIP_NORM,
                bits=BITS,
                participants=n,
                survivors_weight=len(survivors),
                total_weight=n,
            )
    wide = np.zeros(size, dtype=np.int64)
    for name in survivors:
        wide += plain[name].view(np.int32)
    figures = meter.figures()
    figures["client_cpu_s"] = costs.total("client")
    figures["server_cpu_s"] = costs.total("server")
    figures["cpu_s"] = costs.total("client") + costs.total("server")
    figures["largest_error"] = largest_error(mean, updates[: n - dropouts])
    figures["exact"] = bool(np.array_equal(total.astype(np.int64), wide))
    figures["upload_bytes"] = len(uploads[survivors[0]])
    return figures | {f"{name}_cpu_s": spent for name, spent in costs.parts.items()}


def flower(updates: list[Vector], *, dropouts: int, threshold: int) -> Figures:
    """Play one round of Flower's SecAgg+ and return what it cost.

    Raises:
        MissingPeer: flwr is not installed.
    """
    try:
        from benchmarks.secagg_flower import play
    except ImportError as error:
        raise MissingPeer(
            "flwr is not installed; it comes with: pip install 'fedxdr[bench]'"
        ) from error
    n = len(updates)
    meter = Meter()
    client_cpu_s, server_cpu_s, mean = play(
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
            sys.stderr.write(
                "flwr is not installed; it comes with: pip install 'fedxdr[bench]'\n"
            )
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


def _roster(
    signed: dict[OrgId, envelope.Envelope],
    publics: dict[OrgId, PublicIdentity],
    threshold: int,
) -> Roster:
    """Return the roster after verifying every signature of the key list."""
    transcript = hashlib.sha256(b"plan, round and parent stand here")
    keys = {}
    for name, signature in signed.items():
        payload = envelope.verify(
            signature, public_key=publics[name], payload_type=KEYS_TYPE
        )
        transcript.update(name.encode() + b"\x00" + payload)
        keys[name] = canonical.decode(payload, RoundKeys)
    return Roster(
        keys=keys,
        transcript=transcript.digest(),
        threshold=threshold,
        min_survivors=max(2, threshold),
    )


def _check_survivors(
    signature: envelope.Envelope,
    public: PublicIdentity,
    partition: Partition,
) -> None:
    payload = envelope.verify(signature, public_key=public, payload_type=SURVIVORS_TYPE)
    if canonical.decode(payload, Partition) != partition:
        raise SystemExit("a survivor signed another partition")


if __name__ == "__main__":
    sys.exit(main())
