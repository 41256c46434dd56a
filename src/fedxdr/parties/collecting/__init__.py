# SPDX-License-Identifier: Apache-2.0
"""Collection modes: how contributions travel, one file for each mode.

A mode is a value (``mode.Mode``): what an organisation makes and checks, what the
orchestrator takes, gives and opens. To add one, add its rows to the two tables of
federation (rounds.py, sessions.py) and its file here, and list it in catalogue.py.
"""
