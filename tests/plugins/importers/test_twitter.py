"""X's archive: tweets as they were written, not as the service stores them, and direct messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons, said
from importers.reading_fixtures import read_items, readers


def script(folder: Path, name: str, records: list[Any], part: int = 0, end: str = "") -> Path:
    kind = name.partition("-part")[0].replace("-", "_")
    return put(folder, f"data/{name}.js", f"window.YTD.{kind}.part{part} = {json.dumps(records)}{end}")


def account(folder: Path) -> Path:
    return script(folder, "account", [{"account": {"accountId": "42", "username": "mara"}}])


def tweet(name: str, text: str, second: int = 0, **more: Any) -> dict[str, Any]:
    when = f"Mon Jan 13 09:00:{second:02} +0000 2025"
    return {"tweet": {"id_str": name, "created_at": when, "full_text": text, **more}}


def posts(folder: Path, *tweets: dict[str, Any]) -> list[Item]:
    account(folder)
    return read_items(script(folder, "tweets", [*tweets]), "twitter")


def messages(items: list[Item]) -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage)]


def test_a_tweet_is_read_as_it_was_written(tmp_path: Path) -> None:
    urls = {"urls": [{"url": "https://t.co/ab", "expanded_url": "https://example.org/\\1"}]}
    media = {"media": [{"url": "https://t.co/pic"}, {"url": "https://t.co/pic"}]}
    reply = {"in_reply_to_status_id_str": "900"}
    items = posts(
        tmp_path,
        tweet("1", "Tom &amp; I &lt;3 &amp;lt; &copy; https://t.co/ab", 1, entities=urls),
        tweet("2", "look https://t.co/pic", 2, entities=media, extended_entities=media),
        tweet("3", "@jonp @ida agreed, ask @tom", 3, **reply),
        tweet("4", "@jonp hello", 4, in_reply_to_screen_name="jonp"),
        tweet("5", "@jonp @ida", 5, **reply),
        tweet("6", "https://t.co/pic", 6, entities=media),
        tweet("7", "RT @harbour: storm", 7),
        tweet("8", "odd", created_at="yesterday"),
    )
    assert said(items, "post") == [
        "Tom & I <3 &lt; &copy; https://example.org/\\1", "look", "agreed, ask @tom", "@jonp hello",
    ]  # fmt: skip
    assert [(one.attachments, one.reply_to) for one in messages(items)] == [(0, ""), (2, ""), (0, "900"), (0, "")]
    assert {(one.sender, one.is_owner, one.conversation) for one in messages(items)} == {("mara", True, "timeline")}
    assert messages(items)[0].time == "2025-01-13T09:00:01Z"
    assert reasons(items) == {"empty": 1, "media_only": 1, "forwarded": 1, "bad_shape": 1}


def test_a_long_tweet_is_read_whole_and_once(tmp_path: Path) -> None:
    long = "word " * 70 + "end"
    core = {
        "text": f"@jonp {long} https://t.co/n",
        "urls": [{"shortUrl": "https://t.co/n", "expandedUrl": "https://e.org"}],
    }
    notes = [
        {"noteTweet": {"createdAt": "2025-01-13T09:00:01.000Z", "core": core}},
        {"noteTweet": {"createdAt": "2025-01-13T09:00:30.000Z", "core": {"text": "alone"}}},
        {"noteTweet": {"createdAt": "2025-01-13T09:00:40.000Z", "core": {"text": f"gone {long}"}}},
    ]
    script(tmp_path, "note-tweet", notes)
    script(tmp_path, "deleted-tweets", [tweet("9", f"gone {long[:270]}…", 40)])
    items = posts(
        tmp_path, tweet("1", "word", 1),
        tweet("2", f"@jonp {long[:270]}… https://t.co/xyz", 1, in_reply_to_status_id_str="900"),
    )  # fmt: skip
    assert sorted(said(items, "post")) == ["alone", "word", f"{long} https://e.org"]
    assert reasons(items) == {"duplicate": 1, "deleted": 1}


def test_parts_likes_and_communities(tmp_path: Path) -> None:
    script(tmp_path, "tweets-part1", [tweet("0", "older")], 1, ";\n")
    script(tmp_path, "community-tweet", [tweet("3", "to all")])
    script(tmp_path, "like", [{"like": {"fullText": "theirs"}}, {"like": {}}])
    script(tmp_path, "follower", [{"follower": {}}])
    assert said(posts(tmp_path, tweet("1", "new; er", 1)), "post") == ["older", "new; er", "to all"]
    assert reasons(read_items(tmp_path, "twitter")) == {"not_authored": 2}


def direct(name: str, sender: str, text: str, second: int, **more: Any) -> dict[str, Any]:
    when = f"2025-01-13T10:00:{second:02}.000Z"
    return {"messageCreate": {"id": name, "senderId": sender, "text": text, "createdAt": when, **more}}


def talk(name: str, *records: dict[str, Any]) -> dict[str, Any]:
    return {"dmConversation": {"conversationId": name, "messages": [*records]}}


def test_direct_messages_are_read_from_the_end(tmp_path: Path) -> None:
    account(tmp_path)
    link = {"url": "https://t.co/dm", "expanded": "https://x.com/messages/media/1"}
    script(tmp_path, "direct-messages", [
        talk("42-77", direct("3", "42", "https://t.co/dm", 20, urls=[link], mediaUrls=["a.jpg"]),
             direct("2", "42", "yes &amp; no", 10, editHistory=[{}]), direct("1", "77", "sailing?", 0),
             direct("0", "77", "", 0), {"reactionCreate": {}}, {}),
        talk("42-78", direct("4", "78", "hey https://t.co/dm", 0, urls=[{**link, "expanded": "https://e.org"}])),
    ])  # fmt: skip
    script(tmp_path, "direct-messages-group", [talk("88", {"joinConversation": {}}, direct("9", "42", "all", 5))])
    items = read_items(tmp_path, "twitter")
    assert [(one.conversation, one.sender, one.is_owner, one.text, one.edited) for one in messages(items)] == [
        ("42-78", "78", False, "hey https://e.org", False), ("42-77", "77", False, "sailing?", False),
        ("42-77", "mara", True, "yes &amp; no", True), ("88", "mara", True, "all", False),
    ]  # fmt: skip
    assert reasons(items) == {"media_only": 1, "empty": 1, "unsupported": 2, "system": 1}


def test_without_the_account_only_the_tweets_are_the_persons(tmp_path: Path) -> None:
    script(tmp_path, "direct-messages", [talk("42-77", direct("1", "77", "sailing?", 0))])
    script(tmp_path, "tweets", [tweet("1", "mine")])
    assert [one.is_owner for one in messages(read_items(tmp_path, "twitter"))] == [True, None]
    named = Reading(("77",))
    assert [one.is_owner for one in messages(read_items(tmp_path, "twitter", named))] == [True, True]
    assert any("account.js" in note for note in named.notes)


def test_older_archives_and_those_without_words_are_named(tmp_path: Path) -> None:
    put(tmp_path, "data/js/tweets/2013_01.js", "Grailbird.data.tweets_2013_01 = [ ]")
    with opened([tmp_path]) as export:
        answer = readers()["twitter"].find(export)
    assert isinstance(answer, Differs) and "2019" in answer.what
    with opened([account(tmp_path / "b")]) as export:
        assert isinstance(readers()["twitter"].find(export), Differs)
