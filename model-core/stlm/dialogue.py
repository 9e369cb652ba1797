"""Turns out of chat records: `{"messages": [{"role", "content"}]}` as OpenAI writes them, or `{"prompt", "response"}`.

A prompt may hold earlier turns as lines that start with a speaker, and end in the speaker who is to answer:

    User: I am hungry.            You are chatting. About you: I love to meet new people.
    Assistant: Where are you?
    User: In San Jose.            Friend: Hi!
    Assistant:                    You:

That speaker becomes the assistant, the other one the user, and what stands before the first speaker the system text. Any other
prompt is one turn of the user. The content of `messages` is never searched for speakers.
"""

from __future__ import annotations

import re
from typing import Any

from stlm.chat import ROLES, Turn

_PARTNER = {"Assistant": "User", "You": "Friend", "Friend": "You"}
"""Who talks with the speaker that is to answer. A prompt that ends in `User:` asks for no assistant."""


def record_turns(record: dict[str, Any]) -> list[Turn] | None:
    """The turns of a record, or None when it is of another form, or its last reply is empty or answers nobody."""
    if "messages" in record:
        return _complete(_message_turns(record["messages"]))
    prompt, response = record.get("prompt"), record.get("response")
    if not isinstance(prompt, str) or not isinstance(response, str):
        return None
    return _complete([*prompt_turns(prompt), Turn("assistant", response)])


def prompt_turns(prompt: str) -> list[Turn]:
    """The turns that a prompt holds, without the reply it asks for."""
    ending = re.search(r"^(\w+):\s*\Z", prompt, re.MULTILINE)
    if ending is None or ending[1] not in _PARTNER:
        return [Turn("user", prompt)]
    speaker, partner = ending[1], _PARTNER[ending[1]]
    before, *said = re.split(rf"^({speaker}|{partner}):", prompt[: ending.start()], flags=re.MULTILINE)
    if partner not in said[::2]:
        return [Turn("user", prompt)]
    turns = [Turn("assistant" if who == speaker else "user", text) for who, text in zip(said[::2], said[1::2], strict=True)]
    return [Turn("system", before), *turns]


def _message_turns(messages: Any) -> list[Turn]:
    """The turns of OpenAI-style messages; none when one of them is no text of a known role."""
    if not isinstance(messages, list):
        return []
    turns = []
    for message in messages:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            return []
        turns.append(Turn(role, content))
    return turns


def _complete(turns: list[Turn]) -> list[Turn] | None:
    """Turns in the document form (chat.py): blank ones left out, what one side said in a row joined, up to the last reply."""
    replies = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    if not replies or not turns[replies[-1]].text.strip():
        return None
    joined: list[Turn] = []
    for role, text in turns[: replies[-1] + 1]:
        if not text.strip():
            continue
        if joined and joined[-1].role == role:
            joined[-1] = Turn(role, f"{joined[-1].text}\n{text.strip()}")
        else:
            joined.append(Turn(role, text.strip()))
    roles = [turn.role for turn in joined]
    return joined if "user" in roles and "system" not in roles[1:] else None
