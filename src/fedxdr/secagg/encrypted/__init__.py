# SPDX-License-Identifier: Apache-2.0
"""Threshold Paillier: ciphertexts are added up, any t of n holders open the sum.

The trip: ``ceremony.hold`` (once, by the dealer) -> ``ceremony.open_box`` -> all agree
on ``stages.Terms`` -> ``contributing.encrypt_update`` -> ``stages.commit`` ->
``contributing.verify_upload`` and ``contributing.product`` (by every decryptor, over
the signed survivors' uploads) -> ``opening.partial_decrypt`` -> ``opening.combine`` ->
``opening.check_opening`` by whoever replays. Who signs what, and when, is decided
above, in federation.

It is NOT post-quantum, and the dealer is trusted at the ceremony.
"""
