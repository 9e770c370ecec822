"""The style sheet keeps what it promises: contrast in both schemes, one accent, nothing that moves unasked."""

from __future__ import annotations

import re

import pytest

from guard.admin.page.frame import ASSETS, page

CSS = ASSETS["control.css"][0].decode()
SCRIPT = "".join(ASSETS[name][0].decode() for name in ("control.js", "copy.js"))
TEXT, EDGE = 4.5, 3.0  # WCAG 2.2 AA: 1.4.3 and 1.4.11
MODES = ("drain", "quarantine", "stricter", "fallback", "closed", "gone")
PAIRS = [
    ("ink", "paper", TEXT),
    ("ink", "ground", TEXT),
    ("soft", "paper", TEXT),
    ("soft", "ground", TEXT),
    ("red", "paper", TEXT),
    ("red", "ground", TEXT),
    ("on-red", "red-ground", TEXT),
    ("on-ink", "ink", TEXT),
    ("edge", "paper", EDGE),
    ("edge", "ground", EDGE),
    ("focus", "paper", EDGE),
    ("focus", "ground", EDGE),
    ("red-ground", "ground", 1.5),  # a block of 100 pixels and more, with a heading that says what it is
    *(("on-red", mode, TEXT) for mode in MODES),
    *((mode, "ground", 1.5) for mode in MODES),
]


def tokens(scheme: str) -> dict[str, str]:
    """The colours of a scheme by name; dark takes the rest from light."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return light if scheme == "light" else {**light, **dark}


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as WCAG computes it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("one", "other", "least"), PAIRS)
def test_colours_that_meet_can_be_told_apart(scheme: str, one: str, other: str, least: float) -> None:
    found = tokens(scheme)
    assert contrast(found[one], found[other]) >= least


def test_the_computation_is_the_standards_own() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_is_a_named_one_of_both_schemes() -> None:
    light, dark = tokens("light"), tokens("dark")
    assert light.keys() == dark.keys()
    outside = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", outside)
    assert set(re.findall(r"var\(--([a-z-]+)", CSS)) <= {*light, "tone"}
    assert set(re.findall(r"--tone: var\(--([a-z-]+)\);", outside)) == {*MODES, "red-ground"}
    assert {name for name, _, _ in PAIRS} | {name for _, name, _ in PAIRS} | {"line"} == light.keys()


def test_the_files_refer_to_nothing_from_elsewhere() -> None:
    for text in (CSS, SCRIPT):
        assert "//" not in re.sub(r"^\s*//.*$|/\*.*?\*/|; // .*$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert "@import" not in text
    assert "innerHTML" not in SCRIPT
    assert "eval" not in SCRIPT


def test_what_moves_moves_only_where_motion_is_welcome() -> None:
    welcome = CSS.partition("@media (prefers-reduced-motion: no-preference) {")[2].partition("\n}\n")[0]
    assert "transition" in welcome
    assert CSS.count("transition") == welcome.count("transition")
    assert "animation" not in CSS


def test_a_page_that_is_not_live_does_not_renew_itself() -> None:
    still, live = page("x").decode(), page("x", live="/control").decode()
    assert "refresh" not in still
    assert "<script" not in still
    assert '<noscript><meta http-equiv="refresh" content="10;url=/control?auto=1"></noscript>' in live
    typed = page("x", live="/control/incidents/1", forms=True).decode()
    assert "<script" in typed
    assert "refresh" not in typed  # it would go from under somebody's hands


def test_a_page_has_its_landmarks_a_language_and_one_title() -> None:
    found = page("x & y", "words").decode()
    assert found.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>x &amp; y · ASL Guard</title>" in found
    assert found.count("<main ") == found.count("<header ") == 1
    assert 'href="#main"' in found
