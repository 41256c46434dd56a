# SPDX-License-Identifier: Apache-2.0
"""Where telemetry comes in: logs whole, in batches, or as they grow."""

from fedxdr.intake.files import FileReport, Intake, read
from fedxdr.intake.stream import Batch, stream

__all__ = ["Batch", "FileReport", "Intake", "read", "stream"]
