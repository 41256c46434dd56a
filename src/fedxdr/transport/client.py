# SPDX-License-Identifier: Apache-2.0
"""An organisation's HTTP link to the orchestrator.

Every request is signed by the organisation's identity key over method, target, body and
a fresh nonce. What fails on the way is tried again with a new nonce, which is safe: the
orchestrator gives the same answer to the same bytes. Problem documents (RFC 9457) come
back as the errors they were made from.

Not here: what to send and whether to believe the answer (parties).
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from fedxdr.core import canonical, errors
from fedxdr.core.canonical import from_builtins
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    FedxdrError,
    InvalidInput,
    InvalidSettings,
    MalformedMessage,
    Refused,
    TooLarge,
    Unavailable,
    WaitingForQuorum,
)
from fedxdr.core.ids import Digest, RoundId, digest, org_id, round_id
from fedxdr.core.randomness import Entropy
from fedxdr.core.retries import retry_context
from fedxdr.crypto import requests
from fedxdr.crypto.envelope import Envelope, Signer
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.ports import Standing
from fedxdr.parties.testimony import Heard, Testimony

PREFIX = "/api/fl-blockchain"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_CBOR = "application/cbor"
_BINARY = "application/octet-stream"
_LIMIT_BYTES = 1 << 30
_ATTEMPTS = 5
_TIMEOUT_S = 30.0
_MAX_PORT = 65_535


def _all_errors(root: type[FedxdrError]) -> dict[str, type[FedxdrError]]:
    found = {root.code: root}
    for below in root.__subclasses__():
        found.update(_all_errors(below))
    return found


class Client:
    """Signed requests to one orchestrator.

    Args:
        server: base address, ``http://host:port``.
        signer: whose requests these are; None for requests that need no signature.
        clock: the time.
        entropy: for nonces.
        transport: replaces the network in tests.

    Raises:
        InvalidSettings: the server's address is none.
    """

    def __init__(
        self,
        server: str,
        *,
        signer: Signer | None,
        clock: Clock,
        entropy: Entropy,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._server = _address(server)
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._http = httpx.Client(
            timeout=_TIMEOUT_S,
            transport=transport,
            trust_env=False,
            # certificates are always checked; without TLS there are none to load
            verify=not self._server.startswith("http://"),
        )
        self.sent_bytes = 0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = _JSON,
        wait_s: float = 0.0,
    ) -> bytes:
        """Return the body of the answer to a signed request.

        Args:
            method: upper case.
            path: below the interface's prefix, with its query.
            body: the exact bytes.
            content_type: of the body.
            wait_s: how long the server may hold the request.

        Raises:
            Unavailable: no answer after several attempts.
            FedxdrError: the error that the server answered with.
        """
        for attempt in retry_context(
            on=_is_passing, attempts=_ATTEMPTS, wait_initial=0.05, wait_max=2.0
        ):
            with attempt:
                return self._once(method, path, body, content_type, wait_s)
        raise Unavailable(f"{self._server} does not answer")

    def _once(
        self, method: str, path: str, body: bytes, content_type: str, wait_s: float
    ) -> bytes:
        url = f"{self._server}{PREFIX}{path}"
        headers: dict[str, str] = {}
        if body or method == "POST":
            headers["content-type"] = content_type
        if self._signer is not None:
            request = requests.Request(
                method=method, url=url, headers=headers, body=body
            )
            requests.sign(
                request,
                signer=self._signer,
                now=self._clock.now(),
                entropy=self._entropy,
            )
        try:
            with self._http.stream(
                method,
                url,
                content=body,
                headers=headers,
                timeout=_TIMEOUT_S + wait_s,
            ) as answer:
                content = _read(answer)
        except httpx.RequestError as error:
            raise Unavailable(f"{self._server} cannot be reached: {error}") from error
        self.sent_bytes += len(body)
        if answer.is_success:
            return content
        raise problem(answer.status_code, content)


def _is_passing(error: Exception) -> bool:
    """Return whether asking again at once may help: not where people are awaited."""
    return isinstance(error, Unavailable) and not isinstance(error, WaitingForQuorum)


def _address(server: str) -> str:
    wrong = InvalidSettings(f"{server!r} is no address of a server: http://host:port")
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise wrong from error
    has_host = bool(url.host) and "%" not in url.host
    if url.scheme not in {"http", "https"} or not has_host:
        raise wrong
    if not 1 <= (url.port or 1) <= _MAX_PORT:
        raise wrong
    return str(url).rstrip("/")


def _read(answer: httpx.Response) -> bytes:
    """Return the body of an answer.

    Raises:
        TooLarge: it is above the limit; nothing beyond it was kept.
    """
    parts, size = [], 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > _LIMIT_BYTES:
            raise TooLarge("the server's answer is too large")
        parts.append(part)
    return b"".join(parts)


def problem(status: int, body: bytes) -> FedxdrError:
    """Return the error that a problem document (RFC 9457) was made from."""
    try:
        document = msgspec.json.decode(body)
        code = str(document["type"]).rsplit("/", 1)[-1]
        detail = str(document["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return Unavailable(f"the server answered {status} without a reason")
    # a fault is ours to declare: no answer from outside may stop this process
    kind = {**_all_errors(Refused), **_all_errors(InvalidInput)}.get(code, InvalidInput)
    if kind is errors.VerificationFailed:
        return InvalidInput(detail)
    if issubclass(kind, WaitingForQuorum):
        return kind(detail)
    if code == Unavailable.code:
        return Unavailable(detail)
    if status >= 500:  # the server's own fault: it may be better later
        return Unavailable(f"the server reports a fault: {detail}")
    return kind(detail)


class HttpLink:
    """Port ``Link`` over HTTP.

    Args:
        client: signed requests of one organisation.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def standing(self, *, known: Standing | None, wait_s: float) -> Standing:
        """Return the standing, at once if it differs from ``known``, else in time."""
        query = f"?wait_s={wait_s:g}"
        if known is not None:
            query += (
                f"&round_id={known.round_id or ''}&phase={known.phase or ''}"
                f"&height={known.height}&changes={','.join(known.changes)}"
                f"&quorate={known.quorate}&awaited={','.join(known.awaited)}"
                f"&restored={str(known.is_restored).lower()}"
            )
        value = self._json("GET", f"/federation/standing{query}", wait_s=wait_s)
        try:
            return Standing(
                round_id=round_id(value["round_id"]) if value["round_id"] else None,
                phase=Phase(value["phase"]) if value["phase"] else None,
                height=int(value["height"]),
                changes=tuple(digest(found) for found in value["changes"]),
                quorate=int(value.get("quorate", 0)),
                is_restored=bool(value.get("restored", False)),
                awaited=tuple(org_id(found) for found in value.get("awaited", ())),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise MalformedMessage("not a standing") from error

    def announcement(self, round_id: RoundId) -> Envelope:
        """Return the signed announcement of a round."""
        path = f"/federation/round/{round_id}/announcement"
        return Envelope.from_json(self._client.call("GET", path))

    def fetch(self, round_id: RoundId, step: Step) -> bytes:
        """Return what the orchestrator has for a step of this organisation."""
        return self._client.call("GET", f"/federation/round/{round_id}/{step}")

    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        """Deliver the message of a step."""
        if step is Step.CONTRIBUTION:
            path = f"/federation/round/submit-gradient?round_id={round_id}"
            self._client.call("POST", path, body=body, content_type=_CBOR)
        else:
            path = f"/federation/round/{round_id}/{step}"
            self._client.call("POST", path, body=body)

    def evidence(self, round_id: RoundId) -> bytes:
        """Return what a member needs to replay a round."""
        return self._client.call("GET", f"/federation/round/{round_id}/evidence")

    def contribution(self, round_id: RoundId, digest: Digest) -> bytes:
        """Return the protected vector of a contribution, for replay."""
        path = f"/federation/round/{round_id}/contribution/{digest}"
        return self._client.call("GET", path)

    def checkpoint(self, size: int | None = None) -> bytes:
        """Return the signed head over the first blocks, by default the newest."""
        query = "" if size is None else f"?size={size}"
        return self._client.call("GET", f"/ledger/checkpoint{query}")

    def cosign(self, size: int, lines: bytes) -> None:
        """Deliver our two signature lines on a head."""
        self._client.call(
            "POST", f"/ledger/checkpoint/{size}", body=lines, content_type=_TEXT
        )

    def changes(self) -> list[ProposedChange]:
        """Return the changes that wait for approvals."""
        value = self._json("GET", "/federation/changes")
        try:
            return [ProposedChange.from_value(found) for found in value["changes"]]
        except (KeyError, TypeError) as error:
            raise MalformedMessage("not a list of changes") from error

    def approve(self, digest: Digest, approval: Envelope) -> None:
        """Deliver our approval of a change."""
        path = f"/federation/changes/{digest}/approval"
        self._client.call("POST", path, body=approval.to_json())

    def blocks(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end)."""
        path = f"/ledger/raw-blocks?begin={begin}&end={end}"
        value = self._json("GET", path)
        if not isinstance(value, list):
            raise MalformedMessage("not a list of blocks")
        return [_signed_block(item) for item in value]

    def model(self, digest: Digest) -> bytes:
        """Return a model's file."""
        return self._client.call("GET", f"/federation/model/{digest}")

    def testify(self, said: Testimony) -> Heard:
        """Tell an orchestrator that was set back what we saw; return what it has."""
        body = canonical.jcs(said.to_value())
        return Heard.from_value(self._json("POST", "/ledger/testimony", body=body))

    def give_model(self, file: bytes) -> None:
        """Hand over a model's file that it lacks."""
        path = "/ledger/testimony/model"
        self._client.call("POST", path, body=file, content_type=_BINARY)

    def _json(
        self, method: str, path: str, *, body: bytes = b"", wait_s: float = 0.0
    ) -> Any:  # noqa: ANN401 - any JSON value
        answer = self._client.call(method, path, body=body, wait_s=wait_s)
        try:
            return msgspec.json.decode(answer)
        except msgspec.DecodeError as error:
            raise MalformedMessage("the server's answer is not JSON") from error


def _signed_block(value: Any) -> SignedBlock:  # noqa: ANN401 - any JSON value
    try:
        wire = from_builtins(value, _WireBlock)
    except MalformedMessage as error:
        raise MalformedMessage("not a block with its envelopes") from error
    return SignedBlock(
        block=blocks.parse(wire.body.encode()),
        envelopes=tuple(Envelope.from_json(e.encode()) for e in wire.envelopes),
    )


class _WireBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block as text: its exact bytes, so that the hash is over what was sent."""

    body: str
    envelopes: tuple[str, ...]
