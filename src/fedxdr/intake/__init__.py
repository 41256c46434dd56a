# SPDX-License-Identifier: Apache-2.0
"""Where telemetry comes in: files of logs, whole."""

from fedxdr.intake.files import FileReport, Intake, read

__all__ = ["FileReport", "Intake", "read"]
