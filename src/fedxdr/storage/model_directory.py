# SPDX-License-Identifier: Apache-2.0
"""A published model: one directory that strangers verify with tools they have.

``<folder>/<SHA-256 of the model's file>/`` holds seven files::

    model.safetensors   the model, as the ledger names it by its SHA-256
    provenance.json     its block and the in-toto statements in their DSSE envelopes
    README.md           its card, for people
    publisher.pem       the P-256 key that the ledger names (crypto/publisher.py)
    model.sig           OpenSSF model signature over the four above
    SHA256SUMS          digests of the five above
    SHA256SUMS.sig      ECDSA signature over SHA256SUMS, DER

``model_signing`` alone proves the four files and that there is no fifth; of
``model.sig`` it passes over the last bits of base64. ``sha256sum`` catches those, and
``openssl`` proves what ``sha256sum`` is asked. The directory cannot vouch for its own
key: the commands pin model and key by digests taken from the ledger.

Not here: whether the provenance is true and stands on the ledger (``fedxdr verify``),
what a card says (publishing.py), who may fetch.

Rules that always hold:
    1. A directory under its name is whole: built in ``.part/``, checked, synced, then
       renamed; after kill -9 the next writer throws ``.part/`` away.
    2. What is published is never changed: writing the model again leaves every byte,
       and with another provenance or publisher it is a fault.

Sources: OpenSSF Model Signing v1.0 (in-toto statement in DSSE in a Sigstore bundle);
GNU coreutils, ``sha256sum --check``.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedxdr.core.errors import (
    BadSignature,
    IntegrityFault,
    InvalidInput,
    MalformedMessage,
    NotFound,
    StorageFault,
)
from fedxdr.core.ids import Digest, sha256
from fedxdr.crypto.publisher import Publisher, PublisherKey

FOLDER = "models"
"""Where published models lie in a party's folder."""

MODEL = "model.safetensors"
PROVENANCE = "provenance.json"
CARD = "README.md"
KEY = "publisher.pem"
SIGNATURE = "model.sig"
SUMS = "SHA256SUMS"
SUMS_SIGNATURE = "SHA256SUMS.sig"

SIGNED = (CARD, KEY, MODEL, PROVENANCE)
"""What ``model.sig`` covers, in the order of ``SHA256SUMS``."""

SUMMED = tuple(sorted((*SIGNED, SIGNATURE)))
"""What ``SHA256SUMS`` covers."""

BESIDE = (SIGNATURE, SUMS, SUMS_SIGNATURE)
"""What ``model.sig`` leaves out, and says so."""

FILES = frozenset((*SIGNED, *BESIDE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What the publisher adds to what stands on the ledger; for others to mirror.

    Attributes:
        card: bytes of ``README.md``.
        signature: bytes of ``model.sig``.
        sums_signature: bytes of ``SHA256SUMS.sig``.
    """

    card: bytes
    signature: bytes
    sums_signature: bytes


def write_model_directory(
    folder: Path,
    *,
    model: bytes,
    provenance: bytes,
    card: bytes,
    publisher: PublisherKey,
) -> Path:
    """Sign a model and publish it; nothing happens if it is published already.

    Args:
        folder: of all published models; made if it does not exist.
        model: the model's file.
        provenance: its block and statements, as publishing.py writes them.
        card: Markdown, UTF-8.
        publisher: the key that the ledger names.

    Returns:
        The directory, named by the model's SHA-256.

    Raises:
        IntegrityFault: something else stands under that name.
        StorageFault: the disk said no.
    """

    def sign(draft: Path) -> None:
        from fedxdr.storage import openssf  # noqa: PLC0415 - takes half a second

        openssf.sign(draft, draft / SIGNATURE, key=publisher, beside=BESIDE)
        _sync(draft / SIGNATURE)
        sums = _sums(draft)
        _put(draft / SUMS, sums)
        _put(draft / SUMS_SIGNATURE, publisher.sign(sums))

    content = {MODEL: model, PROVENANCE: provenance, CARD: card}
    return _place(folder, content, publisher.public, sign)


def mirror_model_directory(
    folder: Path,
    *,
    model: bytes,
    provenance: bytes,
    publisher: Publisher,
    seal: Seal,
) -> Path:
    """Publish a model that the holder of the publisher's key signed elsewhere.

    Args:
        folder: as above.
        model: as above.
        provenance: as above, the same bytes.
        publisher: the key that the ledger names.
        seal: ``read_seal`` of the directory that was signed.

    Returns:
        The directory.

    Raises:
        BadSignature: the seal is not by this key over these bytes; nothing was
            published.
        IntegrityFault: something else stands under that name.
        StorageFault: the disk said no.
    """

    def copy(draft: Path) -> None:
        _put(draft / SIGNATURE, seal.signature)
        _put(draft / SUMS, _sums(draft))
        _put(draft / SUMS_SIGNATURE, seal.sums_signature)

    content = {MODEL: model, PROVENANCE: provenance, CARD: seal.card}
    return _place(folder, content, publisher, copy)


def read_seal(directory: Path) -> Seal:
    """Return what the publisher added to a published model.

    Raises:
        NotFound: no such model is published there.
        StorageFault: the disk said no.
    """
    return Seal(
        card=_get(directory / CARD),
        signature=_get(directory / SIGNATURE),
        sums_signature=_get(directory / SUMS_SIGNATURE),
    )


def check_model_directory(
    directory: Path, *, model_hash: Digest, publisher: Publisher
) -> None:
    """Return if a directory is what the publisher signed, and holds this model.

    The same checks as the three printed commands, and stricter: nothing else may lie
    in it.

    Args:
        directory: as published.
        model_hash: SHA-256 of the model, from the ledger.
        publisher: the key, from the ledger.

    Raises:
        NotFound: there is no such directory.
        MalformedMessage: a file is missing, changed or too much.
        BadSignature: another publisher's, or a signature that does not verify.
    """
    from fedxdr.storage import openssf  # noqa: PLC0415 - takes half a second

    found = _names(directory)
    if found != FILES:
        raise MalformedMessage(
            f"a published model holds {_listed(FILES)}; here "
            f"{_listed(FILES - found) or 'none'} missing, "
            f"{_listed(found - FILES) or 'none'} too much"
        )
    if _get(directory / KEY) != publisher.pem:
        raise BadSignature(f"{KEY} is not the publisher's key on the ledger")
    if sha256(_get(directory / MODEL)) != model_hash:
        raise MalformedMessage(f"{MODEL} is not model {model_hash[:16]}…")
    sums = _get(directory / SUMS)
    if sums != _sums(directory):
        raise MalformedMessage(f"{SUMS} is not that of the files")
    publisher.verify(sums, _get(directory / SUMS_SIGNATURE))
    openssf.verify(
        directory, directory / SIGNATURE, public_key=directory / KEY, beside=BESIDE
    )


def how_to_verify(
    directory: Path, *, model_hash: Digest, publisher: Publisher
) -> tuple[str, str, str]:
    """Return three commands that verify a published model, for a POSIX shell.

    Each ends with status 0 or fails. They need ``model_signing`` (1.1), ``openssl`` and
    GNU ``sha256sum``, no network, nothing of ours, and no particular working directory.

    Args:
        directory: as published.
        model_hash: SHA-256 of the model, from the ledger.
        publisher: the key, from the ledger; the third command pins it.
    """
    place = directory.absolute()

    def at(name: str = "") -> str:
        return shlex.quote(str(place / name))

    signed = (
        f"model_signing verify key {at()} --signature {at(SIGNATURE)} "
        f"--public_key {at(KEY)} --no-ignore-git-paths"
    )
    summed = (
        f"openssl dgst -sha256 -verify {at(KEY)} -signature {at(SUMS_SIGNATURE)} "
        f"{at(SUMS)}"
    )
    pinned = (
        f"(cd {at()} && printf '%s  %s\\n' {model_hash} {MODEL} "
        f"{publisher.fingerprint} {KEY} | sha256sum --check --strict - {SUMS})"
    )
    return signed, summed, pinned


def _place(
    folder: Path,
    content: Mapping[str, bytes],
    publisher: Publisher,
    seal: Callable[[Path], None],
) -> Path:
    """Build a directory beside its place, check it, and move it there whole."""
    model_hash = sha256(content[MODEL])
    files = {**content, KEY: publisher.pem}
    place, part = folder / model_hash, folder / ".part"
    # The draft has its final name already: model.sig names the directory it signed.
    draft = part / model_hash
    with _reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if part.exists():
                shutil.rmtree(part)
            if os.path.lexists(place):
                _require_same(place, files, publisher)
                return place
            draft.mkdir(parents=True)
            try:
                for name, data in files.items():
                    _put(draft / name, data)
                seal(draft)
                check_model_directory(draft, model_hash=model_hash, publisher=publisher)
                _sync(draft)
                draft.rename(place)
                _sync(folder)
            finally:
                shutil.rmtree(part)
    return place


def _require_same(
    place: Path, files: Mapping[str, bytes], publisher: Publisher
) -> None:
    """Refuse a published directory that does not say the same about the same model.

    Its card may be worded otherwise: an older release published it.
    """
    model_hash = sha256(files[MODEL])
    try:
        check_model_directory(place, model_hash=model_hash, publisher=publisher)
    except (InvalidInput, NotFound) as error:
        message = f"the published model {place} is broken: {error}"
        raise IntegrityFault(message) from error
    if _get(place / PROVENANCE) != files[PROVENANCE]:
        raise IntegrityFault(f"{place} is published with another {PROVENANCE}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep every other writer of this folder out; kill -9 lets go as well."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into our error."""
    try:
        yield
    except OSError as error:
        raise StorageFault(f"cannot write to {folder}: {error}") from error


def _sums(directory: Path) -> bytes:
    """Return what ``sha256sum`` prints for the files that are summed."""
    lines = (f"{sha256(_get(directory / name))}  {name}\n" for name in SUMMED)
    return "".join(lines).encode()


def _names(directory: Path) -> frozenset[str]:
    """Return what lies in a directory; what is no plain file with a slash after it."""
    try:
        with os.scandir(directory) as found:
            return frozenset(
                entry.name if entry.is_file(follow_symlinks=False) else f"{entry.name}/"
                for entry in found
            )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no model is published in {directory}") from error


def _get(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no {path.name} in {path.parent}") from error
    except OSError as error:
        raise StorageFault(f"cannot read {path}: {error.strerror}") from error


def _put(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk; its folder is not yet synced."""
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
