"""Debian's Chromium, unpacked and driven by Playwright: headless, on the loopback, with one font of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from tests.parts.debian import environment, unpacked

PACKAGES: Final = ("chromium", "chromium-common", "fonts-inter", "fonts-dejavu-core")
# --no-sandbox: the sandbox takes rights that a container's root lacks, and only our own pages are shown.
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
)
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/.fonts</cachedir></fontconfig>
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser for as long as the block lasts."""
    root = unpacked(*PACKAGES)
    fonts = root / ".fonts.conf"
    wanted = _FONTS.format(root=root)
    if not fonts.exists() or fonts.read_text() != wanted:  # the folder may have moved since
        aside = root / f".fonts.{os.getpid()}"
        aside.write_text(wanted)
        aside.replace(fonts)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(root / "usr/lib/chromium/chromium"),
            env={**environment("chromium"), "FONTCONFIG_FILE": str(fonts)},
            args=list(_QUIET),
        )
        try:
            yield browser
        finally:
            browser.close()
