"""What mail programs write around a person's words, by language: "On ... wrote:", "Sent from my iPhone", "From:".

Tables for `quotes.py`, which needs none of them where the structure alone tells (a line of `>`, an address and a date
before a colon). Languages are those whose programs' words are known for sure; another one adds a line here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Verbs of the line above a quote. Of scripts with blanks between words they stand alone, of others within a run.
SAID_WORDS: Final = (
    "wrote", "writes", "has written",  # en
    "schrieb", "schrieben", "geschrieben", "schreibt",  # de
    "a écrit", "écrit", "a ecrit",  # fr
    "escribió", "escribio", "ha escrito",  # es
    "ha scritto", "scrive", "scrisse",  # it
    "escreveu",  # pt
    "написал", "написала", "написал(а)", "пишет", "писал", "писала", "писал(а)",  # ru
    "написав", "написала", "пише",  # uk
    "napisał", "napisała", "napisał(a)", "napisal", "pisze",  # pl
    "schreef", "geschreven",  # nl
    "skrev",  # sv da no
    "kirjoitti",  # fi
    "napsal", "napsala", "napsal(a)", "napísal", "napísala", "napísal(a)",  # cs sk
    "írta", "a scris", "έγραψε", "yazdı", "đã viết", "menulis",  # hu ro el tr vi id
    "כתב", "כתבה", "כתב/ה",  # he
    "كتب", "كتبت", "كتابة ما يلي بواسطة",  # ar
)  # fmt: skip
SAID_RUNS: Final = (
    "写道", "写到", "寫道", "寫到", "提到", "撰写", "撰寫",  # zh
    "のメール", "のメッセージ", "書きました", "書いた", "書いています",  # ja
    "작성", "님이 씀", "쓴 글",  # ko
    "ने लिखा", "लिखा",  # hi
    "เขียน",  # th
)  # fmt: skip
# With what such a line begins where it is wrapped, its end being on the next.
OPENERS: Final = (
    "on at in am um den le el il em no op w dnia v på pada pe în στις vào в у dne ma ma. "
    "في يوم ในวันที่ เมื่อ 在 于 於 בתאריך ב"
).split()  # fmt: skip

# The names of headers that mail programs write above the mail that is answered or passed on.
FROM: Final = (
    "from", "von", "de", "da", "van", "från", "fra", "od", "от", "від", "от кого", "kimden", "gönderen",
    "feladó",
    "lähettäjä", "de la", "από", "מאת", "من", "प्रेषक", "से", "จาก", "từ", "dari",
    "发件人", "发信人", "寄件者", "寄件人", "差出人", "送信者", "보낸 사람", "보낸사람", "발신",
)  # fmt: skip
SENT: Final = (
    "sent", "date", "gesendet", "gesendet am", "datum", "envoyé", "envoyé le", "date d'envoi", "enviado",
    "enviado el",
    "fecha", "enviado em", "enviada em", "enviada", "data", "inviato", "data invio", "verzonden", "skickat",
    "sendt",
    "dato", "wysłano", "wysłane", "odesláno", "odoslané", "отправлено", "дата", "надіслано", "gönderildi",
    "gönderilme zamanı", "tarih", "elküldve", "dátum", "lähetetty", "päivämäärä", "pvm", "trimis", "στάλθηκε",
    "ημερομηνία", "נשלח", "תאריך", "تاريخ الإرسال", "التاريخ", "تم الإرسال", "أرسلت", "भेजा गया", "दिनांक",
    "तारीख",
    "ส่งเมื่อ", "วันที่", "ส่ง", "đã gửi", "ngày", "tanggal", "dikirim", "发送时间", "发送日期", "日期", "寄件日期",
    "傳送時間", "傳送日期", "時間", "时间", "送信日時", "日付", "日時", "보낸 날짜", "보낸날짜", "날짜", "일시",
)  # fmt: skip
TO: Final = (
    "to", "an", "à", "a", "para", "aan", "till", "til", "do", "komu", "pro", "кому", "kime", "alıcı", "címzett",
    "vastaanottaja", "către", "προς", "אל", "إلى", "प्रति", "को", "ถึง", "đến", "kepada", "destinataire",
    "destinatario",
    "收件人", "收件者", "宛先", "받는 사람", "받는사람", "수신", "cc", "kopie", "kopia", "kopi", "copie",
    "копия", "копія",
    "抄送", "副本", "참조", "สำเนา", "نسخة", "प्रतिलिपि", "עותק", "reply-to",
)  # fmt: skip
SUBJECT: Final = (
    "subject", "betreff", "objet", "asunto", "oggetto", "assunto", "onderwerp", "ämne", "emne", "temat",
    "předmět",
    "predmet", "тема", "konu", "tárgy", "aihe", "subiect", "θέμα", "נושא", "الموضوع", "विषय", "เรื่อง",
    "หัวเรื่อง",
    "ชื่อเรื่อง", "chủ đề", "perihal", "subjek", "主题", "主旨", "主題", "件名", "제목",
)  # fmt: skip

# What stands between dashes above a mail that is answered ("-----Original Message-----"), and one that is passed on.
ORIGINAL: Final = (
    "original message", "original mail", "original email", "original", "original appointment",
    "ursprüngliche nachricht", "originalnachricht", "original-nachricht", "original nachricht",
    "message d'origine", "message original", "message initial", "mensaje original", "messaggio originale",
    "mensagem original", "oorspronkelijk bericht", "исходное сообщение", "оригинальное сообщение",
    "wiadomość oryginalna", "oryginalna wiadomość", "ursprungligt meddelande", "originalmeddelande",
    "oprindelig meddelelse", "opprinnelig melding", "původní zpráva", "orijinal mesaj", "özgün ileti",
    "eredeti üzenet", "mesaj original", "alkuperäinen viesti", "αρχικό μήνυμα", "הודעה מקורית",
    "الرسالة الأصلية",
    "मूल संदेश", "ข้อความต้นฉบับ", "原始邮件", "原始郵件", "原邮件", "原信件", "元のメッセージ", "元のメール",
    "원본 메시지", "원본 메일", "원본메일", "replied message", "回复的原邮件",
)  # fmt: skip
FORWARDED: Final = (
    "forwarded message", "forwarded by", "forwarded mail", "fwd message", "weitergeleitete nachricht",
    "weitergeleitete mail", "message transféré", "message transmis", "message réexpédié", "mensaje reenviado",
    "messaggio inoltrato", "mensagem encaminhada", "mensagem reencaminhada", "doorgestuurd bericht",
    "пересылаемое сообщение", "пересланное сообщение", "перенаправленное сообщение",
    "переадресованное сообщение",
    "конец пересылаемого сообщения", "переслане повідомлення", "wiadomość przekazana dalej",
    "przekazana wiadomość", "treść przekazanej wiadomości", "vidarebefordrat meddelande",
    "videresendt meddelelse",
    "videresendt besked", "videresendt melding", "přeposlaná zpráva", "yönlendirilmiş ileti", "iletilen ileti",
    "továbbított üzenet", "välitetty viesti", "προωθημένο μήνυμα", "הודעה שהועברה",
    "رسالة معاد توجيهها", "رسالة محوّلة", "رسالة محولة", "अग्रेषित संदेश", "फ़ॉरवर्ड किया गया संदेश",
    "ข้อความที่ส่งต่อ",
    "转发邮件信息", "转发的邮件", "已转发邮件", "转发邮件", "轉寄的郵件", "轉寄郵件", "已轉寄郵件",
    "転送メッセージ",
    "転送されたメッセージ", "転送メール", "전달된 메시지", "전달된 메일", "전달 메시지",
)  # fmt: skip
# Apple Mail's line above what is passed on; it ends in a colon.
FORWARD_BEGINS: Final = (
    "begin forwarded message", "anfang der weitergeleiteten nachricht", "début du message réexpédié",
    "début du message transféré", "inicio del mensaje reenviado", "inizio messaggio inoltrato",
    "início da mensagem reencaminhada", "início da mensagem encaminhada", "begin doorgestuurd bericht",
    "начало переадресованного сообщения", "початок переадресованого повідомлення",
    "początek przekazywanej wiadomości", "vidarebefordrat brev", "start på videresendt besked",
    "videresendt melding", "začátek přeposílané zprávy", "iletilmiş mesajın başlangıcı",
    "بدء الرسالة المعاد توجيهها",
    "开始转发的邮件", "转发的邮件", "開始轉寄郵件", "轉寄的郵件", "転送されたメッセージ", "전달된 메시지",
)  # fmt: skip
# How a subject begins that is passed on.
FORWARD_SUBJECTS: Final = (
    "fwd", "fw", "wg", "tr", "rv", "enc", "res-enc", "i", "doorst", "vs", "vb", "vl", "pd", "пер", "转发",
    "轉寄", "転送", "전달",
)  # fmt: skip

# "Sent from my iPhone": the words around the device. A short line that has one of them and names a device or a mail
# program is the program's, not the person's.
SENT_FROM: Final = (
    "sent from", "sent via", "sent with", "sent using", "sent by", "get outlook", "get bluemail",
    "download outlook",
    "gesendet von", "von meinem", "von meiner", "gesendet mit", "gesendet über", "outlook für",
    "envoyé de", "envoyé depuis", "envoyé à partir", "envoyé avec", "envoyé par", "obtenir outlook",
    "télécharger outlook", "provenance :",
    "enviado desde", "enviado con", "obtener outlook", "inviato da", "inviato dal", "inviato con",
    "ottieni outlook",
    "scarica outlook", "enviado do", "enviado da", "enviado a partir", "enviado via", "enviado pelo",
    "obter o outlook",
    "verstuurd vanaf", "verzonden vanaf", "verzonden met", "outlook voor", "skickat från", "sendt fra",
    "hent outlook",
    "lähetetty", "wysłane z", "wysłano z", "pobierz outlook", "odesláno z", "odoslané z", "отправлено с",
    "отправлено из", "надіслано з", "gönderildi", "küldve", "trimis de pe", "στάλθηκε από", "נשלח מ", "gửi từ",
    "dikirim dari",
    "أرسلت من", "أُرسلت من", "مُرسل من", "مرسل من", "تم الإرسال من", "से भेजा गया", "ส่งจาก",
    "发自我的", "发自", "发送自", "從我的", "傳送自", "寄自", "获取 outlook", "取得 outlook", "から送信",
    "を入手", "에서 보냄", "다운로드",
)  # fmt: skip
DEVICES: Final = (
    "iphone", "ipad", "ipod", "apple watch", "macbook", "my mac", "android", "galaxy", "samsung", "huawei",
    "honor",
    "xiaomi", "redmi", "mi phone", "oppo", "vivo", "oneplus", "pixel", "motorola", "xperia", "nokia", "lumia",
    "blackberry", "windows phone", "smartphone", "handy", "mobile", "mobil", "móvil", "celular", "telefon",
    "tablet",
    "outlook", "mail for windows", "mail für windows", "courrier pour windows", "correo para windows",
    "posta per windows", "correio para windows", "mail voor windows", "mail pour windows", "邮件应用",
    "windows", "yahoo",
    "gmail", "proton", "thunderbird", "tutanota", "tuta", "airmail", "spark", "bluemail", "aquamail",
    "k-9 mail",
    "mail.ru", "яндекс", "mail app", "gmx", "web.de", "aol", "fastmail", "superhuman", "newton", "qq邮箱",
    "网易邮箱",
    "айфон", "айпад", "мобильн", "телефон", "아이폰", "모바일", "手机", "手機", "携帯", "スマートフォン",
    "मोबाइल", "โทรศัพท์", "هاتف", "جوال",
)  # fmt: skip


class MailFolders(NamedTuple):
    """The names of folders of mail, and of Gmail's labels, in the languages of accounts; in small letters."""

    sent: frozenset[str]
    drafts: frozenset[str]
    spam: frozenset[str]
    trash: frozenset[str]
    chat: frozenset[str]


MAIL_FOLDERS: Final = MailFolders(
sent=frozenset((
    "sent", "sent mail", "gesendet", "messages envoyés", "envoyés", "enviados", "enviado", "inviati",
    "posta inviata",
    "e-mails enviados", "отправленные", "已发送", "已发送邮件", "寄件備份", "送信済み", "送信済みメール",
    "보낸편지함", "보낸 편지함", "보낸메일함",
    "البريد المرسل", "الرسائل المرسلة", "المرسلة", "भेजे गए", "भेजी गई", "भेजा गया मेल", "ส่งแล้ว",
    "จดหมายที่ส่งแล้ว",
    "verzonden", "verzonden items", "wysłane", "skickat", "skickade", "sendt", "lähetetyt", "odeslané",
    "odeslaná pošta",
    "gönderilmiş postalar", "надіслані", "elküldött", "trimise", "σταλμένα", "דואר יוצא", "đã gửi", "terkirim",
    "sent items", "sent messages", "gesendete elemente", "gesendete objekte", "éléments envoyés",
    "elementos enviados",
    "itens enviados", "posta inviata", "[gmail]sent mail",
)),
drafts=frozenset((
    "drafts", "draft", "entwürfe", "entwurf", "brouillons", "brouillon", "borradores", "bozze", "rascunhos",
    "черновики",
    "草稿", "下書き", "임시보관함", "임시 보관함", "المسودات", "مسودات", "ड्राफ़्ट", "ร่างจดหมาย", "ฉบับร่าง",
    "concepten",
    "wersje robocze", "utkast", "kladder", "luonnokset", "koncepty", "taslaklar", "чернетки", "piszkozatok",
    "ciorne",
    "πρόχειρα", "טיוטות", "thư nháp", "draf",
)),
spam=frozenset((
    "spam", "junk", "junk e-mail", "junk email", "courrier indésirable", "correo no deseado",
    "posta indesiderata",
    "lixo eletrônico", "спам", "垃圾邮件", "垃圾郵件", "迷惑メール", "스팸함", "스팸",
    "الرسائل غير المرغوب فيها", "غير مرغوب فيها", "स्पैम",
    "จดหมายขยะ", "ongewenste e-mail", "skräppost", "roskaposti", "gereksiz",
)),
trash=frozenset((
    "trash", "bin", "deleted items", "deleted messages", "papierkorb", "gelöschte elemente", "corbeille",
    "papelera",
    "cestino", "lixeira", "lixo", "корзина", "已删除邮件", "垃圾桶", "垃圾桶邮件", "ゴミ箱", "휴지통",
    "المهملات", "سلة المهملات",
    "ट्रैश", "ถังขยะ", "prullenbak", "kosz", "papperskorgen", "papirkurv", "roskakori", "koš", "çöp kutusu",
    "кошик",
)),
chat=frozenset((
    "chat", "chats", "hangouts", "чаты", "чат", "聊天", "聊天记录", "チャット", "채팅", "الدردشة", "الدردشات",
    "चैट", "แชท", "conversas", "discussions",
)),
)  # fmt: skip
