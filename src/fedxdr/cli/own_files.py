# SPDX-License-Identifier: Apache-2.0
"""One's own labelled logs and tables, as organisations of an evaluation.

It does NOT measure; what it reads is kept nowhere.
"""

from __future__ import annotations

from pathlib import Path

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import org_id
from fedxdr.learning import features, tables
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.features import FeatureSet


def read(orgs: list[str], *, is_private: bool) -> tuple[list[Organisation], FeatureSet]:
    """Return one organisation per NAME=PATH, and what their features are.

    Args:
        orgs: as given with ``--org``.
        is_private: whether features are made for differential privacy.

    Raises:
        InvalidSettings: another form, or no such file.
        InvalidTelemetry: a file without labels, or that cannot be read.
    """
    found = features.find("traffic-event" if is_private else "traffic")
    organisations = []
    for text in orgs:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise InvalidSettings(f"--org {text}: write it as NAME=PATH")
        organisations.append(
            tables.organisation(org_id(name), _labelled(name, Path(path)), found)
        )
    return organisations, found


def _labelled(name: str, path: Path) -> tables.Labelled:
    """Return one organisation's events: a table by its ending, else a log."""
    if path.suffix.lower() in tables.SUFFIXES:
        return tables.read(path)
    # pseudonyms are made with a key that nobody keeps: nothing is stored or joined
    from fedxdr.core.randomness import SystemEntropy  # noqa: PLC0415 - logs only
    from fedxdr.intake import files  # noqa: PLC0415 - logs only
    from fedxdr.privacy.pseudonym import KEY_BYTES, Pseudonymiser  # noqa: PLC0415

    key = SystemEntropy().draw(KEY_BYTES)
    intake = files.read([path], tokenise=Pseudonymiser(key))
    return tables.from_log(name, intake.events)
