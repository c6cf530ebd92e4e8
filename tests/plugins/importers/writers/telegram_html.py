"""Telegram Desktop's pages of a chat; the next page begins after 10 messages here."""

from __future__ import annotations

from html import escape
from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Said, Talk

FORMAT = "telegram_html"
KEEPS = Keeps(wall=True, replies=True)
OWNERS = (OWNER,)
_A_PAGE = 10


def write(folder: Path, talks: list[Talk]) -> None:
    """Write a folder a talk."""
    for number, talk in enumerate(talks):
        place = folder / "chats" / f"chat_{number:03}"
        place.mkdir(parents=True)
        for start in range(0, len(talk.said), _A_PAGE):
            name = f"messages{start // _A_PAGE + 1 if start else ''}.html"
            (place / name).write_text(_page(talk, start), "utf-8")


def _page(talk: Talk, start: int) -> str:
    before = talk.said[start - 1].sender if start else ""
    blocks = ['     <div class="message service" id="message-1"><div class="body details">\n13 May\n</div></div>']
    for said in talk.said[start : start + _A_PAGE]:
        blocks.append(_message(said, said.sender == before))
        before = said.sender
    return (
        '<!DOCTYPE html>\n<html>\n <head>\n  <meta charset="utf-8"/>\n<title>Exported Data</title>\n </head>\n <body>\n'
        '  <div class="page_wrap">\n   <div class="page_header">\n    <div class="content">\n'
        f'     <div class="text bold">\n{escape(talk.name)} \n     </div>\n    </div>\n   </div>\n'
        '   <div class="page_body chat_page">\n'
        '    <div class="history">\n' + "\n".join(blocks) + "\n    </div>\n   </div>\n  </div>\n </body>\n</html>\n"
    )


def _message(said: Said, joined: bool) -> str:
    clock = said.time.astimezone(ZONE).strftime("%d.%m.%Y %H:%M:%S UTC+01:00")  # as Telegram has it in summer too
    lines = [
        f'     <div class="message default clearfix{" joined" if joined else ""}" id="message{said.number}">',
        '      <div class="body">', f'       <div class="pull_right date details" title="{clock}">', clock[11:16],
        "       </div>",
    ]  # fmt: skip
    if not joined:
        lines += ['       <div class="from_name">', f"{escape(said.sender)} ", "       </div>"]
    if said.reply_to:
        link = f'<a href="messages2.html#go_to_message{said.reply_to}">this message</a>'
        lines += ['       <div class="reply_to details">', f"In reply to {link}", "       </div>"]
    words = escape(said.text).replace("\n", "<br>")
    lines += ['       <div class="text">', words, "       </div>", "      </div>", "     </div>"]
    return "\n".join(lines)
