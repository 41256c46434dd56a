# SPDX-License-Identifier: Apache-2.0
"""Commands of ``keys``: ``new``, ``ceremony``, ``show``, ``publish``, ``install``.

``new`` and ``install`` are every organisation's, ``ceremony`` the dealer's on its
offline machine, ``publish`` the operator's, ``show`` everybody's. Only ``publish``
talks to a network, and ``install`` without ``--record``. The dealer's primes are never
written: they live in one process, without core dumps, and end with it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from fedxdr.cli.console import ERR, OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings, MalformedMessage
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import Entropy, SystemEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.federation.plan import Plan, Task
from fedxdr.parties.ports import Learned
from fedxdr.secagg.encrypted.ceremony import Ceremony, CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.integers import Run, in_turn
from fedxdr.secagg.encrypted.paillier import PrivateKey
from fedxdr.secagg.encrypted.primes import safe_prime
from fedxdr.storage.files import replace_file
from fedxdr.storage.secrets import read_seed, write_seed

keys = typer.Typer(
    no_args_is_help=True, help="Keys of threshold decryption (mode paillier)."
)

SIZES = (2048, 3072, 4096)
"""Bits of a modulus; 3,072 are as strong as the rest of the house."""

RECORD_FILE = "ceremony.json"
SECRET_SUFFIX = ".ceremony-key"  # noqa: S105 - a file name
PUBLIC_SUFFIX = ".ceremony-key.json"
BOX_SUFFIX = ".share"

Out = Annotated[Path, typer.Option("--out", help="Folder to write into.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
T = TypeVar("T")


@keys.command()
def new(
    name: Annotated[str, typer.Option(help="Name of your organisation.")],
    out: Out,
    *,
    as_json: AsJson = False,
) -> None:
    """Make your organisation's key for a ceremony; hand its public half to the dealer.

    The secret half stays here: with it the share that the dealer seals is opened.
    """
    holder = org_id(name)
    secret, public = out / f"{holder}{SECRET_SUFFIX}", out / f"{holder}{PUBLIC_SUFFIX}"
    _want_new(public)
    seed = SystemEntropy().draw(32)
    write_seed(secret, seed)
    made = CeremonyKey(holder=holder, key=HybridPrivateKey.from_seed(seed).public)
    replace_file(public, canonical.encode(made))
    if as_json:
        print_json(
            {
                "holder": holder,
                "public": str(public),
                "secret": str(secret),
                "fingerprint": made.fingerprint,
            }
        )
        return
    OUT.print(f"Keep {secret}; hand {public} to the dealer.", highlight=False)
    OUT.print(f"Its fingerprint: {made.fingerprint}", highlight=False)


@keys.command()
def ceremony(
    organisations: Annotated[
        str,
        typer.Option(
            help="Public halves from `keys new`: files with commas, or one folder."
        ),
    ],
    threshold: Annotated[
        int, typer.Option(help="How many decrypt together: above two thirds.")
    ],
    out: Out,
    *,
    bits: Annotated[int, typer.Option(help="Of the modulus: 2048, 3072, 4096.")] = 3072,
    degree: Annotated[
        int,
        typer.Option(
            help="Damgard-Jurik's s. 1 interoperates with python-paillier; 2 halves "
            "what each holder spends on decryption."
        ),
    ] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; 0: one per core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a shared key on the dealer's offline machine, and seal each share.

    Writes the public record and one sealed share per organisation. The primes are never
    written and end with this process; until then the dealer could decrypt everything.
    """
    if bits not in SIZES:
        raise InvalidSettings(f"--bits {bits}: want one of {SIZES}")
    brought = [_read(path, CeremonyKey) for path in _public_halves(organisations)]
    record_path = out / RECORD_FILE
    paths = {key.holder: out / f"{key.holder}{BOX_SUFFIX}" for key in brought}
    for path in (record_path, *paths.values()):
        _want_new(path)
    hard_bytes = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard_bytes))
    entropy = SystemEntropy()
    held = hold(
        _private_key(bits, entropy, processes=jobs or os.cpu_count() or 1),
        brought,
        threshold=threshold,
        entropy=entropy,
        degree=degree,
    )
    out.mkdir(parents=True, exist_ok=True)
    for holder, box in held.boxes.items():
        replace_file(paths[holder], box)
    replace_file(record_path, canonical.encode(held.record))
    if as_json:
        print_json(
            {
                "record": str(record_path),
                "shares": {holder: str(path) for holder, path in paths.items()},
                **_summary(held.record),
            }
        )
        return
    _show_record(record_path, held.record)
    OUT.print(
        f"Hand {record_path} to all and each share to its holder; all compare the "
        "fingerprint.",
        highlight=False,
    )


@keys.command()
def show(
    file: Annotated[Path, typer.Argument(help="A public key or record.")],
    share: Annotated[
        Path | None, typer.Option(help="Your sealed share: check that it opens.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Your secret half, to open the share.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show whose a key is and its fingerprint; with --share, check that yours opens."""
    if (share is None) != (key is None):
        raise InvalidSettings("--share and --key go together")
    if share is None and "holder" in _fields(file):
        _show_public(file, _read(file, CeremonyKey), as_json=as_json)
        return
    record = _read(file, Ceremony)
    opened = None
    if share is not None and key is not None:
        private = HybridPrivateKey.from_seed(read_seed(key))
        opened = _holder_of(record, private)
        open_box(record, opened, _read_bytes(share), private)
    if as_json:
        print_json(_summary(record) | ({"share_of": opened} if opened else {}))
        return
    _show_record(file, record)
    if opened:
        OUT.print(f"The share of {opened} opens and is the one committed to.")


@keys.command()
def publish(
    file: Annotated[Path, typer.Argument(help="The record of `keys ceremony`.")],
    folder: Annotated[Path, typer.Option("--dir", help="The orchestrator's folder.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put a ceremony's record on the ledger of the running server (the operator)."""
    from fedxdr.cli.serve import CONSENT_S, as_operator  # noqa: PLC0415 - the others stay offline

    record = _read(file, Ceremony)
    answer = as_operator(
        folder,
        "POST",
        "/federation/key-ceremony",
        canonical.builtins(record),
        wait_s=CONSENT_S,
    )
    if as_json:
        print_json(answer)
        return
    OUT.print(
        f"Block {answer['height']} holds the record; fingerprint "
        f"{answer['fingerprint']}",
        highlight=False,
        soft_wrap=True,
    )
    print("Each holder: fedxdr keys install --dir DIR --key SECRET --share BOX")


@keys.command()
def install(
    folder: Annotated[Path, typer.Option("--dir", help="The organisation's folder.")],
    key: Annotated[Path, typer.Option(help="Your secret half, from `keys new`.")],
    share: Annotated[Path, typer.Option(help="Your share, sealed by the dealer.")],
    record: Annotated[
        Path | None,
        typer.Option(help="The dealer's record; default: the one on the ledger."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Give your agent its share, once it opens under the record.

    Compare the fingerprint with everybody else's first: whoever dealt the key could
    decrypt with it. Without --record the ledger is asked, and the agent must not run.
    """
    from fedxdr.app import ceremonies  # noqa: PLC0415 - the others stay offline
    from fedxdr.app.participating import AgentFile  # noqa: PLC0415 - the same

    seed, box = read_seed(key), _read_bytes(share)
    org = org_id(AgentFile.read(folder).org)
    found = _on_ledger(folder, seed) if record is None else _read(record, Ceremony)
    ceremonies.install(folder, org, record=found, seed=seed, box=box)
    if as_json:
        print_json({"holder": org, **_summary(found)})
        return
    OUT.print(
        f"{org} holds its share of key {found.fingerprint}; any {found.key.threshold} "
        f"of {len(found.key.holders)} decrypt together.",
        highlight=False,
        soft_wrap=True,
    )
    OUT.print(f"{key} and {share} may be deleted now.", highlight=False)


def _on_ledger(folder: Path, seed: bytes) -> Ceremony:
    """Return the newest ceremony on the ledger in which we took part with this seed."""
    from fedxdr.app.ceremonies import sealed_to  # noqa: PLC0415 - offline commands
    from fedxdr.app.participating import OpenParticipant  # noqa: PLC0415 - the same

    opened = OpenParticipant(folder, learner=_NoData())
    try:
        opened.follow_ledger()
        known = opened.participant.mirror.in_force.ceremonies.values()
        found = sealed_to(known, OrgId(opened.file.org), seed=seed)
    finally:
        opened.close()
    if found is None:
        raise InvalidSettings(
            "no ceremony on the ledger was held with that key: let the operator run "
            "`fedxdr keys publish`, or name the dealer's record with --record"
        )
    return found


class _NoData:
    """A learner that is never asked: following a ledger takes no data."""

    def samples(self) -> int:
        """Return 0."""
        return 0

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Refuse.

        Raises:
            InvalidSettings: always.
        """
        del task, parent, plan, number
        raise InvalidSettings("this command takes part in no round")


def _private_key(bits: int, entropy: Entropy, *, processes: int) -> PrivateKey:
    """Return two fresh safe primes, searched for on all cores."""

    def progress(windows: int) -> None:
        if ERR.is_terminal:
            ERR.print(f"searching safe primes: {windows} windows", end="\r")

    with _pool(processes) as run:
        p, q = (
            safe_prime(
                bits // 2, entropy, run=run, at_once=processes, progress=progress
            )
            for _ in range(2)
        )
    return PrivateKey(p=p, q=q)


@contextmanager
def _pool(processes: int) -> Iterator[Run]:
    """Yield something that runs jobs: a pool's map, or this process alone."""
    if processes == 1:
        yield in_turn
        return
    # a fork server: nothing of this process but the jobs reaches the workers
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool.map


def _public_halves(organisations: str) -> list[Path]:
    """Return the files that ``--organisations`` names."""
    folder = Path(organisations)
    if folder.is_dir():
        found = sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))
        if not found:
            raise InvalidSettings(f"no file {folder}/*{PUBLIC_SUFFIX}")
        return found
    return [Path(part.strip()) for part in organisations.split(",")]


def _holder_of(record: Ceremony, private: HybridPrivateKey) -> OrgId:
    """Return whose share of a record was sealed to a key."""
    for holder, recipient in zip(record.key.holders, record.recipients, strict=True):
        if CeremonyKey(holder=holder, key=private.public).fingerprint == recipient:
            return holder
    raise InvalidSettings("no share of this record was sealed to that key")


def _read(path: Path, type_: type[T]) -> T:
    """Return the value in a canonical file.

    Raises:
        InvalidSettings: it cannot be read.
        MalformedMessage: it is something else; names the file.
    """
    try:
        return canonical.decode(_read_bytes(path), type_)
    except MalformedMessage as error:
        raise MalformedMessage(f"{path}: {error}") from error


def _fields(path: Path) -> frozenset[str]:
    """Return the names of the fields in a canonical file."""
    try:
        value = canonical.parse_jcs(_read_bytes(path))
    except MalformedMessage as error:
        raise MalformedMessage(f"{path}: {error}") from error
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from error


def _want_new(path: Path) -> None:
    if path.exists():
        raise InvalidSettings(f"{path} exists; move it away first")


def _summary(record: Ceremony) -> dict[str, object]:
    key = record.key
    return {
        "fingerprint": record.fingerprint,
        "bits": 8 * key.encryption.element_bytes,
        "degree": key.encryption.degree,
        "threshold": key.threshold,
        "holders": list(key.holders),
    }


def _show_public(path: Path, public: CeremonyKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"holder": public.holder, "fingerprint": public.fingerprint})
        return
    OUT.print(f"{path}: ceremony key of {public.holder}", highlight=False)
    OUT.print(f"Its fingerprint: {public.fingerprint}", highlight=False)


def _show_record(path: Path, record: Ceremony) -> None:
    key = record.key
    table(
        f"{path}: shared key",
        ["what", "found"],
        [
            ["fingerprint", record.fingerprint],
            ["modulus", f"{8 * key.encryption.element_bytes} bits"],
            ["degree", str(key.encryption.degree)],
            ["decrypted by", f"any {key.threshold} of {len(key.holders)}"],
            ["holders", ", ".join(key.holders)],
        ],
    )
