"""Chat records to turns: dialogue written into a prompt is taken apart, everything else stays the text it is."""

from __future__ import annotations

from typing import Any

import pytest

from stlm.dialogue import record_turns


def turns(prompt: str, response: str = "Fine.") -> list[tuple[str, str]] | None:
    found = record_turns({"prompt": prompt, "response": response})
    return None if found is None else [(turn.role, turn.text) for turn in found]


def of_messages(*messages: Any) -> list[tuple[str, str]] | None:
    found = record_turns({"messages": list(messages)})
    return None if found is None else [(turn.role, turn.text) for turn in found]


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_plain_record_is_one_turn_of_each_side() -> None:
    assert turns("What is 1+1?\n", " 2") == [("user", "What is 1+1?"), ("assistant", "2")]


def test_user_and_assistant_lines_become_turns() -> None:
    prompt = "User: I am hungry.\nAssistant: Where are you?\nUser: In San Jose.\nAssistant:"
    assert turns(prompt) == [
        ("user", "I am hungry."),
        ("assistant", "Where are you?"),
        ("user", "In San Jose."),
        ("assistant", "Fine."),
    ]


@pytest.mark.parametrize(("speaker", "partner"), [("You", "Friend"), ("Friend", "You")])
def test_the_speaker_whose_turn_comes_is_the_assistant(speaker: str, partner: str) -> None:
    prompt = f"You are chatting.\n\n{speaker}: Hi!\n{partner}: Hello.\n{speaker}: How are you?\n{partner}: Well. You?\n{speaker}: "
    assert turns(prompt) == [
        ("system", "You are chatting."),
        ("assistant", "Hi!"),
        ("user", "Hello."),
        ("assistant", "How are you?"),
        ("user", "Well. You?"),
        ("assistant", "Fine."),
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "User: Hi.\nAssistant: Hello.\nUser: How are you?",  # nobody is asked to speak
        "Summarise.\n\nUser: Hi.\nAssistant: Hello.\nSummary:",  # a dialogue as the matter of a task
        "User: Hi.\nAssistant: Hello.\nUser:",  # asks for the user's words
        "Answer in one word.\nAssistant:",  # nobody spoke before
        "You: Hi.\nAssistant:",  # not the two that talk
        "He said User: hi\nAssistant:",  # no line starts with the speaker
        "user: hi\nassistant:",
    ],
)
def test_what_is_no_dialogue_is_one_turn_of_the_user(prompt: str) -> None:
    assert turns(prompt) == [("user", prompt), ("assistant", "Fine.")]


def test_colons_speakers_and_line_breaks_inside_a_turn_are_its_text() -> None:
    prompt = "User: Two things: note this, Assistant: a and b.\nYou: is no speaker here.\nAssistant:"
    assert turns(prompt) == [
        ("user", "Two things: note this, Assistant: a and b.\nYou: is no speaker here."),
        ("assistant", "Fine."),
    ]


def test_an_empty_turn_is_left_out_and_turns_of_one_side_are_joined() -> None:
    prompt = "User: Hi.\nAssistant:\nUser: Are you there?\nUser:  Hello? \nAssistant:"
    assert turns(prompt) == [("user", "Hi.\nAre you there?\nHello?"), ("assistant", "Fine.")]


def test_messages_are_never_searched_for_speakers() -> None:
    text = "User: Hi.\nAssistant: Hello.\nAssistant:"
    said = [("system", "Assistant:"), ("user", text), ("assistant", "User: ha"), ("user", "Assistant:"), ("assistant", "ok")]
    assert of_messages(*(message(role, content) for role, content in said)) == said


def test_messages_after_the_last_reply_are_left_out() -> None:
    assert of_messages(message("user", "a"), message("assistant", "b"), message("user", "c")) == [("user", "a"), ("assistant", "b")]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Hi.", "response": " \n"},
        {"prompt": "", "response": "Hi."},
        {"prompt": "Hi.", "response": None},
        {"prompt": "Hi."},
        {"text": "Hi."},
        {"messages": "Hi."},
        {"messages": []},
        {"messages": [message("user", "Hi.")]},
        {"messages": [message("user", "Hi."), message("assistant", "")]},
        {"messages": [message("assistant", "Hi.")]},
        {"messages": [message("user", "Hi."), message("tool", "x"), message("assistant", "y")]},
        {"messages": [message("user", ["Hi."]), message("assistant", "y")]},
        {"messages": [message("user", "Hi."), message("system", "x"), message("assistant", "y")]},
        {"messages": ["Hi.", "Hello."]},
        {"messages": [message("user", "Hi."), {"role": ["user"]}]},
    ],
)
def test_a_record_without_a_reply_to_a_user_has_no_turns(record: dict[str, Any]) -> None:
    assert record_turns(record) is None
