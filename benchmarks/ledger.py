# SPDX-License-Identifier: Apache-2.0
"""What the ledger costs: appends, audits, proofs, and the light client's check.

``python -m benchmarks.ledger`` prints one line per measure; ``--measure`` picks one,
``--database postgresql+psycopg://…``, an empty one, puts appends on a server.

- ``appends``: each block goes, ready made, with its ready made head into the store in
  one transaction, and again, in another file, in two. Before each pair the same bytes
  are written to a growing file and synced (``write``, ``fsync``), so that the machine's
  other load meets all alike. Rates are 1 / mean seconds of one; ``ratio`` is a rate
  over that of the bare file. Blocks are of committed rounds, all envelopes with them.
- ``tree``: all blocks, links, Merkle root, the log's signature and the quorum's, from
  the database and from a bundle. No envelopes lie beside these blocks: no such audit
  looks at them.
- ``signed``: every rule, every participant's two statements, every signature of both
  kinds, read from the database in pages; one process.
- ``proofs``: microseconds of one proof and of one check, in a tree of so many leaves.
- ``light``: one tlog-proof file and one block, policy included, in a ledger of
  ``--blocks``; ``first_cpu_s`` is the first check of a fresh process.

Figures are CPU seconds unless named otherwise; every run is a fresh process over files
that were made before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from benchmarks.ledger_chain import MODEL, Chain
from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh
from benchmarks.measure import show as show_line
from fedxdr.core.ids import Digest
from fedxdr.ledger import bundle, checkpoint, light, merkle, policy, proofs, verifier
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.merkle import Tree
from fedxdr.storage import ledger_check
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.schema import BLOCKS, CHECKPOINTS

T = TypeVar("T")
R = TypeVar("R")

MEASURES = ("appends", "tree", "signed", "proofs", "light")
LEAVES = (100_000, 1_000_000)
_AT_ONCE = 1_000
_CHECKS = 200
_WARM = 20


def make(folder: Path, options: argparse.Namespace) -> None:
    """Write the ledgers that the runs read."""
    wanted = {options.measure} if options.measure else set(MEASURES)
    if wanted & {"tree", "light"}:
        chain = Chain(options.organisations, options.seed)
        made = list(chain.bare(options.blocks))
        head = _store(folder / "tree.db", made, chain)
        (folder / "tree.bundle").write_bytes(
            bundle.write(blocks=made, models=[MODEL], heads={len(made): head})
        )
        _write_head(folder / "tree", head, chain)
        leaves = [bytes.fromhex(one.block.hash) for one in made]
        middle = len(made) // 2
        rules = policy.parse(chain.standing.policy_text().encode())
        (folder / "light.proof").write_bytes(
            proofs.write(
                index=middle,
                path=Tree(leaves).inclusion_proof(middle),
                checkpoint=light.fewest_lines(head, rules=rules),
            )
        )
        (folder / "light.block").write_bytes(made[middle].block.body())
    if wanted & {"signed", "appends"}:
        n = options.signed if "signed" in wanted else options.appends
        chain = Chain(options.organisations, options.seed)
        head = _store(folder / "signed.db", list(chain.signed(n)), chain)
        _write_head(folder / "signed", head, chain)


def appends(folder: Path, options: argparse.Namespace) -> Figures:
    """Append blocks with their heads, beside bare writes of the same bytes."""
    source = Database(folder / "signed.db", access="reading")
    made = SqlBlockStore(source).read(begin=0, end=options.appends)
    source.close()
    chain, tree, notes = Chain(options.organisations, options.seed), Tree(), []
    for signed in made:
        tree.append(bytes.fromhex(signed.block.hash))
        root = Digest(tree.root().hex())
        notes.append(chain.head(tree.size, root, cosigned=False))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        own = Path(name)
        first = Database(options.database or own / "one.db")
        second = None if options.database else Database(own / "two.db")
        meter = Meter()
        with meter:
            figures = _append_all(made, notes, own / "raw", first, second)
        if options.database:
            with first.write() as connection:
                connection.execute(BLOCKS.delete())
                connection.execute(CHECKPOINTS.delete())
        for opened in (first, second):
            if opened is not None:
                opened.close()
    return figures | {"peak_rss_bytes": meter.peak_rss_bytes}


def _append_all(
    made: list[SignedBlock],
    notes: list[bytes],
    raw: Path,
    first: Database,
    second: Database | None,
) -> Figures:
    spent: dict[str, list[float]] = {"fsync": [], "one": [], "two": []}
    cpu: list[float] = []
    store = SqlBlockStore(first)
    data = b""
    handle = os.open(raw, os.O_WRONLY | os.O_CREAT, 0o600)
    for signed, note in zip(made, notes, strict=True):
        data = b"".join(
            (signed.block.body(), note, *(e.to_json() for e in signed.envelopes))
        )

        def write(data: bytes = data) -> None:
            os.write(handle, data)
            os.fsync(handle)

        def one(signed: SignedBlock = signed, note: bytes = note) -> None:
            store.append(signed, head=note)

        spent["fsync"].append(_wall(write))
        before = time.process_time()
        spent["one"].append(_wall(one))
        cpu.append(time.process_time() - before)
        if second is not None:
            spent["two"].append(_wall(lambda: _in_two(second, signed, note)))  # noqa: B023 - called at once
    os.close(handle)
    # means, not medians: now and then SQLite moves its journal, which is part of it
    means = {
        name: statistics.fmean(times[_WARM:]) for name, times in spent.items() if times
    }
    figures: Figures = {f"{name}_per_s": 1 / mean for name, mean in means.items()}
    figures["append_cpu_s"] = statistics.fmean(cpu[_WARM:])
    figures["ratio"] = means["fsync"] / means["one"]
    if "two" in means:
        figures["ratio_of_two"] = means["fsync"] / means["two"]
    figures["record_bytes"] = len(data)
    return figures


def _in_two(database: Database, signed: SignedBlock, note: bytes) -> None:
    """Store a block and then its head, as two transactions."""
    SqlBlockStore(database).append(signed)
    says = checkpoint.parse(note)
    SqlCheckpointStore(database).put(says.size, Digest(says.root.hex()), note)


def tree(folder: Path, options: argparse.Namespace) -> Figures:
    """Audit all blocks by the tree, from the database and from a bundle."""
    head = (folder / "tree.head").read_bytes()
    text = (folder / "tree.policy").read_bytes()
    meters = {"database": Meter(), "bundle": Meter()}
    with meters["database"]:
        database = Database(folder / "tree.db", access="reading")
        found = light.audit(
            SqlBlockStore(database).bodies(), head=head, policy=policy.parse(text)
        )
        database.close()
    with meters["bundle"]:
        skimmed = bundle.skim((folder / "tree.bundle").read_bytes())
        again = light.audit(
            skimmed.bodies, head=skimmed.head, policy=policy.parse(text)
        )
    if found != again or found.head.size != options.blocks:
        raise RuntimeError("two audits of one ledger differ")
    return _of(meters) | {"bundle_bytes": (folder / "tree.bundle").stat().st_size}


def signed(folder: Path, options: argparse.Namespace) -> Figures:
    """Audit every rule and every signature, from the database."""
    meter = Meter()
    with meter:
        database = Database(folder / "signed.db", access="reading")
        judge = ledger_check.by_the_rules()
        found = ledger_check.check(database, has_model=lambda _: True, judge=judge)
        head = SqlCheckpointStore(database).get(found.size)
        database.close()
        text = (folder / "signed.policy").read_bytes()
        cosigned = policy.parse(text).check(head or b"")
    if found.size != options.signed or len(cosigned) != options.organisations:
        raise RuntimeError("not everything was audited")
    figures = meter.figures()
    return figures | {"per_block_cpu_s": meter.cpu_s / found.size}


def proving(folder: Path, options: argparse.Namespace) -> Figures:
    """Make and check inclusion and consistency proofs in trees of two sizes."""
    del folder
    chain = Chain(options.organisations, options.seed)
    for _ in chain.signed(2):
        pass
    figures: Figures = {}
    for size in LEAVES:
        found = _proofs_in(size, chain, options.seed)
        figures |= {f"{name}_of_{size}": value for name, value in found.items()}
    return figures


def _proofs_in(size: int, chain: Chain, seed: int) -> Figures:
    """Make and check proofs in a tree of so many leaves."""
    leaves = [merkle.leaf_hash(b"%d %d" % (seed, index)) for index in range(size)]
    meter = Meter()
    with meter:
        grown = Tree(leaves)
        root = grown.root()
    rules = policy.parse(chain.standing.policy_text().encode())
    head = light.fewest_lines(chain.head(size, Digest(root.hex())), rules=rules)
    at = [(7919 * k) % (size - 1) + 1 for k in range(_CHECKS)]
    roots = [grown.root(old) for old in at]

    def check_inclusion(found: tuple[int, list[bytes]]) -> None:
        index, path = found
        merkle.verify_inclusion(
            leaf_hash=leaves[index], index=index, size=size, proof=path, root=root
        )

    def check_growth(found: tuple[int, bytes, list[bytes]]) -> None:
        old, was, way = found
        merkle.verify_consistency(
            old_size=old, new_size=size, proof=way, old_root=was, new_root=root
        )

    def prove(index: int) -> bytes:
        path = grown.inclusion_proof(index)
        return proofs.write(index=index, path=path, checkpoint=head)

    def check(found: tuple[int, bytes]) -> None:
        index, file = found
        proofs.verify(file, leaf_hash=leaves[index], policy=rules)

    paths, inclusion_us = _each(grown.inclusion_proof, at)
    ways, growth_us = _each(grown.consistency_proof, at)
    files, tlog_us = _each(prove, at)
    return {
        "tree_cpu_s": meter.cpu_s,
        "tree_extra_rss_bytes": meter.extra_rss_bytes,
        "inclusion_proof_us": inclusion_us,
        "inclusion_check_us": _each(check_inclusion, zip(at, paths, strict=True))[1],
        "consistency_proof_us": growth_us,
        "consistency_check_us": _each(check_growth, zip(at, roots, ways, strict=True))[
            1
        ],
        "tlog_proof_us": tlog_us,
        "tlog_check_us": _each(check, zip(at, files, strict=True))[1],
    }


def light_client(folder: Path, options: argparse.Namespace) -> Figures:
    """Check one block by its file, the policy's text read each time."""
    del options
    proof = (folder / "light.proof").read_bytes()
    block = (folder / "light.block").read_bytes()
    text = (folder / "tree.policy").read_bytes()

    def check(_: int) -> int:
        return light.verify(proof, block, policy=policy.parse(text)).height

    meter = Meter()
    with meter:
        check(0)
    return {
        "first_cpu_s": meter.cpu_s,
        "peak_rss_bytes": meter.peak_rss_bytes,
        "cpu_s": _each(check, range(_CHECKS))[1] / 1e6,
        "proof_bytes": len(proof),
        "block_bytes": len(block),
        "bytes": len(proof) + len(block),
    }


SIDES: dict[str, Callable[[Path, argparse.Namespace], Figures]] = {
    "appends": appends,
    "tree": tree,
    "signed": signed,
    "proofs": proving,
    "light": light_client,
}


def _store(path: Path, made: list[SignedBlock], chain: Chain) -> bytes:
    """Write a ledger into a new database and return its cosigned head."""
    database = Database(path)
    store, grown = SqlBlockStore(database), Tree()
    for begin in range(0, len(made), _AT_ONCE):
        store.extend(made[begin : begin + _AT_ONCE])
    grown.extend(bytes.fromhex(one.block.hash) for one in made)
    root = Digest(grown.root().hex())
    head = chain.head(len(made), root)
    verifier.check_head(head, chain.standing, grown.root())
    SqlCheckpointStore(database).put(len(made), root, head)
    database.leave_no_journal()
    database.close()
    return head


def _write_head(stem: Path, head: bytes, chain: Chain) -> None:
    stem.with_suffix(".head").write_bytes(head)
    stem.with_suffix(".policy").write_text(
        chain.standing.policy_text(), encoding="utf-8"
    )


def _of(meters: dict[str, Meter]) -> Figures:
    return {
        f"{name}_{figure}": value
        for name, meter in meters.items()
        for figure, value in meter.figures().items()
    }


def _wall(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _each(work: Callable[[T], R], items: Iterable[T]) -> tuple[list[R], float]:
    """Return what is made of each, and the CPU microseconds of one."""
    given = list(items)
    begin = time.process_time()
    made = [work(item) for item in given]
    return made, (time.process_time() - begin) / len(given) * 1e6


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or one side of it once; print a JSON line per measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", choices=MEASURES)
    parser.add_argument("--organisations", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--signed", type=int, default=1_000)
    parser.add_argument("--appends", type=int, default=200)
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL")
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        show_line(SIDES[options.side](options.folder, options))
        return 0
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), options)
        for measure in [options.measure] if options.measure else MEASURES:
            run(measure, Path(name), options)
    return 0


def run(measure: str, folder: Path, options: argparse.Namespace) -> None:
    """Measure one thing in fresh processes and print its line."""
    sizes = {
        "appends": {"appends": options.appends},
        "tree": {"blocks": options.blocks},
        "signed": {"blocks": options.signed},
        "proofs": {},
        "light": {"blocks": options.blocks},
    }[measure]
    once = [f"--side={measure}", f"--folder={folder}", f"--seed={options.seed}"]
    once += [
        f"--{option}={getattr(options, option)}"
        for option in ("organisations", "blocks", "signed", "appends", "database")
    ]
    store = {"store": "postgresql" if options.database else "sqlite"}
    show_line(
        line(
            f"ledger {measure}",
            sizes={
                "organisations": options.organisations,
                **sizes,
                **(store if measure == "appends" else {}),
            },
            seed=options.seed,
            ours=lambda: run_fresh("benchmarks.ledger", once),
            runs=options.runs,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
