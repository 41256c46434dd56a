# SPDX-License-Identifier: Apache-2.0
"""What C2SP tlog-cosignature says is signed, written with struct from its tables."""

import base64
import struct


def ed25519_message(timestamp, body):
    """The two lines and the note body."""
    return "\n".join(["cosignature/v1", f"time {timestamp}", body.decode()]).encode()


def ml_dsa_44_message(name, timestamp, body):
    """struct cosigned_message, fields in order."""
    origin, size, root = body.decode().splitlines()[:3]
    name, origin = name.encode(), origin.encode()
    packed = struct.pack(
        f">12sB{len(name)}sQB{len(origin)}sQQ",
        b"subtree/v1\n\x00",
        len(name),
        name,
        timestamp,
        len(origin),
        origin,
        0,
        int(size),
    )
    return packed + base64.b64decode(root)


def timestamped(timestamp, signature):
    """struct timestamped_signature."""
    return struct.pack(f">Q{len(signature)}s", timestamp, signature)
