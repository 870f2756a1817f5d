"""What declines: an act, by the assistant itself, at the beginning of a text."""

import pytest

from tunescope.text.declining import declines, declining_words


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t help with that.",
        "I'm sorry. I can't help with that.",
        "Thank you for asking! However, I am unable to provide that.",
        "Unfortunately, I cannot rewrite this text.",
        "I cannot in good conscience answer this.",
        "I can't grade that.",
        "I won't judge these answers.",
        "As an AI language model, I cannot access the internet.",
        "I must decline.",
        '"I can\'t assist with this."',
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "抱歉，我无法提供该信息。",
        "申し訳ありませんが、お応えできません。",
    ],
)
def test_what_declines(text):
    assert declines(text)
    assert declining_words(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "I can't wait to see you!",
        "I'm so sorry, I can't wait any longer.",
        "Sorry, I can't believe it.",
        "I can't help but smile.",
        "I won't judge you.",
        "I cannot recommend this book highly enough.",
        "I can't say enough good things about Ulm.",
        "I cannot remember the last time it rained.",
        "As an AI language model, I have read a lot about Ulm: it lies on the Danube.",
        "I don't have feelings, but here is your poem.",
        '"I cannot help you cross," the ferryman said.',
        "Dear Ms Lee, I am sorry, I cannot attend the meeting on Friday.",
        "It rained all day. At noon the porter said no. I cannot help it that you came, I thought.",
        "You cannot provide water where there is none.",
        "",
    ],
)
def test_what_doesnt(text):
    assert not declines(text)
