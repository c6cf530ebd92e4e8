"""WeChat's chats as PyWxDump, MemoTrace and WeFlow export them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from curator.importing.dates.clocks import WallClock
from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons, said
from importers.reading_fixtures import read_items, readers

HEAD = "id,MsgSvrID,type_name,is_sender,talker,room_name,msg,src,CreateTime\n"


def read_wechat(folder: Path) -> list[Item]:
    return read_items(folder, "wechat", Reading((), WallClock(ZoneInfo("Asia/Shanghai"))))


def messages(items: list[Item]) -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage)]


def test_pages_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    put(tmp_path, "csv/jon/jon_10000_15000.csv", HEAD + "3,7003,文本,1,mara,jon,third,,2025-01-13 17:00:05\n")
    put(tmp_path, "csv/jon/jon_5000_10000.csv", HEAD + "2,7002,引用回复,0,jon,jon,NA,x,2025/1/13 17:00\n")
    put(tmp_path, "csv/jon/jon_0_5000.csv", HEAD + '1,0,文本,0,jon,jon,"one,\ntwo",,2025/1/13 9:05\n')
    kept = messages(read_wechat(tmp_path))
    assert [(one.time, one.sender, one.is_owner, one.text, one.id) for one in kept] == [
        ("2025-01-13T01:05:00Z", "jon", False, "one,\ntwo", ""),
        ("2025-01-13T09:00:00Z", "jon", False, "NA", "7002"),
        ("2025-01-13T09:00:05Z", "mara", True, "third", "7003"),
    ]
    assert {one.time_source for one in kept} == {"wall"}


def test_what_is_no_message_is_counted_by_its_kind(tmp_path: Path) -> None:
    kinds = (
        "图片 语音 视频 动画表情 系统通知 消息撤回57 拍一拍 转账 位置 文件 (分享)小程序 语音通话 视频通话 "
        "合并转发的聊天记录 未知-11000,0 添加好友 名片 卡片式链接"
    ).split()
    rows = [f'{n},{n},"{kind}",0,jon,jon,x,,2025-01-13 17:00:00' for n, kind in enumerate(kinds, 1)]
    rows += [
        '30,30,文本,0,jon,jon,"<?xml version=""1.0""?><msg/>",,2025-01-13 17:00:00',
        "31,31,文本,0,jon,jon,,,2025-01-13 17:00:00",
        "32,32,文本,2,jon,jon,x,,2025-01-13 17:00:00", "33,33,文本,0,jon,jon,x,,at noon", "34,34,文本",
    ]  # fmt: skip
    items = read_wechat(put(tmp_path, "jon_0_5000.csv", HEAD + "\n".join(rows)))
    assert messages(items) == []
    assert reasons(items) == {
        "media_only": 6, "sticker": 1, "system": 3, "deleted": 1, "not_words": 4, "call": 2, "forwarded": 1,
        "unsupported": 1, "empty": 1, "bad_shape": 2, "unrecognised_line": 1,
    }  # fmt: skip


def test_groups_older_columns_and_chinese_windows(tmp_path: Path) -> None:
    head = "id,MsgSvrID,type_name,is_sender,talker,room_name,content,CreateTime\n"
    content = json.dumps({"msg": "wxid_ida:\nlist:\n- a", "src": ""}).replace('"', '""')
    plain = json.dumps({"msg": "list:\n- b"}).replace('"', '""')
    rows = (
        f'1,1,文本,0,7@chatroom,7@chatroom,"{content}",1736758800\n2,2,文本,0,wxid_x,7@chatroom,"{plain}",1736758800\n'
    )
    path = tmp_path / "crew.csv"
    path.write_bytes((head + rows + "3,3,图片,0,x,7@chatroom,{},1736758800\n").encode("gb18030"))
    items = read_wechat(tmp_path)
    assert [(one.sender, one.text, one.time, one.time_source) for one in messages(items)] == [
        ("wxid_ida", "list:\n- a", "2025-01-13T09:00:00Z", "exact"),
        ("wxid_x", "list:\n- b", "2025-01-13T09:00:00Z", "exact"),
    ]
    assert reasons(items) == {"media_only": 1}


def test_memotrace_has_numbers_for_kinds(tmp_path: Path) -> None:
    head = "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender\n"
    rows = [
        f"{n},5,{kind},{sub},{own},1736758800,2,{text},2025-01-13 17:00:00,Jon,jonp,{sender}"
        for n, (kind, sub, own, text, sender) in enumerate(
            [(1, 0, 0, "hi", "jonp"), (1, 0, 1, "ho", ""), (3, 0, 0, "", ""), (47, 0, 0, "", ""),
             (10000, 0, 0, "x", ""), (49, 57, 1, "quoted", ""), (49, 6, 1, "", ""), (50, 0, 0, "", ""),
             (77, 0, 0, "x", "")]
        )
    ]  # fmt: skip
    items = read_wechat(put(tmp_path, "messages.csv", head + "\n".join(rows)))
    assert [(one.sender, one.is_owner, one.text, one.conversation) for one in messages(items)] == [
        ("jonp", False, "hi", "Jon"), ("me", True, "ho", "Jon"), ("me", True, "quoted", "Jon"),
    ]  # fmt: skip
    assert reasons(items) == {"media_only": 1, "sticker": 1, "system": 1, "not_words": 1, "call": 1, "unsupported": 1}


def test_weflow_tells_the_side_by_is_send_and_the_kind_by_its_name(tmp_path: Path) -> None:
    def one(number: int, kind: str, content: Any, own: Any = 0, **more: Any) -> dict[str, Any]:
        made = {"localId": number, "createTime": 1736758800 + number, "type": kind, "localType": 1, "content": content}
        return {**made, "isSend": own, "senderUsername": "wxid_jon", "senderDisplayName": "Jon", **more}

    session = {"wxid": "wxid_jon", "displayName": "Jon Pell", "type": "私聊", "avatar": "A" * 100_000}
    whole = [
        one(1, "文本消息", "在吗"), one(2, "文本消息", "在", 1, senderDisplayName="Mara"),
        one(3, "引用消息", "可以([引用 Mara：我下周一到长沙])"), one(4, "动画表情", "[表情]"),
        one(5, "系统消息", "x", None), one(6, "聊天记录合并转发", "x"), one(7, "红包卡片", "x"),
        one(8, "未知类型", "x"), one(9, "文本消息", None), {},
    ]  # fmt: skip
    items = read_wechat(put(tmp_path, "x.json", {"weflow": {"version": "1"}, "session": session, "messages": whole}))
    assert [(m.conversation, m.sender, m.is_owner, m.text, m.quote) for m in messages(items)] == [
        ("Jon Pell", "Jon", False, "在吗", ""), ("Jon Pell", "Mara", True, "在", ""),
        ("Jon Pell", "Jon", False, "可以", "我下周一到长沙"),
    ]  # fmt: skip
    assert reasons(items) == {
        "sticker": 1, "system": 1, "forwarded": 1, "not_words": 1, "unsupported": 1, "empty": 1, "bad_shape": 1,
    }  # fmt: skip
    assert said(items, "message")[0] == "在吗"


def test_a_sheet_of_excel_and_a_missing_column_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    with opened([tmp_path]) as export:
        answer = readers()["wechat"].find(export)
    assert isinstance(answer, Differs) and "Excel" in answer.what
    put(tmp_path / "b", "a.csv", HEAD.replace("is_sender,", ""))
    with opened([tmp_path / "b"]) as export:
        answer = readers()["wechat"].find(export)
    assert isinstance(answer, Differs) and "is_sender" in answer.what
