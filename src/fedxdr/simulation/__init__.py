# SPDX-License-Identifier: Apache-2.0
"""A world to try things in, seeded: traffic of several organisations and a campaign."""

from fedxdr.simulation.campaign import ALL_TECHNIQUES, CAMPAIGN_TECHNIQUES
from fedxdr.simulation.growing import GrowingLogs
from fedxdr.simulation.traffic import generate, write
from fedxdr.simulation.truth import Truth, read_truth
from fedxdr.simulation.world import (
    EVERY_MIX,
    Organisation,
    OrganisationFiles,
    Sensors,
    World,
    cut_time,
)

__all__ = [
    "ALL_TECHNIQUES",
    "CAMPAIGN_TECHNIQUES",
    "EVERY_MIX",
    "GrowingLogs",
    "Organisation",
    "OrganisationFiles",
    "Sensors",
    "Truth",
    "World",
    "cut_time",
    "generate",
    "read_truth",
    "write",
]
