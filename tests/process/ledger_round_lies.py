# SPDX-License-Identifier: Apache-2.0
"""Lies about rounds: one for each rule of tables C and D of the ledger's format.

Name -> the ledger before it, the step that refuses it, what appends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.process.ledger_ends import (
    ORGANISATIONS,
    PRIVACY,
)
from tests.unit.ledger.conftest import Federation

from fedxdr.core.ids import sha256
from fedxdr.ledger import statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.entries import (
    RoundFailed,
)
from fedxdr.ledger.statements import PrivacyClaim

OTHER = sha256(b"another")


def _alike(metrics: dict[str, float] | None = None, **provenance: Any) -> Any:
    """Return a lie about figures or provenance, told by the acceptances as well."""

    def lie(told: Federation) -> None:
        said = {
            name: provenance[name]
            for name in ("parent_model", "data_volume", "privacy_params")
            if name in provenance
        }
        if metrics:
            figures = {"round": told.rounds + 1, **_figures(told), **metrics}
            said["figures"] = {k: v for k, v in figures.items() if k != "num_clients"}
        stated = (
            {"parent_model": said["parent_model"]} if "parent_model" in said else {}
        )
        told.commit(
            metrics_lies=metrics,
            provenance_lies=provenance,
            acceptance_lies=said,
            contribution_lies=stated,
        )

    return lie


def _figures(told: Federation) -> dict[str, float]:
    return {k: v for k, v in told.figures().items() if k != "round"}


def _claim(**lies: Any) -> Any:
    made = {"clipping_norm": 1.0, **PRIVACY, "epsilon": 2.5} | lies
    claim = PrivacyClaim(**{k: v for k, v in made.items() if v is not None})
    return lambda told: told.commit(contribution_lies={"privacy": claim})


def _contributed(told: Federation) -> None:
    given = {org: sha256(b"round-1", org.encode()) for org in (*ORGANISATIONS, "zulu")}
    root = contributions_root(given)
    told.commit(
        entry_lies={"contributions": given, "contributions_root": root},
        acceptance_lies={"contributions": given, "contributions_root": root},
    )


def _unsaid(told: Federation) -> None:
    """Say that both are in the sum, though one alone stated that it is."""
    told.commit(
        survivors=("alpha",), entry_lies={"survivors": ORGANISATIONS, "dropouts": ()}
    )


def _accepted_by_one(told: Federation) -> None:
    told.commit(accepted=[_acceptance(told, "alpha", ORGANISATIONS)])


def _accepted_unasked(told: Federation) -> None:
    accepted = [_acceptance(told, org, ("alpha",)) for org in ORGANISATIONS]
    told.commit(cohort=("alpha",), accepted=accepted)


def _acceptance(told: Federation, org: str, survivors: tuple[str, ...]) -> Any:
    """Return what an organisation says of the next round."""
    number = told.rounds + 1
    given = [told.contribution(one, f"round-{number}") for one in survivors]
    figures = {"round": number, **_figures(told)}
    model = f"model {number}".encode()
    return told.acceptance(org, f"round-{number}", model, given, figures=figures)


def _accepted_by_stranger(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.commit(cohort=("alpha", "bravo", "zulu"), survivors=ORGANISATIONS)


def _survives_unknown(told: Federation) -> None:
    told.keys["zulu"] = told.spare["fresh"]
    told.commit()


def _failed(told: Federation, **lies: Any) -> None:
    truth = {
        "round_id": "round-9",
        "phase": "shares",
        "reason": "too-few-participants",
        "sentence": "Only one answered.",
    }
    beside = lies.pop("beside", ())
    fields = {k: lies.pop(k) for k in ("survivors", "round_id") if k in lies}
    told.append(RoundFailed(**truth | fields), beside, **lies)


ROUND_LIES: dict[str, tuple[str, int, Callable[[Federation], Any]]] = {
    "no plan": ("genesis", 7, lambda t: t.commit()),
    "another plan": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"plan_digest": OTHER}),
    ),
    "dropouts of nobody": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"dropouts": ("zulu",)}),
    ),
    "too few survivors": ("one accepts", 7, lambda t: t.commit(survivors=("alpha",))),
    "collected otherwise": (
        "plan",
        7,
        lambda t: t.commit(entry_lies={"collection_mode": "clear"}),
    ),
    "a figure below zero": ("plan", 7, _alike({"convergence": -1.0})),
    "other clients": ("plan", 7, _alike({"num_clients": 3.0})),
    "no weight": ("plan", 7, _alike({"survivors_weight": 0.0})),
    "an old round": ("round", 7, _alike({"round": 1.0})),
    "half a round": ("round", 7, _alike({"round": 2.5})),
    "another round's provenance": ("plan", 7, _alike(round_id="round-8")),
    "no round's provenance": ("plan", 7, _alike(round_id=None)),
    "trained by one": ("plan", 7, _alike(training_orgs=("alpha",))),
    "aggregated otherwise": ("plan", 7, _alike(aggregation_method="krum")),
    "volume of a stranger": (
        "plan",
        7,
        _alike(data_volume={"alpha": 128, "bravo": 128, "zulu": 1}),
    ),
    "trained otherwise": ("plan", 7, _alike(training_config={"clip_norm": 2})),
    "sources of nobody": ("plan", 7, _alike(data_sources=("zeek-conn",))),
    "claims of a stranger": (
        "plan",
        8,
        _alike(
            privacy_params=dict.fromkeys(
                ("alpha", "bravo", "zulu"), statements.NO_PRIVACY
            )
        ),
    ),
    "figures without a mechanism": (
        "plan",
        8,
        lambda t: t.commit(
            contribution_lies={"privacy": PrivacyClaim(mechanism="none", steps=1)}
        ),
    ),
    "a mechanism without a plan": ("plan", 8, _claim()),
    "no mechanism": ("private", 8, lambda t: t.commit()),
    "another mechanism": ("private", 8, _claim(mechanism="laplace")),
    "another unit": ("private", 8, _claim(unit="entity")),
    "another delta": ("private", 8, _claim(delta=1e-06)),
    "less noise": ("private", 8, _claim(noise_multiplier=1.0)),
    "another rate": ("private", 8, _claim(sampling_rate=0.02)),
    "other steps": ("private", 8, _claim(steps=41)),
    "steps untold": ("private", 8, _claim(steps=None)),
    "nothing promised": ("vague", 8, _claim()),
    "too much spent": ("private", 8, _claim(epsilon=8.5)),
    "nothing spent": ("private", 8, _claim(epsilon=0.0)),
    "spending untold": ("private", 8, _claim(epsilon=None)),
    "a round twice": ("round", 9, lambda t: t.commit("round-1")),
    "a round that failed before": (
        "plan",
        9,
        lambda t: t.fail("round-1").commit("round-1"),
    ),
    "another parent": ("plan", 9, _alike(parent_model=OTHER)),
    "a model twice": ("two rounds", 9, lambda t: t.commit(model=b"model 1")),
    "failed after it committed": ("round", 9, lambda t: t.fail("round-1")),
    "another model without a round": (
        "plan",
        9,
        lambda t: _failed(t, model_hash=OTHER),
    ),
    "contributions of a stranger": ("plan", 4, _contributed),
    "another root": (
        "plan",
        4,
        lambda t: t.commit(
            entry_lies={"contributions_root": OTHER},
            acceptance_lies={"contributions_root": OTHER},
        ),
    ),
    "another volume": (
        "plan",
        4,
        lambda t: t.commit(provenance_lies={"data_volume": {"alpha": 1, "bravo": 1}}),
    ),
    "one contribution unsaid": (
        "plan",
        4,
        _unsaid,
    ),
    "accepted by one": (
        "plan",
        5,
        _accepted_by_one,
    ),
    "rejected by both": (
        "plan",
        5,
        lambda t: t.commit(acceptance_lies={"verdict": "rejected", "reason": "No."}),
    ),
    "accepted by who was not asked": (
        "one accepts",
        5,
        _accepted_unasked,
    ),
    "signed though it failed": (
        "plan",
        5,
        lambda t: _failed(t, org_signatures={"alpha": OTHER}),
    ),
    "figures though it failed": (
        "plan",
        7,
        lambda t: _failed(t, aggregation_metrics={"round": 1.0}),
    ),
    "envelopes though it failed": (
        "plan",
        5,
        lambda t: _failed(t, beside=[t.contribution("alpha", "round-9")]),
    ),
    "failed for strangers": ("plan", 6, lambda t: _failed(t, survivors=("zulu",))),
    "a stranger in the cohort": ("plan", 6, _accepted_by_stranger),
    "a stranger in the sum": ("plan", 6, _survives_unknown),
}
