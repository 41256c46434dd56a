# SPDX-License-Identifier: Apache-2.0
"""ipcrypt-pfx bit by bit, from draft-denis-ipcrypt-13; slow and plain."""

from __future__ import annotations

import ipaddress

from fedxdr.crypto.blocks import permute_blocks


def prefix_by_definition(text: str, key: bytes) -> str:
    """Return the pseudonym of one address.

    Args:
        text: IPv4 or IPv6.
        key: 32 bytes, K1 || K2.
    """
    address = ipaddress.ip_address(text)
    mapped = 0xFFFF << 32
    is_short = address.version == 4
    value = int(address) | (mapped if is_short else 0)
    result = mapped if is_short else 0
    for done in range(96 if is_short else 0, 128):
        padded = (1 << done) | (value >> (128 - done))
        block = padded.to_bytes(16, "big")
        one, two = permute_blocks(key[:16], block), permute_blocks(key[16:], block)
        place = 127 - done
        result |= (((one[15] ^ two[15]) & 1) ^ (value >> place & 1)) << place
    if is_short:
        return str(ipaddress.IPv4Address(result & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(result))
