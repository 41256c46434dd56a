# SPDX-License-Identifier: Apache-2.0
"""Secure aggregation: the orchestrator learns one sum and no single update.

Bonawitz et al. 2017 with double masking and drop-out recovery, on a complete graph.
The trip: ``derivation.derive_secrets`` -> round keys to all -> ``client.join`` the
roster -> ``client.make_mail`` -> ``client.open_mail`` -> ``quantise.quantise`` and
``client.mask`` -> ``client.answer_unmasking`` -> ``server.recover`` ->
``server.open_sum`` -> ``quantise.dequantise``. Who signs what, and when, is decided
above, in federation.
"""
