"""LINE's saved talks, as a phone in Japanese writes them: tabs, and quotation marks around several lines."""

from __future__ import annotations

from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Talk

FORMAT = "line"
KEEPS = Keeps(precision=60_000, wall=True, deletions=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write one file a talk."""
    for talk in talks:
        lines = [f"[LINE] {talk.name}{'の' if talk.group else 'との'}トーク履歴", "保存日時：2025/02/01 10:00"]
        day = ""
        for one in talk.said:
            shown = one.time.astimezone(ZONE)
            if day != f"{shown:%Y/%m/%d}":
                day = f"{shown:%Y/%m/%d}"
                lines += ["", f"{day}({'月火水木金土日'[shown.weekday()]})"]
            text = f'"{one.text.replace(chr(34), chr(34) * 2)}"' if "\n" in one.text else one.text
            lines.append(f"{shown:%H:%M}\t{one.sender}\t{'メッセージの送信を取り消しました' if one.deleted else text}")
        (folder / f"[LINE] {talk.name}.txt").write_text("\r\n".join(lines) + "\r\n", "utf-8")
