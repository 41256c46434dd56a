# SPDX-License-Identifier: Apache-2.0
"""What one encrypted round costs, part by part, next to python-paillier's encryption.

``python -m benchmarks.paillier --parameters 100000 --organisations 5 --threshold 4``

Every run is a fresh process that plays one round over the same updates: key generation
(its own figure), each organisation's encryption and proof, verification of an upload by
one party, the product, one partial decryption per holder with its proof, verification
of one, combination of ``threshold`` of them, and the check of the opening. All in one
process, in CPU seconds: what a pool shares is the same work. ``cpu_s``, which the ratio
compares, is ``encrypt_cpu_s``: all that one organisation spends to pack, encrypt and
prove one update, its tables included.

The peer's side encrypts a sample of the same quantised values, one ciphertext each, as
its documentation shows (``PaillierPublicKey.encrypt``, gmpy2 installed), under a key of
as many bits; its CPU seconds are those of the sample times parameters over sample. It
is not asked for proofs or thresholds, which it has not.

``damgard_jurik_2001_cpu_s`` is one holder's partial decryptions as that paper has them
(exponents of (s + 1) |n| bits mod n^(s+1)), a sample of them timed in the same run.

``exact`` compares the opened sum with the plain sum in wide integers.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import math
import statistics
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import MIN_RUNS, Figures, line, run_fresh
from benchmarks.measure import show as show_line
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import SystemEntropy, generator
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted import knowledge
from fedxdr.secagg.encrypted.contributing import (
    encrypt_update,
    product,
    verify_upload,
)
from fedxdr.secagg.encrypted.dealing import deal, open_share, seal_share
from fedxdr.secagg.encrypted.integers import power
from fedxdr.secagg.encrypted.opening import (
    check_opening,
    combine,
    partial_decrypt,
    verify_partial,
)
from fedxdr.secagg.encrypted.paillier import (
    PrivateKey,
    fresh_exponent,
    ring,
    tables,
)
from fedxdr.secagg.encrypted.primes import safe_prime
from fedxdr.secagg.encrypted.slots import pack
from fedxdr.secagg.encrypted.stages import Terms, commit
from fedxdr.secagg.masking import Words
from fedxdr.secagg.quantise import quantise

CLIP_NORM = 1.0
BITS = 24
SAMPLE = 40
"""Values that the peer encrypts, and powers of the 2001 form that are timed."""


class _Clock:
    """CPU seconds by part; of a part that was done several times, the median."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self._spent.setdefault(part, []).append(time.process_time() - begin)

    def figures(self) -> Figures:
        return {
            f"{part}_cpu_s": statistics.median(spent)
            for part, spent in self._spent.items()
        }


def vectors_of(organisations: int, parameters: int, seed: int) -> list[Words]:
    """Return each organisation's quantised update: (d,) uint32."""
    random = generator(seed)
    vectors = []
    for index in range(organisations):
        update = random.standard_normal(parameters, dtype=np.float32)
        update *= np.float32(CLIP_NORM / float(np.linalg.norm(update)))
        vectors.append(
            quantise(
                update,
                bound=CLIP_NORM,
                bits=BITS,
                participants=organisations,
                weight=1,
                total_weight=organisations,
                seed=index.to_bytes(32),
            )
        )
    return vectors


def ours(vectors: list[Words], *, bits: int, degree: int, threshold: int) -> Figures:
    """Play one round and return what each part cost."""
    clock, entropy = _Clock(), SystemEntropy()
    names = tuple(org_id(f"org-{index:03}") for index in range(len(vectors)))
    with clock.of("keygen"):
        private = PrivateKey(
            p=safe_prime(bits // 2, entropy), q=safe_prime(bits // 2, entropy)
        )
    with clock.of("deal"):
        dealt = deal(
            private, holders=names, threshold=threshold, entropy=entropy, degree=degree
        )
    ceremony = {name: HybridPrivateKey.from_seed(entropy.draw(32)) for name in names}
    sealed = {
        name: seal_share(dealt.key, share, ceremony[name].public)
        for name, share in dealt.shares.items()
    }
    shares = {}
    for name, box in sealed.items():
        with clock.of("open_share"):
            shares[name] = open_share(dealt.key, name, box, ceremony[name])
    terms = Terms(
        key=dealt.key,
        transcript=bytes(32),
        contributors=names,
        min_survivors=threshold,
        size=vectors[0].size,
        bits=BITS,
    )
    key = terms.key.encryption
    with clock.of("tables"):
        tables(key)
    uploads = {}
    for name, words in zip(names, vectors, strict=True):
        with clock.of("encrypt_with_tables"):
            uploads[name] = encrypt_update(terms, name, words, seed=entropy.draw(32))
    commitments = {name: commit(terms, upload) for name, upload in uploads.items()}
    plaintexts = pack(terms.slots, vectors[0])
    exponents = [fresh_exponent(entropy) for _ in plaintexts]
    with clock.of("prove"):  # as much work as the proof that each upload holds
        knowledge.prove(
            key,
            uploads[names[0]].ciphertexts,
            plaintexts=plaintexts,
            exponents=exponents,
            context=b"",
            stream=KeyStream(bytes(32), label="benchmark"),
        )
    for upload in uploads.values():
        with clock.of("verify_upload"):
            verify_upload(terms, upload)
    with clock.of("product"):
        made = product(
            terms,
            uploads.values(),
            survivors=names,
            commitments=commitments,
            verified=frozenset(commitments.values()),
        )
    answers = []
    for name in names:
        with clock.of("partial_decrypt"):
            answers.append(
                partial_decrypt(terms, shares[name], made, seed=entropy.draw(32))
            )
    for answer in answers[:2]:
        with clock.of("verify_partial"):
            verify_partial(terms, made, answer)
    with clock.of("combine"):
        opened = combine(terms, made, answers[:threshold])
    with clock.of("check_opening"):
        check_opening(terms, made, opened)
    figures = clock.figures()
    exact = sum(words.view(np.int32).astype(np.int64) for words in vectors)
    encrypted = figures["encrypt_with_tables_cpu_s"]
    made_tables = figures["tables_cpu_s"]
    encrypt = float(encrypted) + float(made_tables)
    return {
        "cpu_s": encrypt,
        "encrypt_cpu_s": encrypt,
        **figures,
        "damgard_jurik_2001_cpu_s": _damgard_jurik_2001(terms),
        "ciphertexts": terms.slots.count,
        "upload_bytes": len(uploads[names[0]].ciphertexts),
        "proof_bytes": knowledge.proof_bytes(key),
        "partial_bytes": len(answers[0].values) + len(answers[0].proof),
        "opening_bytes": len(opened.roots) + opened.total.nbytes,
        "exact": bool(np.array_equal(opened.total, exact)),
    }


def phe_encryption(vectors: list[Words], *, bits: int) -> Figures:
    """Encrypt a sample as python-paillier does and return what all would cost."""
    from phe import paillier  # noqa: PLC0415 - the peer's side alone needs it
    from phe.util import HAVE_GMP  # noqa: PLC0415 - the same

    key, _ = paillier.generate_paillier_keypair(n_length=bits)
    values = vectors[0].view(np.int32)[:SAMPLE].tolist()
    begin = time.process_time()
    for value in values:
        key.encrypt(value)
    spent = time.process_time() - begin
    return {
        "cpu_s": spent / len(values) * vectors[0].size,
        "encrypt_value_cpu_s": spent / len(values),
        "sample": len(values),
        "gmpy2": bool(HAVE_GMP),
        "upload_bytes": vectors[0].size * bits // 4,
    }


def _damgard_jurik_2001(terms: Terms) -> float:
    """Return what one holder's partial decryptions would cost as in that paper."""
    numbers = ring(terms.key.encryption)
    modulus = numbers.ciphertext_modulus
    exponent = modulus * terms.key.factorial // 2
    base = modulus // 3
    count = max(2, SAMPLE // 8)
    begin = time.process_time()
    for _ in range(count):
        power(base, exponent, modulus)
    return (time.process_time() - begin) / count * terms.slots.count


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or one side of it once, and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parameters", type=int, default=100_000)
    parser.add_argument("--organisations", type=int, default=5)
    parser.add_argument("--threshold", type=int, default=0, help="0: least allowed")
    parser.add_argument("--bits", type=int, default=3072, help="of the modulus")
    parser.add_argument("--degree", type=int, default=1, help="Damgard-Jurik's s")
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "phe"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    threshold = options.threshold or math.floor(2 * options.organisations / 3) + 1
    if options.side:
        vectors = vectors_of(options.organisations, options.parameters, options.seed)
        show_line(
            ours(
                vectors,
                bits=options.bits,
                degree=options.degree,
                threshold=threshold,
            )
            if options.side == "ours"
            else phe_encryption(vectors, bits=options.bits)
        )
        return 0
    once = [
        f"--parameters={options.parameters}",
        f"--organisations={options.organisations}",
        f"--threshold={threshold}",
        f"--bits={options.bits}",
        f"--degree={options.degree}",
        f"--seed={options.seed}",
    ]
    module = "benchmarks.paillier"
    show_line(
        line(
            "paillier",
            sizes={
                "parameters": options.parameters,
                "organisations": options.organisations,
                "threshold": threshold,
                "bits": options.bits,
                "degree": options.degree,
                "slot_bits": BITS,
            },
            seed=options.seed,
            ours=lambda: run_fresh(module, [*once, "--side=ours"]),
            peer=lambda: run_fresh(module, [*once, "--side=phe"]),
            peer_name="phe",
            peer_version=importlib.metadata.version("phe"),
            runs=options.runs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
