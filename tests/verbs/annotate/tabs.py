"""What an annotator does in a tab."""

from __future__ import annotations


def enter(tab, link):
    """Follow a personal link; return the address of the study."""
    tab.goto(link)
    tab.wait_for_url("**/")
    assert "#" not in tab.url
    return tab.url


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)


def told(tab, sentence):
    """Wait until the page says something; fail with what it says instead."""
    from playwright.sync_api import TimeoutError as NotTold

    status = tab.get_by_role("status")
    try:
        status.filter(has_text=sentence).wait_for()
    except NotTold:
        raise AssertionError(f"the page says {status.inner_text()!r}, not {sentence!r}") from None


def saved(tab):
    """Wait until the page says that the server has all of it."""
    told(tab, "Saved.")
