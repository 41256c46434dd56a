# SPDX-License-Identifier: Apache-2.0
"""Two members compare what they saw of the ledger, and anybody checks a proof.

Works beside a running agent: its mirror is read, and a proof is put into its folder,
where the agent finds it before the next round.

Not here: what convicts (ledger/equivocation.py), what an agent finds by itself
(parties/accusing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedxdr.app.ledger_folder import mirror_in
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import BadSignature, InvalidInput, VerificationFailed
from fedxdr.core.randomness import SystemEntropy
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import checkpoint, equivocation, verifier
from fedxdr.ledger.equivocation import Conviction, LogKeys
from fedxdr.ledger.standing import Log
from fedxdr.parties.accusing import Accuser, Fetch
from fedxdr.storage.proof_files import ProofFiles
from fedxdr.transport.client import Client, HttpLink


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How another's head stands to our mirror.

    Attributes:
        outcome: ``same``: equally many blocks, and the same; ``behind``: it is extended
            by ours; ``ahead``: over blocks that we have not got, so nothing is known;
            ``contradiction``: one of the two histories is not the other's beginning.
        size: how many blocks it covers.
        ours: how many our mirror has.
        proof: name of the file that convicts the log; empty without.
    """

    outcome: Literal["same", "behind", "ahead", "contradiction"]
    size: int
    ours: int
    proof: str = ""


def newest_head(agent: Path) -> bytes:
    """Return the newest head that an organisation saw, with the lines that it has.

    Raises:
        InvalidSettings: no member's folder.
        Unavailable: it has seen none.
    """
    with mirror_in(agent) as mirror:
        return mirror.newest_head()[1]


def compare(agent: Path, head: bytes, *, fetch: Fetch | None = None) -> Comparison:
    """Hold another's head against an organisation's mirror; keep what convicts.

    Args:
        agent: the organisation's folder; its agent may run.
        head: signed by the log, whoever handed it on.
        fetch: asks whoever showed it for the blocks under it.

    Raises:
        BadSignature: no log of this ledger signed it.
        MalformedMessage: no head.
    """
    says = checkpoint.parse(head)
    with mirror_in(agent) as mirror:
        ours = mirror.recorder.size()
        logs = {log.origin: log for log in mirror.recorder.standing.logs}
        if says.origin not in logs:
            raise BadSignature(f"{says.origin} is no log of this ledger")
        equivocation.log_lines(head, log=logs[says.origin])
        if says.size <= ours and mirror.recorder.root_at(says.size) == says.root.hex():
            same = says.size == ours
            return Comparison(
                outcome="same" if same else "behind", size=says.size, ours=ours
            )
        accuser = Accuser(
            mirror=mirror.recorder, store=mirror.store, files=ProofFiles(agent)
        )
        proof = accuser.examine(head, fetch=fetch) or ""
        is_unknown = says.size > ours and not proof
        return Comparison(
            outcome="ahead" if is_unknown else "contradiction",
            size=says.size,
            ours=ours,
            proof=proof,
        )


def compare_with_server(agent: Path, server: str) -> Comparison:
    """Hold what an orchestrator shows now against an organisation's mirror.

    Args:
        agent: the organisation's folder; its agent may run.
        server: base address; any that serves a ledger.

    Raises:
        BadSignature: no log of this ledger signed what it shows.
        Unavailable: it cannot be reached.
    """
    client = Client(server, signer=None, clock=SystemClock(), entropy=SystemEntropy())
    try:
        link = HttpLink(client)
        return compare(
            agent,
            link.checkpoint(),
            fetch=lambda begin, end: link.blocks(begin=begin, end=end),
        )
    finally:
        client.close()


def convict(
    proof: bytes,
    *,
    agent: Path | None = None,
    bundle: bytes | None = None,
    keys: Sequence[str] = (),
) -> Conviction:
    """Return what a proof convicts a log of.

    Args:
        proof: the file's bytes.
        agent: an organisation's folder: its mirror names the log's keys.
        bundle: an exported ledger, which is verified first, that names them.
        keys: the log's two verifier keys, as a policy lists them.

    Raises:
        VerificationFailed: it convicts nobody, or not a log that is known from there.
    """
    known: list[LogKeys]
    if keys:
        known = [keys]
    elif agent is not None:
        with mirror_in(agent) as mirror:
            known = list(mirror.recorder.standing.logs)
    else:
        known = list(_logs_in(bundle or b""))
    why = "its heads are signed by no log of this ledger"
    for log in known:
        try:
            return equivocation.verify(proof, log=log)
        except VerificationFailed:
            raise
        except BadSignature as error:
            # (where there is one log only, it says whose signature is missing)
            why = str(error) if len(known) == 1 else why
        except InvalidInput as error:
            raise VerificationFailed(str(error), step=equivocation.STEP) from error
    raise VerificationFailed(why, step=equivocation.STEP)


def _logs_in(data: bytes) -> list[Log]:
    """Return the logs that a bundle names, once it verifies."""
    found = bundles.read(data)
    verifier.verify(found)
    return found.standing().logs
