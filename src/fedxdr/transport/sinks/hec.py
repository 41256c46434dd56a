# SPDX-License-Identifier: Apache-2.0
"""Findings into Splunk's HTTP Event Collector.

Events are OCSF records with their own time, source type ``ocsf:detection_finding`` and
the finding's id as the indexed field ``finding_id``, by which a search drops a second
copy. With ``is_acknowledged`` a batch counts as taken only once Splunk says that it is
indexed; without, once Splunk has answered 200.

Source: Splunk, "Format events for HTTP Event Collector", "HTTP Event Collector error
codes" and "About HTTP Event Collector Indexer Acknowledgment".
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.core.randomness import Entropy
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.posting import Answer, Poster
from fedxdr.transport.sinks.sink import TIMEOUT_S

_OK: Final = 200
_BAD: Final = 400
_POISON: Final = frozenset({5, 6, 12, 13, 15})
"""Codes that speak of the events: no data, invalid, no event, blank, indexed fields."""
_LOOK_S: Final = 0.1


_T = TypeVar("_T")


class _Reply(msgspec.Struct):
    code: int = -1
    ack_id: int | None = msgspec.field(name="ackId", default=None)


class _Acks(msgspec.Struct):
    acks: dict[str, bool]


class _Ask(msgspec.Struct):
    acks: list[int]


class HecSink:
    """Posts to ``/services/collector/event``.

    Args:
        name: without secrets.
        base: ``https://host:8088``.
        token: of the collector.
        names: looks up who a token is.
        context: how certificates are checked; None for plain HTTP.
        entropy: for the channel's number, which acknowledgements need.
        index: where to; the collector's own if empty.
        is_acknowledged: wait until a batch is indexed.
        timeout_s: how long an answer or an acknowledgement is waited for.
    """

    def __init__(
        self,
        name: str,
        base: str,
        token: str,
        *,
        names: Names,
        context: ssl.SSLContext | None,
        entropy: Entropy,
        index: str = "",
        is_acknowledged: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._names = names
        self._index = index
        self._is_acknowledged = is_acknowledged
        self._timeout_s = timeout_s
        self._channel = str(uuid.UUID(bytes=entropy.draw(16), version=4))
        headers = {
            "authorization": f"Splunk {token}",
            "content-type": "application/json",
            "x-splunk-request-channel": self._channel,
        }
        self._poster = Poster(
            name, base, headers=headers, context=context, timeout_s=timeout_s
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def send(self, batch: Sequence[Finding]) -> None:
        """Post events and, where asked for, wait until they are indexed.

        Raises:
            Unavailable: not taken now.
            InvalidInput: Splunk cannot read one of them.
        """
        body = b"".join(self._event(one) for one in batch)
        answer = self._poster.post("/services/collector/event", body, headers={})
        reply = _decode(answer, _Reply) or _Reply()
        if answer.status == _BAD and reply.code in _POISON:
            raise InvalidInput(f"{self._name} refuses an event, code {reply.code}")
        if answer.status != _OK:
            raise Unavailable(f"{self._poster.refusal(answer)}, code {reply.code}")
        if self._is_acknowledged:
            if reply.ack_id is None:
                raise Unavailable(f"{self._name} does not acknowledge")
            self._await(reply.ack_id)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _event(self, finding: Finding) -> bytes:
        event = {
            "time": finding.time_ns / 10**9,
            "source": "fedxdr",
            "sourcetype": "ocsf:detection_finding",
            "event": msgspec.Raw(to_ocsf(finding, names=self._names)),
            "fields": {"finding_id": finding.id},
        }
        if self._index:
            event["index"] = self._index
        return msgspec.json.encode(event)

    def _await(self, ack: int) -> None:
        body = msgspec.json.encode(_Ask([ack]))
        target = f"/services/collector/ack?channel={self._channel}"
        end = time.monotonic() + self._timeout_s
        while time.monotonic() < end:
            answer = self._poster.post(target, body, headers={})
            acks = _decode(answer, _Acks)
            if answer.status != _OK or acks is None:
                raise self._poster.refusal(answer)
            if acks.acks.get(str(ack)):
                return
            time.sleep(_LOOK_S)
        raise Unavailable(f"{self._name} has not indexed in {self._timeout_s:g} s")


def _decode(answer: Answer, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError:
        return None
