# SPDX-License-Identifier: Apache-2.0
"""A world to try things in, seeded: traffic of several organisations and a campaign."""

from fedxdr.simulation.traffic import (
    Organisation,
    OrganisationFiles,
    World,
    cut_time,
    generate,
    write,
)
from fedxdr.simulation.truth import Truth, read_truth

__all__ = [
    "Organisation",
    "OrganisationFiles",
    "Truth",
    "World",
    "cut_time",
    "generate",
    "read_truth",
    "write",
]
