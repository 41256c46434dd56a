# SPDX-License-Identifier: Apache-2.0
"""OpenSSF model signatures over a directory: the one door to ``model_signing``.

Importing it takes half a second, so importers import this file where they sign.

Not here: what lies in the directory and which key is right (model_directory.py).

Rules that always hold: the private key is on no disk, the library reads it from a file
in memory; every file counts, those of git too, but for the ones that are named.

Source: OpenSSF Model Signing v1.0 (in-toto statement in DSSE in a Sigstore bundle).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_signing import hashing, signing, verifying

from fedxdr.core.errors import BadSignature
from fedxdr.crypto.publisher import PublisherKey


def sign(
    directory: Path, signature: Path, *, key: PublisherKey, beside: Sequence[str]
) -> None:
    """Write the signature over a directory.

    Args:
        directory: what is signed; its name goes into the signature.
        signature: the file to write.
        key: the publisher's.
        beside: names in the directory that are left out, ``signature`` among them.

    Raises:
        OSError: the disk said no.
    """
    config = signing.Config()  # type: ignore[no-untyped-call]  # its __init__ has no types
    config.set_hashing_config(_hashing(beside))
    with _in_memory(key.private_pem()) as path:
        config.use_elliptic_key_signer(private_key=path)
    config.sign(directory, signature)


def verify(
    directory: Path, signature: Path, *, public_key: Path, beside: Sequence[str]
) -> None:
    """Return if a signature is by this key over this directory.

    Args:
        directory: as above.
        signature: the file to read.
        public_key: PEM file of the publisher's key.
        beside: as above.

    Raises:
        BadSignature: anything else.
    """
    config = verifying.Config()  # type: ignore[no-untyped-call]  # its __init__ has no types
    config.set_hashing_config(_hashing(beside))
    try:  # over foreign bytes the library raises anything
        config.use_elliptic_key_verifier(public_key=public_key)
        config.verify(directory, signature)
    except Exception as error:
        raise BadSignature(f"{signature.name} does not verify: {error}") from error


def _hashing(beside: Sequence[str]) -> hashing.Config:
    """Return how files are hashed: one by one, whole, in this thread's stead."""
    return (
        hashing.Config()  # type: ignore[no-untyped-call]  # as above
        .use_file_serialization(max_workers=1)
        .set_ignored_paths(paths=beside, ignore_git_paths=False)
    )


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Lend a path to bytes that are on no disk, gone when the block ends."""
    descriptor = os.memfd_create("publisher", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        yield f"/proc/self/fd/{descriptor}"
