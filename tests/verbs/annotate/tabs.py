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


def saved(tab):
    """Wait until the page says that the server has all of it."""
    tab.get_by_role("status").filter(has_text="Saved.").wait_for()
