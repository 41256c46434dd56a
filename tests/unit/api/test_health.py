# SPDX-License-Identifier: Apache-2.0
"""Routes about the service itself."""

import base64

from fedxdr import __version__
from fedxdr.core import canonical
from fedxdr.ledger.entries import MemberKeys


def test_health_and_readiness_need_no_token(settled):
    assert settled.send("GET", "/health").json() == {
        "status": "healthy",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    ready = settled.send("GET", "/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "height": 4,
        "head": settled.world.recorder.in_force.head.hash,
    }


def test_info_counts_its_routes_and_shows_the_key_that_invitations_pin(settled):
    found = settled.send("GET", "/info").json()
    assert set(found) == {
        "system", "version", "federation", "components", "api_endpoints",
        "orchestrator_key", "orchestrator_keyid", "orchestrator_keys",
        "orchestrator_fingerprint",
    }  # fmt: skip
    assert (found["system"], found["version"]) == ("fedxdr", __version__)
    paths = settled.app.openapi()["paths"]
    assert found["api_endpoints"] == sum(len(methods) for methods in paths.values())
    assert found["api_endpoints"] > 25
    key = settled.world.identity.public
    assert base64.b64decode(found["orchestrator_key"]) == key.ed25519
    assert found["orchestrator_keyid"] == key.keyid
    keys = canonical.from_builtins(found["orchestrator_keys"], MemberKeys)
    assert keys.identity == key
    assert found["orchestrator_fingerprint"] == key.fingerprint


def test_privacy_claims_nothing_that_is_not_there(settled, make_api):
    found = settled.send("GET", "/privacy/config").json()
    assert found["differential_privacy"] == {
        "mechanism": "none", "epsilon": None, "delta": None, "clipping_norm": 10.0,
    }  # fmt: skip
    assert found["secure_aggregation"] == "enabled"
    assert found["homomorphic_encryption"] == "disabled"
    clear = make_api(clear=True, rounds=1).send("GET", "/privacy/config").json()
    assert clear["secure_aggregation"] == "disabled"
    new = make_api().send("GET", "/privacy/config").json()
    assert new["secure_aggregation"] == "disabled"
    assert new["differential_privacy"]["clipping_norm"] is None


def test_the_second_path_of_a_route_is_marked_as_such(settled):
    paths = settled.app.openapi()["paths"]
    prefix = "/api/fl-blockchain"
    old = {
        path.removeprefix(prefix)
        for path, methods in paths.items()
        for described in methods.values()
        if described.get("deprecated")
    }
    assert old == {
        "/federation/start-round",
        "/federation/submit-gradient",
        "/ledger/blocks",
        "/ledger/block/{height}",
        "/ledger/provenance/{model_hash}",
        "/privacy/privacy-budget",
    }
