# SPDX-License-Identifier: Apache-2.0
"""Findings into a Kafka topic: key the finding's id, value the OCSF record.

The producer is idempotent and all in-sync replicas confirm; a batch counts as taken
once every message of it is confirmed. After a failure the producer is thrown away with
what it still held, and the batch comes again: within a producer's life Kafka drops
copies, across lives the key tells them (and a compacted topic drops them).

Needs the extra ``kafka``.

Source: librdkafka's "Idempotent Producer" and CONFIGURATION.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedxdr.core.errors import InvalidInput, InvalidSettings, Unavailable
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.sink import TIMEOUT_S

_MS: Final = 1000
_RECONNECT_MS: Final = 500
_CRITICAL: Final = 2
_TOO_LARGE: Final = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD"})


class KafkaSink:
    """Produces to one topic.

    Args:
        name: without secrets.
        servers: ``host:port``, commas between several.
        topic: where to.
        names: looks up who a token is.
        settings: of librdkafka, on top of ours: security, secrets among them.
        timeout_s: how long confirmations are waited for.

    Raises:
        InvalidSettings: the extra is missing, or a setting is none.
    """

    def __init__(
        self,
        name: str,
        servers: str,
        topic: str,
        *,
        names: Names,
        settings: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InvalidSettings(
                "Kafka needs the extra: pip install 'fedxdr[kafka]'"
            ) from error
        self._kafka: Any = confluent_kafka
        self._name = name
        self._topic = topic
        self._names = names
        self._timeout_s = timeout_s
        self._settings = {
            "bootstrap.servers": servers,
            "client.id": "fedxdr",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.timeout.ms": round(timeout_s * _MS),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": _RECONNECT_MS,
            # a server that is away is told once, by whoever sends; not at every try
            "log_level": _CRITICAL,
            **(settings or {}),
        }
        self._producer: Any = None
        self._begin()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def send(self, batch: Sequence[Finding]) -> None:
        """Produce one message for each finding and wait for their confirmations.

        Raises:
            Unavailable: not all were confirmed in time.
            InvalidInput: a message is larger than the topic takes.
        """
        if self._producer is None:
            self._begin()
        wrong: list[Any] = []

        def report(error: Any, _message: Any) -> None:  # noqa: ANN401 - librdkafka's
            if error is not None:
                wrong.append(error)

        left = 0
        try:
            for one in batch:
                self._producer.produce(
                    self._topic,
                    key=one.id,
                    value=to_ocsf(one, names=self._names),
                    timestamp=one.time_ns // 10**6,
                    on_delivery=report,
                )
            left = self._producer.flush(self._timeout_s)
        except self._kafka.KafkaException as error:
            wrong.append(error.args[0])
        except BufferError:
            left = len(batch)
        if not (wrong or left):
            return
        reasons = [one.name() for one in wrong]
        self.close()  # it reports what it throws away
        if not _TOO_LARGE.isdisjoint(reasons):
            raise InvalidInput(f"{self._name} refuses a message")
        reason = reasons[0] if reasons else "no confirmation in time"
        raise Unavailable(f"{self._name} cannot be reached: {reason}")

    def close(self) -> None:
        """Throw away the producer and what it has not delivered."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _begin(self) -> None:
        try:
            self._producer = self._kafka.Producer(self._settings)
        except self._kafka.KafkaException as error:
            # the name alone: a message can quote a setting
            raise InvalidSettings(
                f"{self._name}: librdkafka refuses the settings: {error.args[0].name()}"
            ) from None
