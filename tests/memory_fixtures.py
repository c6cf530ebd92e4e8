"""Every shape of a memory that is read, with every key that is read of it, and what else a profile holds."""

from __future__ import annotations

from typing import Any

TIME = "2025-03-01T12:00:00Z"
META: dict[str, Any] = {
    "cognitiveMode": "dual", "conversationId": "conv-1", "sessionId": "s-1", "multi_turn": True, "discard": False,
    "long_output": True, "priority": "high", "reinforcementSignal": 1, "targetId": "evt-9",
    "chat": {"conversationId": "c-1"},
}  # fmt: skip
BASE: dict[str, Any] = {
    "id": "evt-1", "timestamp": TIME, "type": "conversation", "tags": ["multi_turn"],
    "validation": {"status": "correct", "by": "ann"}, "metadata": META,
}  # fmt: skip
TOOL = {
    "toolName": "tide_log", "skillId": "tide", "toolInputs": {"height": 4}, "toolOutputs": {"done": True},
    "success": True, "error": "none", "instruction": "Note the tide.", "skillInputs": {"height": 3},
}  # fmt: skip
MESSAGES = [{"role": "user", "content": "How was the sea?"}, {"role": "assistant", "content": "Cold and very blue."}]
# Every shape of a memory that is read, with every key that is read of it.
MEMORIES: dict[str, dict[str, Any]] = {
    "response": BASE | {"content": "What was there for lunch?", "response": "Soup with bread, and an apple."},
    "journal": BASE | {"type": "journal", "content": "The pump is mended, and the hull has its second coat of paint."},
    "messages": BASE | {"messages": MESSAGES},
    "prompt": BASE | {"prompt": "How was the sea?", "response": "Cold, and very blue all day."},
    "question": BASE | {"question": "How was the sea?", "answer": "Cold, and very blue all day."},
    "observation": BASE | {"observation": "The neighbour came by to lend us a ladder."},
    "card": BASE | {"metadata": META | {"userMessage": "How was it?", "assistantResponse": "Cold and very blue."}},
    "tool": BASE | {"type": "tool_invocation", "content": "Invoked skill: tide", "metadata": META | TOOL},
    "skill": BASE | {"type": "action", "content": "Invoked skill: tide", "metadata": {"skillId": "tide"}},
    "chat": BASE | {"content": "Chat.\n--- Conversation ---\n[1.3.25, 12:00] → Ann: Tea?\n[1.3.25, 12:01] ← Bo: Yes."},
}  # fmt: skip
# The files of a profile that hold no memory as such: the folder, and an object with every key that is read of it.
FILES: dict[str, dict[str, Any]] = {
    "memory/curated/conversations": {
        "id": "cur-1", "originalTimestamp": TIME, "curatedAt": TIME, "memoryType": "conversation",
        "userMessage": "Who came by?", "assistantResponse": "The neighbour, to lend us a ladder.",
        "conversationalEssence": "A ladder was lent.", "cognitiveMode": "dual", "suitableForTraining": False,
        "rejectionReason": "", "flags": ["short"],
    },
    "memory/curiosity/questions/answered": {
        "id": "q-1", "question": "What do you do in winter?", "answer": {"content": "I mend the nets by the stove."},
        "response": "I mend nets.", "answeredAt": TIME, "askedAt": TIME, "timestamp": TIME, "createdAt": TIME,
        "sessionId": "s-2",
    },
    "persona/therapy": {
        "sessionId": "t-1", "createdAt": TIME, "timestamp": TIME,
        "questions": [{"id": "a", "prompt": "What calms you?"}, {"id": "b", "prompt": "What else?"}],
        "answers": [{"questionId": "a", "content": "The sound of the tide at night.", "capturedAt": TIME}],
    },
}  # fmt: skip
CORE = {"identity": {"humanName": "Ann Field", "aliases": ["Annie"], "name": "Twin"}}
USERS = {"users": [{"username": "zoe", "metadata": {"profileStorage": {"path": "/nowhere/zoe"}}}]}
