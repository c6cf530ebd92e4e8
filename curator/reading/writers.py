"""Which of MetaHuman's programs wrote a memory, by what it leaves in the file; nothing of it means: the person.

The evidence is read from keys that only those programs write (docs/memories.md lists writer by writer), never from what
a text sounds like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Values of metadata.source and metadata.dialogueSource under which programs report on themselves.
_PROGRAMS: Final = frozenset({
    "agency-system", "big-brother", "cognitive-graph", "curator", "desire-executor", "desire-explorer",
    "desire-generator", "desire-outcome-reviewer", "desire-planner", "drift-monitor", "operator-policy",
    "outcome-reviewer", "photo-ingestor", "response-pipeline", "user-confirmation", "user-feedback",
    "user-revision-request",
})  # fmt: skip
# Types that hold thoughts; a person may capture them by hand, so that the type alone proves nothing.
_INNER: Final = frozenset({
    "inner_dialogue", "reflection", "reflection_summary", "dream", "daydream", "curiosity", "curiosity_question",
    "decision",
})  # fmt: skip
# Tags that MetaHuman's reflector, daydreamer and inner curiosity put on what their model wrote.
_MODEL_TAGS: Final = ("idle-thought", "self-directed-question", "inner-curiosity", "musing")
_CAPTURED: Final = ("web", "mobile", "cli")
_CUT_TRANSCRIPT = 203  # characters: audio-organizer cuts at 200 and adds three dots


def by_program(meta: Mapping[str, Any], tags: tuple[str, ...], event_type: str) -> str:
    """Return in words what says that the memory is a program's notice, card or report; "" where nothing does."""
    if not meta and not tags:
        return ""
    for key in ("source", "dialogueSource"):
        if meta.get(key) in _PROGRAMS:
            return f"metadata.{key} is {meta[key]!r}"
    for key, what in (
        ("photo", "a photo's data"),
        ("calendar", "a calendar card"),
        ("curator", "the curator's report"),
    ):
        if type(meta.get(key)) is dict:
            return f"{what} (metadata.{key})"
    memo = meta.get("voiceMemo")
    if type(memo) is dict and memo.get("hasTranscription") is False:
        return "a voice memo without a transcription"
    if event_type == "inner_dialogue" and (meta.get("agency") is True or "desireId" in meta):
        return "MetaHuman's agency (metadata.agency, desireId)"
    if event_type == "inner_dialogue" and "inner" in tags:
        for pair in (("agency",), ("drift", "analysis"), ("curiosity", "research")):
            if all(tag in tags for tag in pair):
                return f"tags {', '.join((*pair, 'inner'))}"
    if event_type == "action" and "operator" in tags and ("failure" in tags or "success" in tags):
        return "the operator's report on a task (tags)"
    return ""


def by_tool(meta: Mapping[str, Any], event_type: str) -> str:
    """Return in words what says that a skill wrote the memory down as its own record; "" where nothing does."""
    if event_type in ("file_read", "file_write") and type(meta.get("filePath")) is str:
        return "a record of a file that a skill read or wrote (metadata.filePath)"
    if type(meta.get("approvalId")) is str:
        return "a record of an approval (metadata.approvalId)"
    if event_type == "task" and type(meta.get("skillId")) is str:
        return f"a record of the skill {meta['skillId'][:40]} (metadata.skillId)"
    return ""


def by_model(data: Mapping[str, Any], meta: Mapping[str, Any], tags: tuple[str, ...], event_type: str) -> str:
    """Return in words what says that MetaHuman's model wrote the text; "" where nothing does."""
    source = meta.get("dialogueSource")
    if type(source) is str and source:
        return f"metadata.dialogueSource is {source[:40]!r}"
    if event_type in _INNER:
        return _inner(data, meta, tags, event_type)
    content = data.get("content")
    if type(content) is not str:
        return ""
    if event_type == "summary" and ("summary-only" in tags or content.startswith("Conversation Summary:")):
        return "a summary by MetaHuman's summarizer"
    if event_type == "audio" and "transcript" in tags and not _transcript(content, tags, meta):
        return "a summary of a recording by MetaHuman's audio organizer"
    if event_type == "conversation" and {"curiosity", "assistant"} <= set(tags) and not data.get("response"):
        return "a question of MetaHuman's curiosity service (tags)"
    if event_type == "card_response" and content.startswith("Card Response ("):
        return "a card of the response pipeline"
    return ""


def _inner(data: Mapping[str, Any], meta: Mapping[str, Any], tags: tuple[str, ...], event_type: str) -> str:
    if type(meta.get("innerCuriosity")) is dict:
        return "metadata.innerCuriosity"
    tag = next((tag for tag in _MODEL_TAGS if tag in tags), "")
    if tag:
        return f"tag {tag!r}"
    for key in ("model", "generatedBy"):
        if type(meta.get(key)) is str and meta[key]:
            return f"metadata.{key} is {meta[key][:40]!r}"
    if event_type in ("dream", "daydream"):  # the dreamer, which wrote these keys beside the content at first
        for place, name in ((meta, "metadata."), (data, "")):
            if type(place.get("sources")) is list and type(place.get("confidence")) in (int, float):
                return f"{name}sources and {name}confidence"
    return ""


def _transcript(content: str, tags: tuple[str, ...], meta: Mapping[str, Any]) -> bool:
    """Tell a transcript's own words, whole or cut at 200 characters, from the summary that a model made of it."""
    cut = len(content) == _CUT_TRANSCRIPT and content.endswith("...")
    return cut or meta.get("rawText") is True or set(tags) == {"audio", "transcript"}


def captured(meta: Mapping[str, Any]) -> bool:
    """Tell whether the person typed the memory in (`mh capture`, the web page, the app)."""
    return meta.get("source") in _CAPTURED
