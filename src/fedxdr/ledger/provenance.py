# SPDX-License-Identifier: Apache-2.0
"""Statement 2 as strangers' tools read it: in-toto Statement v1, SLSA provenance v1.

Subject is the new model's file; resolved dependencies are the parent model and every
contribution in the sum; external parameters are plan, task, data volumes and privacy;
byproducts are the opened sum and the block's figures. What only we ask (who states it,
verdict, replay, previous block) stands in the extension field ``fedxdr_acceptance``.

A rejection has another predicate type, so that no tool takes it for provenance.

Not here: who signed (statements.py), whether it agrees with a block (round_rules.py).

Rule that always holds: the two functions are each other's inverse; what was read and
written again is the same bytes, which statements.py demands.

Sources: in-toto attestation Statement v1; SLSA v1.0, "Provenance", with its rule for
extension fields (``<vendor>_<field>``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedxdr.core.errors import MalformedMessage

STATEMENT = "https://in-toto.io/Statement/v1"
ACCEPTED = "https://slsa.dev/provenance/v1"
REJECTED = "urn:fedxdr:rejection:v1"
BUILD_TYPE = "urn:fedxdr:round:v1"
SUBJECT = "model.safetensors"

_CONTRIBUTION = "contribution/"
_BUILDER = "urn:fedxdr:orchestrator:"
_OWN = ("issued_at", "org", "prev_hash", "reason", "replayed", "verdict")


def to_in_toto(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the in-toto statement that says what an acceptance says.

    Args:
        fields: JSON values of every field of ``statements.AcceptanceStatement``.
    """
    contributions = fields["contributions"]
    return {
        "_type": STATEMENT,
        "subject": [_resource(SUBJECT, fields["model_hash"])],
        "predicateType": ACCEPTED if fields["verdict"] == "accepted" else REJECTED,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "dataVolume": fields["data_volume"],
                    "plan": fields["plan_digest"],
                    "privacy": fields["privacy_params"],
                    "task": fields["task"],
                },
                "resolvedDependencies": [
                    _resource("parent", fields["parent_model"]),
                    *(
                        _resource(f"{_CONTRIBUTION}{org}", contributions[org])
                        for org in sorted(contributions)
                    ),
                ],
            },
            "fedxdr_acceptance": {name: fields[name] for name in _OWN},
            "runDetails": {
                "builder": {"id": f"{_BUILDER}{fields['builder']}"},
                "byproducts": [
                    _resource("sum", fields["sum_digest"]),
                    _resource("contributions", fields["contributions_root"]),
                    {"name": "figures", "annotations": fields["figures"]},
                ],
                "metadata": {"invocationId": fields["round_id"]},
            },
        },
    }


def from_in_toto(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return the fields of the acceptance that an in-toto statement says.

    Args:
        value: the parsed payload.

    Raises:
        MalformedMessage: a statement of another form.
    """
    try:
        predicate = value["predicate"]
        build, run = predicate["buildDefinition"], predicate["runDetails"]
        asked = build["externalParameters"]
        parent, *contributions = build["resolvedDependencies"]
        opened, root, figures = run["byproducts"]
        fields: dict[str, Any] = {
            **{name: predicate["fedxdr_acceptance"][name] for name in _OWN},
            "builder": run["builder"]["id"].removeprefix(_BUILDER),
            "contributions": {
                found["name"].removeprefix(_CONTRIBUTION): found["digest"]["sha256"]
                for found in contributions
            },
            "contributions_root": root["digest"]["sha256"],
            "data_volume": asked["dataVolume"],
            "figures": figures["annotations"],
            "model_hash": value["subject"][0]["digest"]["sha256"],
            "parent_model": parent["digest"]["sha256"],
            "plan_digest": asked["plan"],
            "privacy_params": asked["privacy"],
            "round_id": run["metadata"]["invocationId"],
            "sum_digest": opened["digest"]["sha256"],
            "task": asked["task"],
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage("not the in-toto statement of an acceptance") from error
    return fields


def _resource(name: str, digest: str) -> dict[str, Any]:
    """Return an in-toto resource descriptor."""
    return {"name": name, "digest": {"sha256": digest}}
