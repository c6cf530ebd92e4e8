"""Whose words a mail holds: quotes, forwards and signatures are cut in many languages, and nothing else."""

from __future__ import annotations

import textwrap
from typing import Final

import pytest

from curator import own_words, passes_on
from curator.importing.texts.quotes import plain_of_html, unflowed

JON: Final = "Jon Pell <jon@example.net>"
# The line above a quote as Gmail, Thunderbird and Apple Mail write it.
HEADERS: Final = {
    "en": f"On Mon, Jan 13, 2025 at 10:00\u202fAM {JON} wrote:",
    "de": f"Am Mo., 13. Jan. 2025 um 10:00 Uhr schrieb {JON}:",
    "fr": f"Le lun. 13 janv. 2025 à 10:00, {JON} a écrit :",
    "es": "El lun, 13 ene 2025 a las 10:00, Jon Pell (<jon@example.net>) escribió:",
    "it": f"Il giorno lun 13 gen 2025 alle ore 10:00 {JON} ha scritto:",
    "pt": f"Em seg., 13 de jan. de 2025 às 10:00, {JON} escreveu:",
    "pt-PT": f"{JON} escreveu (segunda, 13/01/2025 à(s) 10:00):",
    "ru": f"пн, 13 янв. 2025 г. в 10:00, {JON}:",
    "zh": f"{JON} 于2025年1月13日周一 10:00写道：",
    "zh-TW": f"{JON} 於 2025年1月13日 週一 上午10:00寫道：",
    "ja": f"2025年1月13日(月) 10:00 {JON}:",
    "ko": f"2025년 1월 13일 (월) 오전 10:00, {JON}님이 작성:",
    "ar": "في الاثنين، 13 يناير 2025 في 10:00 ص تمت كتابة ما يلي بواسطة Jon Pell <\u202ajon@example.net\u202c\u200f>:",
    "hi": f"सोम, 13 जन॰ 2025 को 10:00 am बजे को {JON} ने लिखा:",
    "th": f"ในวันที่ จ. 13 ม.ค. 2025 เวลา 10:00 {JON} เขียนว่า:",
    "pl": f"pon., 13 sty 2025 o 10:00 {JON} napisał(a):",
    "hu": f"{JON} ezt írta (időpont: 2025. jan. 13., H, 10:00):",
    "nl": f"Op ma 13 jan 2025 om 10:00 schreef {JON}:",
    "sv": f"Den mån 13 jan. 2025 kl 10:00 skrev {JON}:",
    "tr": f"{JON}, 13 Oca 2025 Pzt, 10:00 tarihinde şunu yazdı:",
    "Thunderbird en": "On 13/01/2025 10:00, Jon Pell wrote:",
    "Thunderbird de": "Am 13.01.25 um 10:00 schrieb Jon Pell:",
    "Thunderbird fr": "Le 13/01/2025 à 10:00, Jon Pell a écrit :",
    "Thunderbird ru": "13.01.2025 10:00, Jon Pell пишет:",
    "Thunderbird zh": "在 2025/1/13 10:00, Jon Pell 写道:",
    "Thunderbird zh-TW": "於 2025/1/13 上午 10:00, Jon Pell 提到:",
    "Apple ja": f"2025/01/13 10:00、{JON}のメール:",
    "Apple ko": f"2025. 1. 13. 오전 10:00, {JON} 작성:",
    "Apple zh": f"2025年1月13日 10:00，{JON} 写道：",
    "Apple ru": f"13 янв. 2025 г., в 10:00, {JON} написал(а):",
    "an unknown language": f"Dydd Llun 13 Ionawr 2025, 10:00, {JON} dywedodd:",
}
# Outlook's block of headers above the mail that is answered.
BLOCKS: Final = {
    "en": ("From: Jon", "Sent: Tuesday, January 14, 2025 3:00 PM", "To: Mara", "Subject: Boat"),
    "de": ("Von: Jon", "Gesendet: Dienstag, 14. Januar 2025 15:00", "An: Mara", "Betreff: Boot"),
    "fr": ("De : Jon", "Envoyé : mardi 14 janvier 2025 15:00", "À : Mara", "Objet : Bateau"),
    "es": ("De: Jon", "Enviado: martes, 14 de enero de 2025 15:00", "Para: Mara", "Asunto: Barco"),
    "it": ("Da: Jon", "Inviato: martedì 14 gennaio 2025 15:00", "A: Mara", "Oggetto: Barca"),
    "pt": ("De: Jon", "Enviado: terça-feira, 14 de janeiro de 2025 15:00", "Para: Mara", "Assunto: Barco"),
    "ru": ("От: Jon", "Отправлено: вторник, 14 января 2025 г. 15:00", "Кому: Mara", "Тема: Лодка"),
    "zh": ("发件人: Jon", "发送时间: 2025年1月14日 15:00", "收件人: Mara", "主题: 船"),
    "zh-TW": ("寄件者: Jon", "寄件日期: 2025年1月14日 15:00", "收件者: Mara", "主旨: 船"),
    "ja": ("差出人: Jon", "送信日時: 2025年1月14日 15:00", "宛先: Mara", "件名: 船"),
    "ko": ("보낸 사람: Jon", "보낸 날짜: 2025년 1월 14일 화요일 15:00", "받는 사람: Mara", "제목: 배"),
    "ar": ("من: Jon", "تاريخ الإرسال: 14/01/2025 15:00", "إلى: Mara", "الموضوع: القارب"),
    "th": ("จาก: Jon", "ส่ง: 14 มกราคม 2025 15:00", "ถึง: Mara", "เรื่อง: เรือ"),
    "hi": ("प्रेषक: Jon", "दिनांक: 14 जनवरी 2025", "प्रति: Mara", "विषय: नाव"),
    "bold": ("*From:* Jon", "*Sent:* Tuesday, January 14, 2025 3:00 PM", "*To:* Mara", "*Subject:* Boat"),
    "wrapped": ("From: Jon", "Sent: Tuesday", "To: Mara <mara@example.org>; Petra Long Name", "  <petra@example.org>",
                "Cc: Crew", "Subject: Boat"),
}  # fmt: skip
MARKERS: Final = (
    "-----Original Message-----", "-----Ursprüngliche Nachricht-----", "-----Message d'origine-----",
    "-----Mensaje original-----", "-----Messaggio originale-----", "-----Mensagem original-----",
    "-----Исходное сообщение-----", "------------------ 原始邮件 ------------------", "-----元のメッセージ-----",
    "-----원본 메시지-----", "-----الرسالة الأصلية-----", "-----मूल संदेश-----", "-----ข้อความต้นฉบับ-----",
)  # fmt: skip
FORWARDS: Final = (
    "---------- Forwarded message ---------", "-------- Forwarded Message --------",
    "-------- Weitergeleitete Nachricht --------", "---------- Message transféré ----------",
    "Begin forwarded message:",
    "---------- Mensaje reenviado ----------", "---------- Messaggio inoltrato ----------",
    "---------- Mensagem encaminhada ----------", "-------- Пересылаемое сообщение --------",
    "---------- 转发邮件 ----------", "---------- 転送メッセージ ----------", "---------- 전달된 메시지 ----------",
    "---------- رسالة محولة ----------", "---------- अग्रेषित संदेश ----------", "---------- ข้อความที่ส่งต่อ ----------",
    "Anfang der weitergeleiteten Nachricht:", "Начало переадресованного сообщения:",
)  # fmt: skip
DEVICE_LINES: Final = (
    "Sent from my iPhone", "Sent from my Galaxy", "Sent from Mail for Windows", "Get Outlook for iOS<https://aka.ms/o>",
    "Von meinem iPhone gesendet", "Gesendet von Outlook für Android", "Envoyé de mon iPhone", "Enviado desde mi iPhone",
    "Inviato da iPhone", "Enviado do meu iPhone", "Отправлено с iPhone", "发自我的 iPhone", "從我的 iPhone 傳送",
    "iPhoneから送信", "나의 iPhone에서 보냄", "أُرسلت من الـ iPhone", "मेरे iPhone से भेजा गया", "ส่งจาก iPhone ของฉัน",
    "Verstuurd vanaf mijn iPad", "Wysłane z iPhone'a", "Skickat från min iPhone", "iPhone'umdan gönderildi",
)  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("width", [200, 78, 50, 40])
@pytest.mark.parametrize("below", ["> theirs\n> more", "\n> theirs", "\ntheirs, without a mark\nmore"])
def test_a_header_of_a_quote_is_cut_in_any_language_however_it_is_wrapped(name: str, width: int, below: str) -> None:
    header = "\n".join(textwrap.wrap(HEADERS[name], width, break_long_words=False, break_on_hyphens=False))
    for mine in ("Mine.", "Mine, of the 13th\nand more"):
        assert own_words(f"{mine}\n\n{header}\n{below}").text == mine
    assert own_words(f"Mine.\n{header}\n{below}").text == "Mine."


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("above", ["", "________________________________\n", "-----Original Message-----\n"])
def test_a_block_of_headers_begins_another_mail(name: str, above: str) -> None:
    text = "Mine.\n\n" + above + "\n".join(BLOCKS[name]) + "\n\ntheirs"
    assert own_words(text) == ("Mine.", "", False)
    assert own_words(text.replace("\n", "\r\n")).text == "Mine."


@pytest.mark.parametrize("marker", MARKERS)
def test_what_stands_below_the_mark_of_an_answered_mail_is_cut(marker: str) -> None:
    assert own_words(f"Mine.\n\n{marker}\nJon\ntheirs") == ("Mine.", "", False)


@pytest.mark.parametrize("marker", FORWARDS)
def test_what_is_passed_on_is_cut(marker: str) -> None:
    assert own_words(f"Read this.\n\n{marker}\nFrom: Jon\n\ntheirs") == ("Read this.", "", True)
    assert own_words(f"{marker}\n\ntheirs") == ("", "", True)


def test_a_mark_in_an_unknown_language_is_known_by_the_headers_below_it() -> None:
    text = "Mine.\n\n---------- Neges a anfonwyd ----------\nOddi wrth: Jon\nDyddiad: 13.01.\nPwnc: Cwch\n\ntheirs"
    assert own_words(text).text == "Mine."


@pytest.mark.parametrize("line", DEVICE_LINES)
def test_the_line_of_a_device_is_not_the_persons(line: str) -> None:
    assert own_words(f"Mine.\n\n{line}\n").text == "Mine."
    assert own_words(f"Mine.\n\n{line}\n\n> theirs").text == "Mine."


def test_answers_between_quotes_stay_and_what_they_answer_is_told() -> None:
    said = own_words("> Is the engine in?\nYes, since Friday.\n> And the mast?\n>> old\nNot yet.\n\nIt is only paint.")
    assert said.text == "Yes, since Friday.\nNot yet.\n\nIt is only paint."
    assert said.quote == "Is the engine in?\n\nAnd the mast?"


def test_answers_with_blank_lines_around_them_keep_one() -> None:
    assert own_words("> a?\n\nYes.\n\n> b?\n\nNo.\n").text == "Yes.\n\nNo."


def test_what_stands_for_a_picture_is_cut() -> None:
    assert own_words("one\n[image: boat.png]\ntwo [cid:a1@x]\n\ufffc\n[image] three").text == "one\ntwo \n[image] three"


def test_an_answer_below_a_quote_and_its_header_stays() -> None:
    said = own_words(f"{HEADERS['en']}\n> When?\n\nTuesday.\n\n-- \nMara\n")
    assert said == ("Tuesday.", "When?", False)


def test_a_signature_ends_at_the_quote_below_it() -> None:
    assert own_words("Mine.\n-- \nMara\nSteg 4\n\nOn Mon Jon wrote:\n> q\nAlso mine.").text == "Mine.\n\nAlso mine."


@pytest.mark.parametrize("line", ["-- ", "--", "—", "-- \r"])
def test_a_signature_begins_at_its_line(line: str) -> None:
    assert own_words(f"Mine.\n{line}\nMara Voss\nSteg 4").text == "Mine."


def test_two_dashes_above_a_long_text_are_no_signature_without_their_blank() -> None:
    text = "One.\n--\n" + "\n".join(f"line {number}" for number in range(20))
    assert own_words(text).text == text


def test_the_footer_of_a_list_is_cut() -> None:
    footer = (
        "_______________________________________________\nCrew mailing list\nCrew@lists.example\nhttps://lists.example"
    )
    assert own_words(f"Mine.\n{footer}").text == "Mine."


OWN: Final = (
    "Buy:\n-milk\n-- bread\n--- and more",
    "I wrote:\n\nDear Jon, the boat is dry.",
    "We meet on Monday, 13 January 2025 at 10:00: bring the log.",
    "Please pay the bill of 13.01.2025 to jon@example.net:\n\nIBAN follows.",
    "From here on it is mine.\nTo be honest: yes.\nSubject: none",
    "From: me\nwith love",
    "Sent from my heart",
    "I bought an iPhone and sent it from Berlin",
    ">:( that was bad\n>.< and worse",
    "Am Ende schrieb er nichts:\n\nnichts.",
    "--- cut here ---\nthe words below are mine",
    "===== Part one =====\nmine",
    "1. one\n2. two\n\n- a\n  - b\n\n* c",
    "Bring the log \nbook.",
    "On the way home, he wrote: nothing.",
    "De: a French word\nand no header",
    "À demain :\n\nMara",
    "Le 13/01/2025 à 10:00 : rendez-vous\nau port",
    "明日は10:00に会いましょう：\n\n駅で",
    "今天写道：\n\n我来了",
    "A | B\n--|--\n1 | 2",
    "Subject: to change\nTo: everybody",
)


@pytest.mark.parametrize("text", OWN)
def test_the_persons_own_words_stay_as_they_are(text: str) -> None:
    assert own_words(text).text == text


def test_the_end_of_a_quoted_line_that_a_program_has_wrapped_is_no_answer() -> None:
    quoted = "> When is the survey going to take place in the harbour of the northern"
    assert own_words(f"{quoted}\ntown\n> and who comes?\nMine.").text == "Mine."
    assert own_words(f"{quoted}\nTomorrow.\n> and who comes?\nMine.").text == "Tomorrow.\nMine."


def test_a_text_of_many_lines_takes_linear_time() -> None:
    assert own_words("a: b\nFrom: x\n:\n" * 5_000).text.count("\n") > 14_000
    assert own_words("a" * 5_000_000 + ":\n> b").text == "a" * 5_000_000 + ":"
    assert own_words("- " * 2_000_000 + "\n" + "Sent " * 2_000_000).text


@pytest.mark.parametrize(
    ("subject", "told"),
    [("Fwd: storm", True), ("WG: Sturm", True), ("转发：船", True), ("Re: Fwd", False), ("I am", False)],
)
def test_a_subject_tells_that_a_mail_is_passed_on(subject: str, told: bool) -> None:
    assert passes_on(subject) is told


def test_wrapped_lines_of_format_flowed_are_joined() -> None:
    assert unflowed("Yes, since \nFriday.\nNo.", False) == "Yes, since Friday.\nNo."
    assert unflowed("さむ \nい", True) == "さむい"
    assert unflowed("> a \n> b\nc\n-- \nMara", False) == "> a b\nc\n-- \nMara"
    assert unflowed(" >not quoted\n From here", False) == ">not quoted\nFrom here"


HTML: Final = {
    "Gmail": '<div>Mine.</div><br><div class="gmail_quote"><div class="gmail_attr">On Mon Jon wrote:<br></div>'
    '<blockquote class="gmail_quote">theirs</blockquote></div>',
    "Gmail, forwarded": '<div>Mine.</div><div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message '
    "---------<br>From: <b>Jon</b></div>theirs</div>",
    "Thunderbird": '<p>Mine.</p><div class="moz-cite-prefix">Am 13.01. schrieb Jon:<br></div>'
    '<blockquote type="cite"><p>theirs</p></blockquote><div class="moz-signature">-- <br>Mara</div>',
    "Outlook on the web": '<div>Mine.</div><div id="Signature">Mara</div><div id="appendonsend"></div><hr>'
    '<div id="divRplyFwdMsg"><b>From:</b> Jon</div><div>theirs</div>',
    "Outlook": '<p class="MsoNormal">Mine.</p><p class="MsoNormal">&nbsp;</p><div style="border-top:solid #E1E1E1 1pt">'
    "<p><b>From:</b> Jon<br><b>Sent:</b> Tuesday<br><b>To:</b> Mara<br><b>Subject:</b> x</p></div><p>theirs</p>",
    "Apple Mail": '<div>Mine.<br><div><br><blockquote type="cite"><div>On 13 Jan 2025, Jon wrote:</div>theirs'
    "</blockquote></div></div>",
    "Yahoo": '<div>Mine.</div><div class="ydp1yahoo_quoted"><div>On Monday Jon wrote:</div>theirs</div>',
}


@pytest.mark.parametrize("program", HTML)
def test_quotes_in_html_are_known_by_the_marks_of_mail_programs(program: str) -> None:
    assert own_words(plain_of_html(HTML[program])).text == "Mine."


def test_answers_between_quotes_stay_in_html() -> None:
    html = (
        '<div class="gmail_quote"><div class="gmail_attr">On Mon Jon wrote:</div><blockquote>Engine?</blockquote>'
        "<div>Yes.</div><blockquote>Mast?</blockquote><div>No.</div></div>"
    )
    said = own_words(plain_of_html(html))
    assert (said.text, said.quote) == ("Yes.\nNo.", "Engine?\n\nMast?")


def test_html_reads_as_a_browser_shows_it() -> None:
    html = (
        "<style>p{}</style><p>Fish &amp;\n chips?</p><p>At <b>six</b>.<br>Mara<span style='display: none'>x</span></p>"
    )
    assert plain_of_html(html) == "Fish & chips?\n\nAt six.\nMara"
    assert plain_of_html("<div>a<div><br></div><div>b</div><div>c</div></div>") == "a\n\nb\nc"
    assert plain_of_html("<ul><li>a<li>b</ul><pre>x\n  y</pre>") == "a\nb\nx\n  y"


@pytest.mark.parametrize("begins", ["<!--", "<![", "<!", "<?", "</", "</a ", "<a ", "<a b='", "<a<a", "&#", "<script>"])
def test_html_that_only_begins_takes_no_time_that_grows_with_the_square(begins: str) -> None:
    assert plain_of_html("<p>mine</p>" + begins * 50_000).startswith("mine")


def test_html_that_is_never_closed_is_read() -> None:
    assert plain_of_html("<div>" * 5000 + "deep" + "</div>" * 3000) == "deep"
    assert plain_of_html("<p>a<p>b</b></i><blockquote>c") == "a\n\nb\n> c"
