# SPDX-License-Identifier: Apache-2.0
"""The tables: what a party keeps, one row each, on SQLite and PostgreSQL alike.

Values that are signed or hashed lie in the bytes that were signed or hashed; columns
beside them only find rows again. Instants are text whose order is that of time.

Not here: the privacy purse, which brings triggers of its own (purse.py).
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

METADATA = sa.MetaData()

# SQLite's own row numbers have 64 bits; under another name they would be a second index
_SIZE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# names are compared and ordered byte by byte, whatever the server's language is
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

OPENINGS = sa.Table(
    "rounds",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("round_id", _TEXT, nullable=False, unique=True),
    sa.Column("opening", sa.LargeBinary, nullable=False),
)
FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("round_id", _TEXT, nullable=False, index=True),
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("round_id", _TEXT, primary_key=True),
    sa.Column("slot", _TEXT, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
BLOCKS = sa.Table(
    "blocks",
    METADATA,
    sa.Column("height", _SIZE, primary_key=True, autoincrement=False),
    sa.Column("model_hash", _TEXT, nullable=False, index=True),
    sa.Column("hash", _TEXT, nullable=False, unique=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.LargeBinary, nullable=False),
)
CHECKPOINTS = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("size", _SIZE, primary_key=True, autoincrement=False),
    sa.Column("root", _TEXT, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("digest", _TEXT, nullable=False, unique=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.LargeBinary, nullable=False),
    sa.Column("proposed_by", _TEXT, nullable=False),
    sa.Column("proposed_at", _TEXT, nullable=False),
    sa.Column("outcome", _TEXT, nullable=False, index=True),
)
APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("digest", _TEXT, sa.ForeignKey(CHANGES.c.digest), primary_key=True),
    sa.Column("org", _TEXT, primary_key=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
)
INVITATIONS = sa.Table(
    "invitations",
    METADATA,
    sa.Column("invitation_id", _TEXT, primary_key=True),
    sa.Column("proof_key", sa.LargeBinary, nullable=False),
    sa.Column("org", _TEXT, nullable=False),
    sa.Column("expires", _TEXT, nullable=False),
    sa.Column("used_at", _TEXT),
)
REGISTRATIONS = sa.Table(
    "registrations",
    METADATA,
    sa.Column("org", _TEXT, primary_key=True),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
    sa.Column("endpoint", _TEXT, nullable=False),
    sa.Column("capabilities", _TEXT, nullable=False),
    sa.Column("last_update", _TEXT),
)
NONCES = sa.Table(
    "nonces",
    METADATA,
    sa.Column("keyid", _TEXT, primary_key=True),
    sa.Column("nonce", _TEXT, primary_key=True),
    sa.Column("expires", _TEXT, nullable=False, index=True),
)
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)


def text_of(instant: datetime) -> str:
    """Return an instant in the form of the tables."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant_of(text: str) -> datetime:
    """Return the instant, in UTC, whose form is ``text``."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
