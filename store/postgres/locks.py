"""Keys of the advisory locks, in one place so that no two mean the same."""

from __future__ import annotations

from typing import Final

MIGRATION: Final = 0x67737731
"""Held while the schema is migrated."""

PARTITIONS: Final = 0x67737732
"""Held while partitions are made."""

PROMOTION: Final = 0x67737733
"""Held while the model in force is changed."""
