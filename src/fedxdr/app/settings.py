# SPDX-License-Identifier: Apache-2.0
"""The one reader of the environment: variables that seed the next plan.

Names are the origin's (``FL_*``). What all parties must agree on is not configuration:
these values only fill the plan that the operator proposes next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fedxdr.core.errors import InvalidSettings
from fedxdr.federation.plan import Deadlines, Training


class PlanSettings(BaseSettings):
    """Variables that seed the next plan.

    Attributes are named as the variables, without ``FL_`` and in lower case; their
    descriptions are in docs/reference/settings.md.
    """

    model_config = SettingsConfigDict(
        env_prefix="FL_", extra="ignore", allow_inf_nan=False
    )

    aggregation_method: str = "FedProx"
    aggregation_robust_method: str | None = None
    privacy_clipping_norm: float = Field(default=10.0, gt=0)
    proximal_parameter: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=128, ge=1)
    examples_per_epoch: int = Field(default=4096, ge=1)
    examples_per_attack: int = Field(default=7, ge=0)
    learning_rate: float = Field(default=0.003, gt=0)
    local_epochs: int = Field(default=3, ge=1)
    federation_timeout: float = Field(default=600.0, gt=0)
    phase_timeout: float = Field(default=30.0, gt=0)
    max_org_failure_rate: float = Field(default=0.34, ge=0, lt=1)
    min_survivors: int = Field(default=3, ge=3)
    training_seed: int = Field(default=0, ge=0)

    def plan_fields(self) -> dict[str, Any]:
        """Return the plan's fields that these settings fill."""
        is_robust = self.aggregation_method == "RobustAggregator"
        return {
            "aggregation_method": self.aggregation_method,
            "robust_method": self.aggregation_robust_method if is_robust else None,
            "clip_norm": self.privacy_clipping_norm,
            "min_survivors": self.min_survivors,
            "max_failure_rate": self.max_org_failure_rate,
            "training": Training(
                local_epochs=self.local_epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                proximal_mu=self.proximal_parameter,
                examples_per_epoch=self.examples_per_epoch,
                examples_per_attack=self.examples_per_attack,
                seed=self.training_seed,
            ),
            "deadlines": Deadlines(
                keys_s=self.phase_timeout,
                shares_s=self.phase_timeout,
                contributions_s=self.federation_timeout,
                survivors_s=self.phase_timeout,
                unmasking_s=self.phase_timeout,
            ),
        }


class _LedgerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FL_BLOCKCHAIN_", extra="ignore")

    db_path: str = ""


def database_setting() -> Path | str | None:
    """Return ``FL_BLOCKCHAIN_DB_PATH``: a path or PostgreSQL URL, None if not set."""
    found = _LedgerSettings().db_path
    return (found if "://" in found else Path(found)) if found else None


def plan_settings() -> PlanSettings:
    """Return the settings of this process's environment.

    Raises:
        InvalidSettings: a variable with a value that is none.
    """
    try:
        return PlanSettings()
    except ValidationError as error:
        found = "; ".join(
            f"FL_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}"
            for e in error.errors()
        )
        raise InvalidSettings(found) from error
