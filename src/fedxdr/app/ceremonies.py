# SPDX-License-Identifier: Apache-2.0
"""An organisation's shares of decryption keys, in the folder of its agent.

``keys/ceremonies/`` holds for each ceremony the seed with which the organisation took
part and the box that the dealer sealed for it; both are opened anew whenever they are
needed, and checked in every way there is.

It does NOT say whether a ceremony can be trusted: whoever installs a share compares the
record's fingerprint with everybody else's first.

Rule that always holds: nothing is stored that did not open under the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.parties.collecting.mode import ShareOf, no_share
from fedxdr.secagg.encrypted.ceremony import Ceremony, CeremonyKey, open_box
from fedxdr.secagg.encrypted.dealing import SecretShare
from fedxdr.storage.files import replace_file
from fedxdr.storage.secrets import read_seed, write_seed


def install(
    folder: Path, org: OrgId, *, record: Ceremony, seed: bytes, box: bytes
) -> None:
    """Store an organisation's share of a ceremony's key; again changes nothing.

    Args:
        folder: the organisation's.
        org: its name.
        record: the ceremony's public record.
        seed: 32 bytes, the secret half of what it brought to the ceremony.
        box: what the dealer sealed for it.

    Raises:
        UnknownSender: it is no holder.
        InvalidShare: sealed to another key, another box, or a share that is not
            committed to.
        InvalidSettings: another share of this ceremony is there.
        StorageFault: the disk said no.
    """
    open_box(record, org, box, HybridPrivateKey.from_seed(seed))
    secret, sealed = _paths(folder, record)
    if secret.exists() and read_seed(secret) != seed:
        raise InvalidSettings(f"{secret} holds another secret; move it away first")
    secret.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(sealed, box, mode=0o600)
    if not secret.exists():
        write_seed(secret, seed)


def installed(folder: Path, org: OrgId) -> ShareOf:
    """Return what finds an organisation's share of a ceremony's key.

    Args:
        folder: the organisation's; read at every call, so that a share that is
            installed later is found.
        org: its name.
    """

    def share_of(ceremony: Ceremony) -> SecretShare:
        secret, sealed = _paths(folder, ceremony)
        if not secret.exists() or not sealed.exists():
            return no_share(ceremony)
        private = HybridPrivateKey.from_seed(read_seed(secret))
        return open_box(ceremony, org, sealed.read_bytes(), private)

    return share_of


def sealed_to(
    ceremonies: Iterable[Ceremony], org: OrgId, *, seed: bytes
) -> Ceremony | None:
    """Return the newest ceremony in which a share was sealed to a key, None if none.

    Args:
        ceremonies: the oldest first, as the ledger has them.
        org: the holder.
        seed: of its ceremony key.
    """
    public = HybridPrivateKey.from_seed(seed).public
    ours = CeremonyKey(holder=org, key=public).fingerprint
    found = [ceremony for ceremony in ceremonies if ours in ceremony.recipients]
    return found[-1] if found else None


def _paths(folder: Path, ceremony: Ceremony) -> tuple[Path, Path]:
    base = folder / "keys" / "ceremonies"
    name = ceremony.fingerprint
    return base / f"{name}.key", base / f"{name}.share"
