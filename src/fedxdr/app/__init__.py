# SPDX-License-Identifier: Apache-2.0
"""Putting the parts together: settings, logs, and what a folder on disk becomes."""
