# SPDX-License-Identifier: Apache-2.0
"""What a person does about changes: list, propose, approve and withdraw them.

Works beside a running agent or server: it reads key and address from the folder and
talks to the server; it opens no database.

Rule that always holds: what is signed is the change that was shown, or the one whose
digest somebody brings along; never what the server calls by a name at that moment.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedxdr.app.participating import NEXT_KEY, AgentFile, key_of
from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.core import canonical
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings, MalformedMessage, NotFound, Unavailable
from fedxdr.core.ids import OrgId, digest, org_id
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import statements
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.ledger.entries import (
    Change,
    Genesis,
    MemberKeyRotated,
    MemberKeys,
    PlanAdopted,
    plan_digest,
)
from fedxdr.ledger.statements import RotationStatement
from fedxdr.parties import consent
from fedxdr.parties.changes import ProposedChange
from fedxdr.storage.secrets import read_seed, write_seed
from fedxdr.transport.client import Client, HttpLink

_FEWEST_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """Whose folder it is, and how they reach the orchestrator.

    Attributes:
        folder: an orchestrator's or an organisation's.
        key: the operator's or the organisation's.
        server: address of the orchestrator.
        agent: what ``agent.json`` holds; None for the operator.
    """

    folder: Path
    key: IdentityKey
    server: str
    agent: AgentFile | None

    @classmethod
    def of(cls, folder: Path) -> Somebody:
        """Return who a folder belongs to.

        Raises:
            InvalidSettings: nobody.
            Unavailable: the operator's, and no server was ever run on it.
        """
        if (folder / "server.json").exists():
            address = ServerFile.read(folder).address
            if not address:
                raise Unavailable(
                    f"start the server first: fedxdr server run --dir {folder}"
                )
            return cls(
                folder=folder, key=operator_key(folder), server=address, agent=None
            )
        file = AgentFile.read(folder)
        return cls(folder=folder, key=key_of(folder), server=file.server, agent=file)

    def call(
        self,
        method: str,
        path: str,
        form: dict[str, Any] | None = None,
        *,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        """Return the server's answer to a request signed by this key."""
        client = self._client()
        sent = b"" if form is None else canonical.jcs(form)
        try:
            answer = client.call(method, path, body=sent if body is None else body)
        finally:
            client.close()
        found: dict[str, Any] = json.loads(answer)
        return found

    def changes(self) -> list[ProposedChange]:
        """Return the changes that wait for approvals."""
        client = self._client()
        try:
            return HttpLink(client).changes()
        finally:
            client.close()

    def next_change(self) -> int:
        """Return the number that the next change has."""
        return int(self.call("GET", "/federation/changes")["next_change"])

    def propose(self, entry: Change, *envelopes: Envelope) -> ProposedChange:
        """Propose a change and return it."""
        form = {
            "entry": canonical.builtins(entry),
            "envelopes": [envelope.to_value() for envelope in envelopes],
        }
        return ProposedChange.from_value(self.call("POST", "/federation/changes", form))

    def approve(self, change: ProposedChange) -> ProposedChange:
        """Sign a change and hand the approval in.

        Raises:
            InvalidSettings: the operator's folder, or one that has seen no ledger yet.
        """
        if self.agent is None:
            raise InvalidSettings(
                "the operator has no say in changes: organisations approve, each with "
                "--dir of its own folder"
            )
        is_genesis = isinstance(change.entry, Genesis)
        if not is_genesis and not self.agent.genesis:
            raise InvalidSettings(
                "this agent has not seen the ledger yet: run `fedxdr agent run` first"
            )
        ledger = GENESIS_PREV_HASH if is_genesis else digest(self.agent.genesis)
        if isinstance(change.entry, Genesis):
            self._check_founding(change, change.entry)
            # kept first: the agent follows the ledger that was approved here, or none
            fresh = replace(AgentFile.read(self.folder), founding=change.digest)
            fresh.write(self.folder)
        approval = consent.approve(
            change,
            me=OrgId(self.agent.org),
            identity=self.key,
            ledger=ledger,
            now=SystemClock().now(),
        )
        path = f"/federation/changes/{change.digest}/approval"
        return ProposedChange.from_value(
            self.call("POST", path, body=approval.to_json())
        )

    def withdraw(self, change: ProposedChange) -> ProposedChange:
        """Take a change back; its proposer may, or the operator."""
        path = f"/federation/changes/{change.digest}/withdrawal"
        return ProposedChange.from_value(self.call("POST", path, {}))

    def _check_founding(self, change: ProposedChange, entry: Genesis) -> None:
        """Refuse a Genesis without us, or by another orchestrator than invited us."""
        if self.agent is None:
            return
        ours = entry.founders.get(org_id(self.agent.org))
        if ours != self.key.public.fingerprint:
            raise MalformedMessage("the Genesis does not name this organisation's keys")
        if entry.orchestrator.fingerprint != self.agent.orchestrator:
            raise MalformedMessage(
                f"the Genesis {change.digest[:16]}… names another orchestrator than "
                "the invitation pins"
            )

    def rotation(self) -> tuple[MemberKeyRotated, Envelope]:
        """Return the change to new keys of this organisation, made here and kept.

        Raises:
            InvalidSettings: the operator's folder.
        """
        if self.agent is None:
            raise InvalidSettings("an organisation rotates its own keys: --dir AGENT")
        clock, path = SystemClock(), self.folder / "keys" / NEXT_KEY
        if not path.exists():
            write_seed(path, SystemEntropy().draw(32))
        fresh = IdentityKey(seed=read_seed(path))
        org, previous = org_id(self.agent.org), self.key.public.fingerprint
        statement = RotationStatement(
            org=org,
            keys=MemberKeys.of(fresh.public),
            previous=previous,
            issued_at=clock.now(),
        )
        entry = MemberKeyRotated(
            change=self.next_change(),
            org_id=org,
            keys=statement.keys,
            previous=previous,
        )
        return entry, statements.sign(statement, fresh)

    def _client(self) -> Client:
        return Client(
            self.server,
            signer=self.key,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )


def find_change(
    changes: list[ProposedChange], wanted: str | None, *, by_digest: bool = False
) -> ProposedChange:
    """Return the one change that somebody means.

    Args:
        changes: the open ones.
        wanted: its digest, the first 8 digits or more of it, those of the plan that it
            brings, or the name of the organisation it is about; None where there is
            only one.
        by_digest: whether nobody compares what is found: ``require_digest``.

    Raises:
        InvalidSettings: another name than a digest where only that will do.
        NotFound: none, or more than one, is meant.
    """
    if by_digest:
        require_digest(wanted)
    if wanted is None:
        found = changes
    else:
        found = [
            change
            for change in changes
            if (subject_of(change) == wanted and not by_digest)
            or (len(wanted) >= _FEWEST_DIGITS and _is_called(change, wanted))
        ]
    if len(found) != 1:
        names = ", ".join(f"{subject_of(c)} ({c.digest[:16]})" for c in changes)
        raise NotFound(
            f"{'none' if not found else 'more than one'} of the open changes is meant; "
            f"there are: {names or 'none'}"
        )
    return found[0]


def require_digest(wanted: str | None) -> None:
    """Refuse what does not say which entry it is that was compared.

    The server says what a name stands for, and may say something else to everybody who
    asks, and every time.

    Raises:
        InvalidSettings: fewer than 16 hexadecimal digits, or none.
    """
    if re.fullmatch(r"[0-9a-f]{16,64}", wanted or "") is None:
        raise InvalidSettings(
            "--yes approves what was compared before: name it by its digest, whole or "
            "its first 16 digits (`members list` and `members propose` print it)"
        )


def _is_called(change: ProposedChange, digits: str) -> bool:
    entry = change.entry
    if change.digest.startswith(digits):
        return True
    return (
        isinstance(entry, PlanAdopted)
        and entry.plan_digest.startswith(digits)
        and entry.plan_digest == plan_digest(entry.plan)
    )


def subject_of(change: ProposedChange) -> str:
    """Return whom or what a change is about, in a word."""
    entry = change.entry
    organisation = getattr(entry, "org_id", None)
    if organisation is not None:
        return str(organisation)
    return "founding" if isinstance(entry, Genesis) else entry.type.split("/")[1]
