"""The file of all wording is that of the code."""

from tests.support.messages import PATH, collect_messages


def test_messages_are_those_of_the_golden_file() -> None:
    # After a change of a text: `make golden`, and read the diff.
    assert PATH.read_text().splitlines() == collect_messages()


def test_messages_have_codes_and_placeholders() -> None:
    # The collection itself works: a message of each form is in it.
    messages = collect_messages()
    assert any(": wrong-manifest: " in each or ": wrong-input: " in each for each in messages)
    assert any("{" in each for each in messages)
    assert not any("Args:" in each for each in messages), "a docstring is no message"
