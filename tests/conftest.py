"""What holds for every test: none asserts speed, so no example of a property has a deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
