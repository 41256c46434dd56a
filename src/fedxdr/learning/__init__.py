# SPDX-License-Identifier: Apache-2.0
"""An organisation's own learning: features, local fit, trainer; and evaluation.

``torch`` comes in with fit.py, trainer.py and what uses them; nothing is imported here.
"""
