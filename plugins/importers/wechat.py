"""WeChat's chats as other programs export them: the CSV files of PyWxDump (which WeClone reads) and of MemoTrace, and
the JSON of WeFlow."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from curator import (
    Damaged,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    csv_rows,
    first_lines,
    from_epoch,
    hookimpl,
    json_items,
    outline,
    printable,
)

HOW = (
    "WeChat itself exports nothing. Name the CSV files of PyWxDump (the folder `csv` that WeClone reads) or of "
    "MemoTrace, or the JSON files of WeFlow."
)
_DUMP = {"MsgSvrID", "type_name", "is_sender", "CreateTime"}
_MEMO = {"localId", "TalkerId", "Type", "IsSender", "CreateTime", "StrContent"}
# What a message is, by the beginning of the exporter's name for its kind (first match wins), or by WeChat's number.
_KINDS = (
    ("文本", ""), ("引用", ""), ("动画表情", "sticker"), ("用户上传的GIF", "sticker"), ("系统", "system"),
    ("消息撤回", "deleted"), ("撤回", "deleted"), ("拍一拍", "system"), ("添加好友", "system"), ("邀请加群", "system"),
    ("企业微信", "system"), ("群公告", "system"), ("语音通话", "call"), ("视频通话", "call"), ("通话", "call"),
    ("图片", "media_only"), ("语音", "media_only"), ("视频", "media_only"), ("文件", "media_only"),
    ("位置", "media_only"), ("名片", "media_only"), ("推荐公众号", "media_only"), ("合并转发", "forwarded"),
    ("聊天记录", "forwarded"), ("转账", "not_words"), ("红包", "not_words"), ("赠送红包", "not_words"),
    ("接龙", "not_words"), ("(分享)", "not_words"), ("小程序", "not_words"), ("卡片", "not_words"),
    ("链接", "not_words"), ("图文", "not_words"), ("游戏", "not_words"),
)  # fmt: skip
_NUMBERS = {
    "1": "文本", "3": "图片", "34": "语音", "42": "名片", "43": "视频", "47": "动画表情", "48": "位置", "49": "(分享)",
    "50": "通话", "66": "名片", "10000": "系统", "10002": "撤回", "49/57": "引用", "49/19": "聊天记录",
}  # fmt: skip
_CLOCK = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})[ T](\d{1,2}):(\d\d)(?::(\d\d))?")
_NAMED = re.compile(r"(\S{1,80}):\n")
_PAGES = re.compile(r"(\d+)")
_QUOTE = re.compile(r"(?s:(.*?)\s*[(（]?\[引用 [^：:\]]{0,80}[：:](.*)\][)）]?)")


@hookimpl
def register_importers() -> list[Importer]:
    """Read WeChat's chats."""
    return [Importer("wechat", "WeChat", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | Differs | None:
    """Take the CSV files with the columns of PyWxDump or MemoTrace, and WeFlow's JSON."""
    tables = export.ending(".csv")
    files = [entry for entry in tables if _columns(entry) >= _DUMP or _columns(entry) >= _MEMO]
    files += [one for one in export.ending(".json") if {"weflow", "session.wxid", "messages"} <= outline(one)]
    if files:
        return Found(tuple(sorted(files, key=_pages)), "chats of another program's export")
    if any(entry.head(8).startswith((b"\xd0\xcf\x11\xe0", b"PK\3\4")) for entry in tables):
        return Differs("a file of Excel with the ending .csv: save it as CSV, encoded in UTF-8")
    near = next((one for one in tables if len(_DUMP & _columns(one)) == 3 or len(_MEMO & _columns(one)) >= 4), None)
    if near:
        missing = min(_DUMP - _columns(near), _MEMO - _columns(near), key=len)
        return Differs(f"{near.shown} has no column {', '.join(sorted(missing))}")
    return None


def _columns(entry: Entry) -> set[str]:
    return {name.strip(' "\r') for name in next(iter(first_lines(entry, 1)), "").split(",")}


def _pages(entry: Entry) -> list[Any]:
    """Order `jon_5000_10000.csv` behind `jon_0_5000.csv`, as numbers and not as texts."""
    return [part.zfill(20) if part.isdigit() else part for part in _PAGES.split(entry.name)]


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each file."""
    for entry in found.entries:
        if entry.name.casefold().endswith(".json"):
            session: Any = next(json_items(entry, "session"), {})
            one = partial(_of_weflow, session=session, where=entry.shown)
            items = reading.each(json_items(entry, "messages.item"), f"{entry.shown}: message", one)
        else:
            items = _of_rows(entry, reading)
        yield from reading.guarded(entry, items)


def _of_rows(entry: Entry, reading: Reading) -> Iterator[Item]:
    read_row = _of_dump if _columns(entry) >= _DUMP else _of_memo
    for number, row in csv_rows(entry, _encoding(entry)):
        where = f"{entry.shown}:{number}"
        if isinstance(row, Damaged):
            yield Skip(where, "unrecognised_line", row.what)
        else:
            yield from reading.each((row,), where, partial(read_row, where=where, reading=reading, entry=entry))


def _encoding(entry: Entry) -> str:
    """Return "gb18030" for a file of a Chinese Windows, else "utf-8"."""
    head = entry.head().rpartition(b"\n")[0]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        try:
            head.decode("gb18030")
        except UnicodeDecodeError:
            return "utf-8"
        return "utf-8" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "gb18030"
    return "utf-8"


def _of_dump(row: dict[str, str], where: str, reading: Reading, entry: Entry) -> Iterator[Item]:
    """Read a row of PyWxDump; older ones have `content`, JSON with msg and src, in the place of two columns."""
    text = row["msg"] if "msg" in row else str(json.loads(row["content"]).get("msg") or "")
    room = row.get("room_name") or row.get("talker") or entry.folder.rpartition("/")[2]
    time, source = _time(row["CreateTime"], room, reading)
    sender, own = row.get("talker") or room, _own(row["is_sender"])
    name = "" if row["MsgSvrID"].strip("0 ") == "" else row["MsgSvrID"]
    yield _kept(ImportedMessage(name, room, time, sender, own, text, time_source=source), row["type_name"], where)


def _of_memo(row: dict[str, str], where: str, reading: Reading, entry: Entry) -> Iterator[Item]:
    """Read a row of MemoTrace."""
    number, own = row["Type"].strip(), _own(row["IsSender"])
    kind = _NUMBERS.get(f"{number}/{row.get('SubType', '').strip()}") or _NUMBERS.get(number, number)
    room = row.get("Remark") or row.get("NickName") or row["TalkerId"]
    time, source = _time(row["CreateTime"], room, reading)
    name, sender = f"{row['localId']}-{row['CreateTime']}", row.get("Sender") or ("me" if own else room)
    made = ImportedMessage(name, room, time, sender, own, row["StrContent"], time_source=source)
    yield _kept(msgspec.structs.replace(made, conversation_id=row["TalkerId"]), kind, where)


def _of_weflow(record: dict[str, Any], session: dict[str, Any], where: str) -> Iterator[Item]:
    """Read a message of WeFlow; its `localType` is not to be trusted."""
    room = next((str(session[key]) for key in ("displayName", "remark", "nickname", "wxid") if session.get(key)), "")
    number, account, words = str(record.get("localId")), str(record.get("senderUsername") or ""), record.get("content")
    made = ImportedMessage(
        id=f"{number}-{record['createTime']}",
        conversation=room or "conversation",
        conversation_id=str(session.get("wxid") or ""),
        time=from_epoch(record["createTime"]),
        sender=str(record.get("senderDisplayName") or account),
        sender_id=account,
        is_owner=_own(record.get("isSend")),
        text=words if isinstance(words, str) else "",
    )
    yield _kept(made, str(record["type"]), f"{where}: message {printable(number)}")


def _kept(message: ImportedMessage, kind: str, where: str) -> Item:
    """Return a message, or why there is none, by the exporter's name for its kind."""
    reason = next((reason for start, reason in _KINDS if kind.strip().startswith(start)), "unsupported")
    text, sender, quote = message.text, message.sender, ""
    if kind.startswith("引用") and (quoted := _QUOTE.fullmatch(text)):
        text, quote = quoted[1], quoted[2]
    named = _NAMED.match(text) if "@chatroom" in f"{message.conversation}{message.conversation_id}{sender}" else None
    if named and (sender.endswith("@chatroom") or named[1] == sender or named[1].startswith("wxid_")):
        text, sender = text[named.end() :], named[1]  # as raw databases have it in groups
    if not reason and not text.strip():
        reason = "empty"
    elif not reason and text.lstrip().startswith(("<?xml", "<msg>", "<sysmsg", "<appmsg")):
        reason = "not_words"  # some exporters call what mini programs share a text
    if reason:
        return Skip(where, reason, printable(kind[:40]) if reason == "unsupported" else "")
    return msgspec.structs.replace(message, text=text, sender=sender, quote=quote)


def _own(value: Any) -> bool | None:
    """Tell by 1 and 0 whether the person sent it; None where nothing is there. Raises ValueError."""
    return None if value in (None, "") else {"1": True, "0": False, "True": True, "False": False}[str(value).strip()]


def _time(text: str, conversation: str, reading: Reading) -> tuple[str, str]:
    """Return a time and how it is known: a number of seconds, or what a clock showed. Raises ValueError."""
    if text.strip().isdigit():
        return from_epoch(text.strip(), 1000 if len(text.strip()) > 11 else 1), "exact"
    shown = _CLOCK.fullmatch(text.strip())
    if not shown:
        raise ValueError(f"no time: {text[:40]}")
    year, month, day, hour, minute, second = (int(one or 0) for one in shown.groups())
    return reading.clock.utc(datetime(year, month, day, hour, minute, second), conversation), reading.clock.source
