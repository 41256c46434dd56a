# SPDX-License-Identifier: Apache-2.0
"""Routes of models: described in every version, fetched as they hash."""

import base64

from fedxdr.core.ids import sha256
from fedxdr.models import snapshot


def test_the_model_is_described_in_every_version_and_inline(settled, problem):
    found = settled.get("/federation/global-model").json()
    assert set(found) == {
        "model_version", "weights", "hash", "provenance", "signatures",
    }  # fmt: skip
    assert found["model_version"] == "v3"
    assert found["weights"]["inline"] is None
    assert set(found["signatures"]) == {"alpha", "bravo", "charlie", "delta"}
    link = found["weights"]["link"].removeprefix("/api/fl-blockchain")
    file = settled.get(link)
    assert sha256(file.content) == found["hash"] == found["weights"]["sha256"]
    inline = settled.get("/federation/global-model?inline=true").json()
    assert base64.b64decode(inline["weights"]["inline"]) == file.content
    assert snapshot.load(file.content).vector.any()
    older = settled.get("/federation/global-model?model_version=v1").json()
    assert older["model_version"] == "v1"
    assert older["hash"] != found["hash"]
    answer = settled.get("/federation/global-model?model_version=v9")
    problem(answer, 404, "not-found", "v9")
    problem(settled.get(f"/federation/model/{'0' * 64}"), 404, "not-found")
    problem(settled.get("/federation/model/xyz"), 422, "malformed-message")
