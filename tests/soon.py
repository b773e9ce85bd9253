"""How long it may take on a busy machine what has nothing to wait for."""

from __future__ import annotations

SOON = 15.0
"""Seconds. No clock tells whether something was fast: a test sees to it that what must not be waited for takes more
than this, or never comes."""
