"""What a text may be objected to for: one closed list for every classifier and every rule."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What a hit is about; the list is closed."""

    MISINFORMATION = "misinformation"
    VIOLENCE = "violence"
    FRAUD = "fraud"
    CYBER = "cyber"
    CBRN = "cbrn"
    SELF_HARM = "self-harm"
    SEXUAL_MINORS = "sexual-minors"
    AUTONOMY = "autonomy"
    JAILBREAK = "jailbreak"
    OTHER = "other"
