# SPDX-License-Identifier: Apache-2.0
"""Asks Flower's SecAgg+ clients for both kinds of share of one client, in one message.

A program for the environment that holds flwr (``make bench`` builds it):
``python tests/attacks/flower_double_reveal.py``. Flower's own client mod runs for three
clients through its four stages; the server is ours and follows the protocol up to the
last message, in which it lists client 2 as active and as dropped out. With the answers
it takes client 2's masks off and reads its update. Prints one JSON object.

It does NOT touch anything of Flower: no patch, no private state of a client is read.

Source: flwr 1.41, ``client/mod/secure_aggregation/secaggplus_mod.py``: ``_unmask``
takes both lists as they come.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    generate_shared_key,
)
from flwr.common.secure_aggregation.ndarrays_arithmetic import factor_extract
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import (
    RECORD_KEY_CONFIGS,
    Key,
    Stage,
)
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.compat.common import recorddict_compat
from flwr.compat.common.parameter import bytes_to_ndarray
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
)
from flwr.supercore.task_identity import TaskIdentity

NODES = (1, 2, 3)
VICTIM = 2
THRESHOLD = 3
SIZE = 1000
CLIP = 1.0
TARGET = 1 << 22
MOD = 1 << 32
MAX_WEIGHT = 1000


class _Client:
    """One of Flower's clients: its context, and the update it trained."""

    def __init__(self, node: int, update: npt.NDArray[np.float32]) -> None:
        self._update = update
        self._node = node
        self._context = Context(
            run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={}
        )

    def ask(self, stage: str, configs: dict[str, object]) -> ConfigRecord:
        """Return the client mod's reply to a message of the server."""
        record = ConfigRecord({Key.STAGE: stage, **configs})  # type: ignore[dict-item]
        message = Message(
            RecordDict({RECORD_KEY_CONFIGS: record}),
            dst_node_id=self._node,
            message_type="train",
        )
        reply = secaggplus_mod(message, self._context, self._train)
        return reply.content.config_records[RECORD_KEY_CONFIGS]

    def _train(self, message: Message, _: Context) -> Message:
        parameters = ndarrays_to_parameters([self._update])
        fitted = FitRes(Status(Code.OK, ""), parameters, MAX_WEIGHT, {})
        content = recorddict_compat.fitres_to_recorddict(fitted, keep_input=False)
        return Message(content, reply_to=message)


def _until_unmasking(
    clients: dict[int, _Client],
) -> tuple[dict[str, list[bytes]], npt.NDArray]:
    """Play three honest stages; return the public keys and the victim's vector."""
    setup = {
        Key.SAMPLE_NUMBER: len(NODES),
        Key.SHARE_NUMBER: len(NODES),
        Key.THRESHOLD: THRESHOLD,
        Key.CLIPPING_RANGE: CLIP,
        Key.TARGET_RANGE: TARGET,
        Key.MOD_RANGE: MOD,
        Key.MAX_WEIGHT: float(MAX_WEIGHT),
    }
    keys = {}
    for node, client in clients.items():
        reply = client.ask(Stage.SETUP, setup)
        keys[str(node)] = [reply[Key.PUBLIC_KEY_1], reply[Key.PUBLIC_KEY_2]]
    inbox: dict[int, list[tuple[int, bytes]]] = {node: [] for node in NODES}
    for node, client in clients.items():
        reply = client.ask(Stage.SHARE_KEYS, dict(keys))
        rows = zip(reply[Key.DESTINATION_LIST], reply[Key.CIPHERTEXT_LIST], strict=True)
        for destination, ciphertext in rows:
            inbox[destination].append((node, ciphertext))
    vectors = {}
    for node, client in clients.items():
        sources, ciphertexts = zip(*inbox[node], strict=True)
        reply = client.ask(
            Stage.COLLECT_MASKED_VECTORS,
            {Key.CIPHERTEXT_LIST: list(ciphertexts), Key.SOURCE_LIST: list(sources)},
        )
        vectors[node] = [
            bytes_to_ndarray(part) for part in reply[Key.MASKED_PARAMETERS]
        ]
    return keys, vectors[VICTIM]


def _shares(
    clients: dict[int, _Client],
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Ask every client for both shares of the victim; return them by client."""
    seeds, private_keys = {}, {}
    for node, client in clients.items():
        reply = client.ask(
            Stage.UNMASK,
            {
                Key.ACTIVE_NODE_ID_LIST: list(NODES),
                Key.DEAD_NODE_ID_LIST: [VICTIM],
            },
        )
        rows = list(zip(reply[Key.NODE_ID_LIST], reply[Key.SHARE_LIST], strict=True))
        of_victim = [share for owner, share in rows if owner == VICTIM]
        if len(of_victim) == len((seeds, private_keys)):
            seeds[node], private_keys[node] = of_victim
    return seeds, private_keys


def _unmasked(
    vector: list[npt.NDArray],
    seed: bytes,
    private_key: bytes,
    keys: dict[str, list[bytes]],
) -> npt.NDArray[np.float64]:
    """Return the victim's update: its vector less its own and its pair masks."""
    shapes = [part.shape for part in vector]
    masks = [(1, pseudo_rand_gen(seed, MOD, shapes))]
    for node in NODES:
        if node != VICTIM:
            shared = generate_shared_key(
                bytes_to_private_key(private_key),
                bytes_to_public_key(keys[str(node)][0]),
            )
            masks.append(
                (1 if node < VICTIM else -1, pseudo_rand_gen(shared, MOD, shapes))
            )
    plain = [
        (part - sum(sign * mask[place] for sign, mask in masks)) % MOD
        for place, part in enumerate(vector)
    ]
    factor, quantised = factor_extract(plain)
    (update,) = dequantize(quantised, CLIP, TARGET)
    return np.asarray(update * TARGET / factor, dtype=np.float64)


def main() -> int:
    """Run the probe and print what it got."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    random = np.random.Generator(np.random.PCG64(1))
    updates = {
        node: random.uniform(-CLIP, CLIP, SIZE).astype(np.float32) for node in NODES
    }
    clients = {node: _Client(node, updates[node]) for node in NODES}
    keys, vector = _until_unmasking(clients)
    result: dict[str, object] = {"name": "flwr", "version": version("flwr")}
    try:
        seeds, private_keys = _shares(clients)
    except Exception as error:  # noqa: BLE001 - whatever its refusal is, it is the result
        result |= {"answered": False, "refusal": f"{type(error).__name__}: {error}"}
    else:
        result |= {"answered": len(seeds) >= THRESHOLD, "both_kinds_from": len(seeds)}
        if len(seeds) >= THRESHOLD:
            update = _unmasked(
                vector,
                combine_shares(list(seeds.values())),
                combine_shares(list(private_keys.values())),
                keys,
            )
            error_of = float(np.max(np.abs(update - updates[VICTIM])))
            result |= {"update_read": error_of < 1e-4, "largest_error": error_of}
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
