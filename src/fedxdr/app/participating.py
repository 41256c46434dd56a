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
import binascii
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fedxdr.app import ceremonies
from fedxdr.app.pools import LazyPool
from fedxdr.core import canonical
from fedxdr.core.clock import Clock, SystemClock
from fedxdr.core.errors import (
    BadSignature,
    InvalidSettings,
    InvitationRefused,
    MalformedMessage,
)
from fedxdr.core.ids import OrgId, digest
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.federation.floor import Floor
from fedxdr.parties import enrolment
from fedxdr.parties.enrolment import InvitationToken
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learner, Link
from fedxdr.parties.recording import Recorder
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence
from fedxdr.storage.files import replace_file
from fedxdr.storage.purse import SqlPurseLog
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.storage.secrets import read_seed, write_seed
from fedxdr.transport.client import Client, HttpLink


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """What ``agent.json`` holds.

    Attributes:
        org: this organisation's name.
        server: base address of the orchestrator.
        orchestrator_keyid: fingerprint of its key, pinned by the invitation.
        genesis: hash of the ledger's block 0.
        token: bearer token that lets it read.
    """

    org: str
    server: str
    orchestrator_keyid: str
    genesis: str
    token: str

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
        receipt = enrolment.check_receipt(
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
        orchestrator_keyid=token.pin,
        genesis=receipt.genesis,
        token=token_text,
    )
    text = json.dumps(asdict(file))
    replace_file(folder / "agent.json", f"{text}\n".encode(), mode=0o600)
    return file


def _orchestrator_key(client: Client) -> PublicIdentity:
    """Return the key that the server says is its own; the caller checks the pin."""
    answer = json.loads(client.call("GET", "/info"))
    try:
        raw = base64.b64decode(answer["orchestrator_key"], validate=True)
        return PublicIdentity(ed25519=raw)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvitationRefused("there is no fedxdr server at this address") from error


class OpenParticipant:
    """An organisation's agent on its folder; close it when done.

    Args:
        folder: made by ``join``.
        learner: its data and fit.
        floor: what it insists on.
        does_replay: whether it recomputes every proposed model.
        wrap: puts something around the link; drills use it.
        clock: the time.

    Attributes:
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
        wrap: Callable[[Link], Link] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self.file = AgentFile.read(folder)
        self._database = Database(folder / "agent.db")
        clock, entropy = clock or SystemClock(), SystemEntropy()
        key = IdentityKey(seed=read_seed(folder / "keys" / "identity.key"))
        self.client = Client(self.file.server, signer=key, clock=clock, entropy=entropy)
        link: Link = HttpLink(self.client)
        self.blobs = blobs = FileBlobs(folder / "blobs")
        mirror = Recorder(store=SqlBlockStore(self._database), blobs=blobs, clock=clock)
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
            link=wrap(link) if wrap else link,
            learner=learner,
            floor=floor or Floor(),
            clock=clock,
            entropy=entropy,
            does_replay=does_replay,
            share_of=self.share_of,
            run=self._pool,
            genesis=digest(self.file.genesis),
        )

    def follow_ledger(self) -> None:
        """Fetch the ledger into the mirror and hold it against the invitation.

        Raises:
            BadSignature: another ledger, or another orchestrator's key, than joined.
        """
        standing = self.participant.look()
        self.participant.follow_ledger(standing.height + 1)
        mirror = self.participant.mirror
        first = mirror.blocks(begin=0, end=1)[0].block
        if first.hash != self.file.genesis:
            raise BadSignature("the server shows another ledger than the one joined")
        if mirror.in_force.orchestrator.keyid != self.file.orchestrator_keyid:
            raise BadSignature("the ledger names another key than the invitation pins")

    def note_sent_bytes(self) -> None:
        """Add what this process has sent to the count in ``sent-bytes``."""
        path = self._folder / "sent-bytes"
        before = int(path.read_text()) if path.exists() else 0
        path.write_text(f"{before + self.client.sent_bytes}\n")

    def close(self) -> None:
        """Release the folder and the connections, and end the workers."""
        self._pool.close()
        self.client.close()
        self._database.close()
