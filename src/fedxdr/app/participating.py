# SPDX-License-Identifier: Apache-2.0
"""An organisation's folder: how it joins, and what runs on it.

The folder holds ``agent.db`` (sessions, its mirror of the ledger), ``fence/`` (secrets
of open rounds, what it answered once; a restored copy of either is noticed),
``blobs/`` (masked vectors, models), ``keys/`` (its identity, its shares of decryption
keys) and ``agent.json`` (name, address and key of the orchestrator, genesis of the
ledger).
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedxdr.app import ceremonies
from fedxdr.app.pools import LazyPool
from fedxdr.core import canonical
from fedxdr.core.clock import Clock, SystemClock
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    InvalidSettings,
    InvitationRefused,
    MalformedMessage,
    Refused,
)
from fedxdr.core.ids import OrgId, digest
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.federation.floor import Floor
from fedxdr.ledger import checkpoint
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import MemberKeys
from fedxdr.parties import enrolment
from fedxdr.parties.enrolment import InvitationToken
from fedxdr.parties.following import Joined
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learner, Link
from fedxdr.parties.recording import Recorder
from fedxdr.parties.vouching import newest_signed
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence
from fedxdr.storage.files import replace_file
from fedxdr.storage.proof_files import ProofFiles
from fedxdr.storage.purse import SqlPurseLog
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.storage.secrets import read_seed, write_seed
from fedxdr.transport.client import Client, HttpLink

logger = logging.getLogger(__name__)

NEXT_KEY = "identity.next.key"
OLD_KEY = "identity.old.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """What ``agent.json`` holds.

    Attributes:
        org: this organisation's name.
        server: base address of the orchestrator.
        orchestrator: fingerprint of its keys, pinned by the invitation.
        token: bearer token that lets it read.
        genesis: hash of the ledger's block 0; empty before the federation is founded.
        founding: digest of the Genesis that was approved here; empty before.
        pinned_size: of the ledger that the invitation pins; 0 without.
        pinned_root: its root, in hexadecimal.
    """

    org: str
    server: str
    orchestrator: str
    token: str
    genesis: str = ""
    founding: str = ""
    pinned_size: int = 0
    pinned_root: str = ""

    @classmethod
    def read(cls, folder: Path) -> AgentFile:
        """Return what stands in a folder.

        Raises:
            InvalidSettings: it is no member's folder.
        """
        try:
            return cls(**json.loads((folder / "agent.json").read_text()))
        except FileNotFoundError as error:
            raise InvalidSettings(
                f"{folder} belongs to no member: run `fedxdr join TOKEN --dir "
                f"{folder}` first"
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise InvalidSettings(f"{folder}/agent.json cannot be read") from error

    def write(self, folder: Path) -> None:
        """Store it in a folder."""
        text = json.dumps(asdict(self))
        replace_file(folder / "agent.json", f"{text}\n".encode(), mode=0o600)

    @property
    def joined(self) -> Joined:
        """Which ledger the agent follows, as far as it knows."""
        pinned = None
        if self.pinned_size:
            # (a checkpoint needs a name: the ledger's own is not known here)
            pinned = Checkpoint(
                origin=self.org,
                size=self.pinned_size,
                root=bytes.fromhex(self.pinned_root),
            )
        return Joined(
            genesis=digest(self.genesis) if self.genesis else None,
            founding=digest(self.founding) if self.founding else None,
            pinned=pinned,
            orchestrator=digest(self.orchestrator),
        )


def join(
    folder: Path, token: InvitationToken, *, name: str, data_sources: tuple[str, ...]
) -> AgentFile:
    """Make an organisation's folder: its own key, and membership under it.

    The key is stored before anything is sent; after an interruption the same call with
    the same token goes on with the same key.

    Args:
        folder: new, empty, or left by an interrupted call.
        token: the invitation.
        name: the organisation's name, for people.
        data_sources: kinds of telemetry it trains on.

    Raises:
        InvalidSettings: the folder belongs to a member already.
        InvitationRefused: another server than the pinned one, or the invitation is
            used, expired or unknown.
        Unavailable: the server cannot be reached.
    """
    if (folder / "agent.json").exists():
        raise InvalidSettings(f"{folder} belongs to a member already")
    clock, entropy = SystemClock(), SystemEntropy()
    path = folder / "keys" / "identity.key"
    if not path.exists():
        write_seed(path, entropy.draw(32))
    key = IdentityKey(seed=read_seed(path))
    client = Client(token.server, signer=key, clock=clock, entropy=entropy)
    try:
        orchestrator = _orchestrator_key(client)
        application = enrolment.apply_to_join(
            token,
            orchestrator=orchestrator,
            key=key,
            name=name,
            data_sources=data_sources,
            now=clock.now(),
        )
        body = canonical.jcs(
            {
                "org_id": token.org,
                "org_name": name,
                "data_sources": sorted(set(data_sources)),
                "crypto_pubkey": base64.b64encode(key.public.ed25519).decode(),
                "capabilities": list(application.capabilities),
                "invitation": {
                    "id": application.invitation_id,
                    "proof": base64.b64encode(application.proof).decode(),
                },
                "enrolment": application.enrolment.to_value(),
            }
        )
        answer = json.loads(client.call("POST", "/federation/register", body=body))
    finally:
        client.close()
    try:
        enrolment.check_receipt(
            Envelope.from_value(answer["receipt"]),
            orchestrator=orchestrator,
            key=key,
            org=token.org,
        )
        token_text = str(answer["registration_token"])
    except (KeyError, TypeError) as error:
        raise MalformedMessage("the server's answer holds no receipt") from error
    file = AgentFile(
        org=token.org,
        server=token.server,
        orchestrator=token.pin,
        token=token_text,
        pinned_size=token.size,
        pinned_root=token.root.hex(),
    )
    file.write(folder)
    return file


def _orchestrator_key(client: Client) -> PublicIdentity:
    """Return the key that the server says is its own; the caller checks the pin."""
    answer = json.loads(client.call("GET", "/info"))
    try:
        return canonical.from_builtins(answer["orchestrator_keys"], MemberKeys).identity
    except (KeyError, TypeError, MalformedMessage) as error:
        raise InvitationRefused("there is no fedxdr server at this address") from error


def key_of(folder: Path) -> IdentityKey:
    """Return the key of an organisation's folder."""
    return IdentityKey(seed=read_seed(folder / "keys" / "identity.key"))


def _renew_token(folder: Path, key: IdentityKey) -> None:
    """Fetch a bearer token for a key in force; without one the agent works as well."""
    server = AgentFile.read(folder).server
    client = Client(server, signer=key, clock=SystemClock(), entropy=SystemEntropy())
    try:
        answer = json.loads(client.call("POST", "/federation/token", body=b"{}"))
        token = str(answer["registration_token"])
    except (InvalidInput, Refused, KeyError, TypeError, ValueError) as error:
        logger.warning("no new bearer token", extra={"reason": str(error)})
        return
    finally:
        client.close()
    # a person may have written to it meanwhile: `fedxdr members approve`
    replace(AgentFile.read(folder), token=token).write(folder)


def take_next_key(folder: Path) -> bool:
    """Put an organisation's next key in place of its present one, if there is one.

    At each instant ``identity.key`` is the old key or the new one; killed in between,
    the same call does it again.

    Returns:
        Whether there was. The old key is kept as ``identity.old.key``; the bearer
        token, which was the old key's, is replaced if the orchestrator can be reached.
    """
    keys = folder / "keys"
    if not (keys / NEXT_KEY).exists():
        return False
    # first, as whoever is killed in between does it again
    _renew_token(folder, IdentityKey(seed=read_seed(keys / NEXT_KEY)))
    path = keys / "identity.key"
    replace_file(keys / OLD_KEY, path.read_bytes(), mode=0o600)
    (keys / NEXT_KEY).replace(path)
    return True


class OpenParticipant:
    """An organisation's agent on its folder; close it when done.

    Args:
        folder: made by ``join``.
        learner: its data and fit.
        floor: what it insists on.
        does_replay: whether it recomputes every proposed model.
        asks: whether a person decides about plans too.
        wrap: puts something around the link; drills use it.
        clock: the time.

    Attributes:
        folder: the folder.
        file: what ``agent.json`` holds.
        client: the connections to the orchestrator.
        purse: what it has spent of its privacy.
        blobs: models and vectors that it holds.
        share_of: its share of a ceremony's key.
        participant: the agent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        learner: Learner,
        floor: Floor | None = None,
        does_replay: bool = True,
        asks: bool = False,
        wrap: Callable[[Link], Link] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self.file = AgentFile.read(folder)
        self._database = Database(folder / "agent.db")
        clock, entropy = clock or SystemClock(), SystemEntropy()
        key = key_of(folder)
        self.client = Client(self.file.server, signer=key, clock=clock, entropy=entropy)
        self.link: Link = HttpLink(self.client)
        link = self.link
        self.blobs = blobs = FileBlobs(folder / "blobs")
        checkpoints = SqlCheckpointStore(self._database)
        mirror = Recorder(
            store=SqlBlockStore(self._database),
            blobs=blobs,
            clock=clock,
            vouched=newest_signed(checkpoints, key.public),
        )
        notes = SqlNotes(self._database)
        self.purse = SqlPurseLog(self._database)
        self._pool = LazyPool()
        me = OrgId(self.file.org)
        self.share_of = ceremonies.installed(folder, me)
        self.participant = Participant(
            me=me,
            identity=key,
            facts=SqlFactLog(self._database),
            notes=notes,
            fence=FileFence(folder / "fence", notes),
            purse=self.purse,
            blobs=blobs,
            mirror=mirror,
            checkpoints=checkpoints,
            link=wrap(link) if wrap else link,
            learner=learner,
            floor=floor or Floor(),
            clock=clock,
            entropy=entropy,
            does_replay=does_replay,
            share_of=self.share_of,
            run=self._pool,
            joined=lambda: AgentFile.read(folder).joined,
            proofs=ProofFiles(folder),
            asks=asks,
        )

    def has_rotated(self) -> bool:
        """Return whether the ledger itself says that our next keys are in force.

        Asked where the server knows our present key no more: what it says nobody
        signed, so the public routes of the ledger are followed and believed instead.
        Our present key cosigns the head over the change, which may need it.

        Raises:
            Unavailable: the orchestrator cannot be reached.
            InvalidInput: what it shows is no continuation of our mirror.
        """
        head = self.link.checkpoint()
        self.participant.follow_ledger(checkpoint.parse(head).size)
        path = self.folder / "keys" / NEXT_KEY
        if not path.exists():
            return False
        member = self.participant.mirror.in_force.members.get(OrgId(self.file.org))
        fresh = IdentityKey(seed=read_seed(path)).public
        return member is not None and member.keys.identity == fresh

    @property
    def has_next_key(self) -> bool:
        """Whether new keys wait for the members' approval."""
        return (self.folder / "keys" / NEXT_KEY).exists()

    def follow_ledger(self) -> None:
        """Fetch the ledger into the mirror and hold it against the invitation.

        Raises:
            BadSignature: another ledger, or another orchestrator's keys, than joined.
            Unavailable: the federation is not founded yet.
        """
        standing = self.participant.look()
        self.participant.testify(standing)
        self.participant.follow_ledger(standing.height + 1)
        mirror = self.participant.mirror
        genesis = mirror.in_force.genesis_hash
        pinned = {log.keys.fingerprint for log in mirror.standing.logs}
        if self.file.orchestrator not in pinned:
            raise BadSignature("the ledger names other keys than the invitation pins")
        if self.file.genesis != genesis:
            # a person may have written to it meanwhile: `fedxdr members approve`
            self.file = replace(AgentFile.read(self.folder), genesis=genesis)
            self.file.write(self.folder)

    def note_sent_bytes(self) -> None:
        """Add what this process has sent to the count in ``sent-bytes``."""
        path = self.folder / "sent-bytes"
        before = int(path.read_text()) if path.exists() else 0
        path.write_text(f"{before + self.client.sent_bytes}\n")

    def close(self) -> None:
        """Release the folder and the connections, and end the workers."""
        self._pool.close()
        self.client.close()
        self._database.close()
