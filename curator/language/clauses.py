"""Phrases with their sense: is a phrase here by itself, as whole words or a whole clause, and may it go without harm?

In scripts with blanks a phrase is whole words. In scripts without, it is a whole clause: what ends it is punctuation, a
blank or the end of the text. The tables are grammar, not taste, and so they stand here and not in etc/.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Final

import re2

from curator.language.identify import UNDETERMINED, language_of
from curator.language.table import UNSPACED, letters_of

_UNSPACED: Final = re.compile(f"[{UNSPACED}々ー]")
OPENING_SIGNS: Final = "¡¿\"'“‘«»„‹*_([「『（【《〈"
_BEFORE_WORDS: Final = OPENING_SIGNS + " \t\n"
_EMOJI: Final = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff]")
_BLANKS_END: Final = letters_of("thai", "lao", "burmese", "khmer")  # clauses
_BLANKS_END_CLAUSES: Final = re.compile(f"[{_BLANKS_END}]")
_BETWEEN_CLAUSES: Final = re.compile(rf"(?<=[{_BLANKS_END}])\s+(?=[{_BLANKS_END}])")

# What a clause begins with that only limits or goes on with the yes before it: "Sure, but only when the water is warm."
_LIMITS: Final = {
    "en": "but|only|except|though|although|not|never|and|or|even|provided|providing|unless|as long as|so long as|"
    "on condition|yet|however|otherwise|just not|just don't",
    "de": "aber|doch|allerdings|jedoch|nur|bloß|außer|nicht|kein|keine|dass|daß|ob|und|oder|sondern|es sei denn|erst|"
    "vorausgesetzt|trotzdem|höchstens",
    "fr": "mais|cependant|toutefois|seulement|uniquement|sauf|pas|que|qu'il|qu'elle|qu'on|qu'ils|et|ou|excepté|"
    "à condition|pourvu|par contre",
    "es": "pero|sin embargo|aunque|solo|sólo|solamente|únicamente|excepto|salvo|menos|que|y|sino|siempre que|"
    "siempre y cuando|con tal|a condición|eso sí",
    "it": "ma|però|tuttavia|solo|soltanto|solamente|tranne|eccetto|purché|a condizione|che|e|anche se|basta che",
    "pt": "mas|porém|contudo|só|somente|apenas|exceto|menos|desde que|contanto|que|e|ou|embora|no entanto",
    "ru": "но|однако|только|лишь|кроме|хотя|что|а|и|или|не|правда|зато",
    "ko": "하지만|그런데|그러나|단|다만|대신|그래도|근데|오직|왜냐하면|그리고",
    "ar": "لكن|لكنني|لكنه|لكنها|غير أن|إلا|فقط|ليس|بس|أو",
    "hi": "लेकिन|पर|मगर|किंतु|किन्तु|परंतु|परन्तु|बशर्ते|केवल|सिर्फ|सिर्फ़|कि|और|या|नहीं|हालाँकि|हालांकि|बस|तभी|फिर भी",
}  # fmt: skip
# Words of a clause that cannot stand alone. After a full stop it can, with a main clause of its own: "Of course! If it
# drips, close the valve."
_SUBORDINATE: Final = {
    "en": "if|when|whenever|while|once|until|till|as soon as|because|since|given|assuming|in case|before|after|where",
    "de": "wenn|falls|sofern|solange|sobald|weil|da|obwohl|obgleich|auch wenn|bevor|nachdem|bis|damit|während|als|was|"
    "wie|wo|warum|wer|welche|welcher|welches|wann",
    "fr": "si|s'il|s'ils|quand|lorsque|lorsqu'il|lorsqu'elle|dès que|tant que|parce que|puisque|bien que|même si|"
    "à moins|avant que|après que|pendant que|comme|afin",
    "es": "si|cuando|mientras|porque|ya que|en cuanto|hasta que|antes de que|después de que|a menos|como|apenas",
    "it": "se|quando|mentre|perché|poiché|finché|appena|dopo che|prima che|a meno|sempre che|benché|sebbene|come",
    "pt": "se|quando|enquanto|porque|já que|assim que|até que|antes que|depois que|a menos|caso|como",
    "ru": "если|когда|пока|потому|так как|чтобы|как только|при условии|раз|поскольку|прежде чем|после того",
    "ko": "만약|만일",
    "ar": "إذا|إن|لو|عندما|حين|حينما|ما دام|طالما|بشرط|شرط|لأن|لأنه|لأنها|أن|كي|بعد أن|قبل أن|متى|كلما|حتى",
    "hi": "अगर|यदि|जब|जब तक|क्योंकि|चूँकि|ताकि",
}  # fmt: skip
# Those of them that ask: "Sure, where are you heading?" says nothing by its yes.
_ASKING: Final = re.compile(
    r"(?:when|where|was|wie|wo|warum|wer|welche[rs]?|wann|quand|comme|cuando|como|quando|come|когда|متى)\b",
    re.IGNORECASE,
)
# A fragment of a few words behind a yes says when, where or how; without the yes it says nothing: "Sure, after lunch."
_PREPOSITIONS: Final = {
    "en": "at|in|on|by|from|with|without|for|to|within|during|after|before|until|around|about|towards",
    "de": "um|am|im|in|an|auf|nach|vor|mit|ohne|bei|ab|bis|für|gegen|zu|zum|zur|morgen|heute",
    "fr": "à|au|aux|en|dans|avant|après|avec|sans|pour|vers|dès|chez|sur|demain",
    "es": "a|al|en|con|sin|para|por|desde|hasta|hacia|antes|después|mañana",
    "it": "a|al|alle|alla|in|nel|con|senza|per|da|dopo|prima|fino|verso|domani",
    "pt": "às|ao|à|em|no|na|com|sem|para|por|até|depois|antes|amanhã",
    "ru": "в|во|на|с|со|к|после|до|через|без|для|около|завтра|сегодня",
    "ar": "في|بعد|قبل|مع|عند|إلى|من|بدون|غدا|غدًا",
}
_FRAGMENT_WORDS: Final = 5
_LOOKED_AT: Final = 400  # characters behind a yes: a reply of nothing but "okay, okay" is megabytes long at worst
_DETERMINERS: Final = frozenset(
    "the this next every el la los las este esta cada le les ce cette il lo gli questo questa ogni der die das den "
    "diesen nächsten jeden o a os as esta cada этот эту каждый هذا هذه كل इस हर 다음 이번".split()
)
_UNSPACED_LIMITS: Final = re.compile(
    "但|不过|不過|可是|然而|只是|只有|只要|只能|只在|只限|仅|僅|除非|除了|前提|如果|要是|若|假如|当(?!然)|當(?!然)|等|因为|因為|"
    "虽然|雖然|尽管|儘管|并且|而且|就是|"
    "ただ|でも|しかし|だけど|けど|もし|たとえ|ですが|とはいえ|"
    "แต่|ถ้า|หาก|เฉพาะ|เมื่อ|ตราบ|เพราะ|ต่อเมื่อ|ยกเว้น|เว้น|ว่า|แม้|ก่อน|หลัง|ตอน|และ"
)
# In Japanese and Korean a condition stands at the end of its clause.
_CONDITION_ENDS: Final = re.compile(
    "(?:ば|たら|なら|けど|けれど|けれども|ですが|ますが|だが|限り|だけ|だけです|だけだ|だけね|とき|時|時に|場合|場合は|場合に|"
    "場合だけ|場合のみ|のみ|ので|から|前に|後で|後に|まで|ても|でも)(?:です|だ)?[ねよなけ]?$"
    "|(?:면|면요|지만|때만|때만요|경우에만|경우에만요|한해서|는데|은데|니까|라도|까지만)$"
)
_CLAUSE: Final = re.compile(r"[^,;:.!?。，、；：！？،؛؟।…\n]+")
_SENTENCE: Final = re.compile(r"[^.!?。！？؟।…\n]+[.!?。！？؟।…]*")

# Phrases that are no clause of their own, but the "as" of one: with them the whole sentence is the program's.
_AS: Final = re.compile(
    r"^(?:as an? |als |en tant qu|como |in quanto |come |enquanto |sendo |на правах |как |будучи |作为|作為|身为|身為|"
    r"بصفتي|كوني|ك|ในฐานะ|เนื่องจาก|एक )|(?:として|なので|ですから|로서|라서|때문에|के रूप में|के नाते)$",
    re.IGNORECASE,
)
# What may follow such an "as" without punctuation: the program itself, or what it cannot do.
_FIRST_PERSON: Final = re.compile(
    r"\s+(?:(?:i|i'm|i’m|my|ich|mir|je|j'\w+|j’\w+|no|puedo|tengo|soy|yo|mi|mis|non|posso|ho|sono|io|não|tenho|sou|eu|meu|"
    r"minha|я|у меня|мне|меня|мой|моя|не|मैं|मेरे|मेरी|मुझे|मेरा|لا|ليس|ليست|لم|لن|يمكنني|أستطيع|أنا|فأنا|فإنني|"
    r"저는|제가|저도|나는|제|전|저의|저에게는)(?!\w)|ฉัน|ผม|ดิฉัน|เรา|ไม่|จึง|我|私|\w+\s+(?:ich|mir)(?!\w))",
    re.IGNORECASE,
)
_UNSPACED_FIRST: Final = re.compile("我|本|无法|無法|不|没|沒|只|ฉัน|ผม|ดิฉัน|เรา|ไม่|จึง|私|僕")
# Somebody else is the machine: "As an AI, she could not cry."
_THIRD_PERSON: Final = re.compile(
    r"(?:(?:he|she|it|they|er|sie|es|il|elle|ils|elles|él|ella|ellos|lui|lei|ele|ela|он|она|оно|они|هو|هي|वह|वो|वे|그는|그녀는)"
    r"(?!\w)|他|她|它|彼|เขา|เธอ|มัน)",
    re.IGNORECASE,
)
# "AIとして" is closed by its particle, unless it goes on to name what is done to an AI.
_CLOSED_BY_PARTICLE: Final = re.compile("(?:として|なので|ですから|だから|ので|로서|라서|때문에|के रूप में|के नाते)$")
_PARTICLE_GOES_ON: Final = re.compile(
    r"\s*(?:の|知られ|作ら|開発|生まれ|使|働|動作|登場|扱|紹介|有名|成功|進化|訓練|알려|개발|만들|태어|유명|जान|प्रसिद्ध|मशहूर|विकसित|बना)"
)
_SOFTENERS: Final = re.compile("[哦呢吧呀啊啦喔噢嘛ね～~]+|นะคะ|นะครับ|นะ|ค่ะ|ครับ|คะ|จ้า|จ้ะ")
# A contrast begins something of its own: "As an AI I cannot see it, but the valve must be closed."
_CONTRAST: Final = re.compile(
    r"[,;،，；、—–]\s*(?P<rest>(?:(?:but|however|aber|jedoch|allerdings|doch|mais|cependant|pero|sin embargo|ma|però|"
    r"mas|porém|но|однако|зато|लेकिन|मगर|किंतु|परंतु|पर|하지만|그러나|그렇지만|و?لكن\w*)(?!\w)|但|不过|不過|可是|然而|でも|しかし|ただし)"
    r".*\w.*)|(?:ですが|ますが|せんが|だが|けれども|けれど|けど|지만)[、，,]?\s*(?P<after>.*\w.*)",
    re.DOTALL | re.IGNORECASE,
)


@cache
def marks_of_letters() -> str:
    """Return the combining marks, which belong to the letter before them and which no `\\w` matches, as the inside of a
    regular expression's class. They stand in it as ranges: one by one they take ten times as long to compile."""
    codes = (*range(0x300, 0x3000), *range(0xA600, 0xAC00), *range(0xFE20, 0xFE30))
    marks = [code for code in codes if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    firsts = [code for code, before in zip(marks, [0, *marks], strict=False) if code != before + 1]
    lasts = [code for code, after in zip(marks, [*marks[1:], 0], strict=True) if code + 1 != after]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))


@cache
def _word_end() -> str:
    """Return a pattern of where a word ends: neither a letter nor its mark follows, nor a hyphen with a letter.

    It says that case counts there, which changes nothing: to look for each mark's other case takes `re` a while.
    """
    inside = rf"\w{marks_of_letters()}"
    return rf"(?-i:(?![{inside}]|[-'’‐‑][{inside}]))"


def without_blanks(text: str) -> bool:
    """Tell whether the text ends in a script that puts no blanks between words."""
    return bool(text) and _UNSPACED.match(text[-1]) is not None


class _BlanksForMarks(dict[int, int | str]):
    """A table for str.translate: letters, their marks and digits stay, all other characters become blanks."""

    def __missing__(self, code: int) -> int | str:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else " "
        return self[code]


_BLANKS: Final = _BlanksForMarks()


def clause_words(text: str) -> list[str]:
    """Return the words of a text in lower case without any script's punctuation; where there are no blanks between
    words, its clauses."""
    return text.lower().translate(_BLANKS).split()


class Beginnings:
    """Phrases that a text may begin with: clauses by themselves; with "…" at its end, any text that begins so."""

    def __init__(self, phrases: Iterable[str]) -> None:
        listed = sorted({phrase.strip() for phrase in phrases} - {"", "…"}, key=len, reverse=True)
        open_ended = [re.escape(phrase[:-1].rstrip()) for phrase in listed if phrase.endswith("…")]
        whole = [phrase for phrase in listed if not phrase.endswith("…")]
        spaced = [re.escape(phrase) for phrase in whole if not without_blanks(phrase)]
        unspaced = [re.escape(phrase) for phrase in whole if without_blanks(phrase)]
        inside = rf"\w{marks_of_letters()}"
        ways = [f"(?:{'|'.join(open_ended)})(?:(?<=[{UNSPACED}])|{_word_end()})"] if open_ended else []
        ways += [rf"(?:{'|'.join(spaced)})\s*(?-i:(?![{inside}\s]|[-'’‐‑][{inside}]))"] if spaced else []
        ways += [rf"(?:{'|'.join(unspaced)})(?:{_SOFTENERS.pattern})?(?-i:(?![{inside}]))"] if unspaced else []
        self._pattern = re.compile("|".join(ways) or "(?!)", re.IGNORECASE)
        self._firsts = frozenset(phrase[:2].lower() for phrase in listed)

    def begin(self, text: str) -> bool:
        """Tell whether one of the phrases begins the text, signs that open a quotation aside."""
        bare = text.lstrip(_BEFORE_WORDS)
        likely = bare[:2].lower() in self._firsts or bare[:1].lower() in self._firsts
        return likely and self._pattern.match(bare.replace("’", "'")) is not None


class OnlyWords:
    """Words by themselves: is a text of these alone? Where a script has no blanks, a clause may be several of them."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(part for word in words for part in (word.lower(), *clause_words(word)))
        unspaced = sorted(filter(without_blanks, self._words), key=len, reverse=True)
        self._firsts = frozenset(word[0] for word in unspaced)
        # One word may be two others: only RE2 reads a text of them once.
        self._joined: re.Pattern[str] = re2.compile(f"(?:{'|'.join(map(re2.escape, unspaced))})*")

    def make_up(self, text: str) -> bool:
        """Tell whether the text is of these words alone, or of emoji alone."""
        words = clause_words(text.replace("’", "'"))
        if not words:
            return _EMOJI.search(text) is not None and not any(mark in text for mark in "?？؟")
        return not self._others(words)

    def others(self, text: str) -> list[str]:
        """Return the words of a text that are none of these."""
        return self._others(clause_words(text.replace("’", "'")))

    def _others(self, words: list[str]) -> list[str]:
        return [
            word
            for word in words
            if word not in self._words and not (word[0] in self._firsts and self._joined.fullmatch(word))
        ]


@cache
def _start_of(table: str, languages: frozenset[str]) -> re.Pattern[str]:
    words = {"limits": _LIMITS, "subordinate": _SUBORDINATE, "prepositions": _PREPOSITIONS}[table]
    known = [words[language] for language in sorted(languages & words.keys())]
    # An Arabic clause has its "and" at the first word, without a blank.
    return re.compile(rf"[وف]?(?:{'|'.join(known)}){_word_end()}" if known else r"(?!)", re.IGNORECASE)


def needs_the_yes(rest: str, languages: frozenset[str], after_sentence: bool) -> bool:
    """Tell whether what follows a yes ("Sure", "Gerne", "もちろん") only limits it, goes on with it or says when.

    `languages` are those of the yes; of several ("Claro" is Spanish and Portuguese), that of the rest counts.
    `after_sentence`: the yes ended in a full stop, so that "If it drips, close the valve." may follow as a sentence of
    its own.
    """
    rest = rest[:_LOOKED_AT]
    if _says_little(rest):
        return True
    if not _needs_the_yes(rest, languages, after_sentence):
        return False
    language = language_of(rest) if len(languages) > 1 else UNDETERMINED
    return language not in languages or _needs_the_yes(rest, frozenset({language}), after_sentence)


def _says_little(rest: str) -> bool:
    """Tell whether what follows a yes is one word, or names a day or a thing: "Of course, Ruth." """
    words = clause_words(rest)
    if len(words) == 2 and words[0] in _DETERMINERS:
        return True
    return not words[1:] and all(not without_blanks(word) or len(word) < 3 for word in words)


def _needs_the_yes(rest: str, languages: frozenset[str], after_sentence: bool) -> bool:
    rest = rest.lstrip(OPENING_SIGNS + " ").replace("’", "'")
    if _start_of("limits", languages).match(rest) or _UNSPACED_LIMITS.match(rest):
        return True
    first = _SENTENCE.match(rest)
    sentence = first[0] if first else rest
    if _start_of("subordinate", languages).match(rest):
        asks = "?" in sentence or "؟" in sentence
        return not (asks and _ASKING.match(rest)) and not (
            after_sentence and (asks or "," in sentence or "،" in sentence)
        )
    if len(sentence.split()) <= _FRAGMENT_WORDS and _start_of("prepositions", languages).match(rest):
        return True
    clause = _CLAUSE.match(rest)
    return clause is not None and any(map(_CONDITION_ENDS.search, clause[0].split()[-3:]))


def clauses_at_blanks(sentence: str) -> list[str]:
    """Cut a sentence at its blanks where they are what ends a clause: Thai, Lao, Khmer, Burmese. Nothing is lost."""
    if not _BLANKS_END_CLAUSES.search(sentence):
        return [sentence]
    ends = [0, *(blank.end() for blank in _BETWEEN_CLAUSES.finditer(sentence)), len(sentence)]
    return [sentence[start:end] for start, end in pairwise(ends)]


class TakenOut:
    """Sentences that are to be taken out, by the phrases they begin with; with "…" at its end a phrase stands for every
    sentence that begins so, else for one that is this phrase."""

    def __init__(self, phrases: Iterable[str]) -> None:
        listed = {phrase.strip() for phrase in phrases} - {"", "…"}
        self._whole = frozenset(phrase[:-1].rstrip().lower() for phrase in listed if phrase.endswith("…"))
        self.phrases = sorted({phrase.rstrip("…").rstrip().lower() for phrase in listed}, key=len, reverse=True)
        starts = "|".join(re.escape(phrase).replace("'", "['’]") for phrase in self.phrases) or r"(?!)"
        self._start = re.compile(rf"[\s{re.escape(OPENING_SIGNS)}]*(?P<phrase>{starts})", re.IGNORECASE)
        self._end_of_word = re.compile(_word_end())
        self._letter = re.compile(rf"[\w{marks_of_letters()}]")

    def left_of(self, sentence: str) -> str | None:
        """Return what is left of a sentence: "" where all of it goes; None where it is no such sentence."""
        found = self._start.match(sentence)
        if found is None:
            return None
        phrase, rest = found["phrase"].lower().replace("’", "'"), sentence[found.end() :]
        if phrase in self._whole and (without_blanks(phrase) or self._end_of_word.match(rest)):
            return _after_contrast(rest)
        rest = _SOFTENERS.sub("", rest, count=1) if _SOFTENERS.match(rest) else rest
        if not self._letter.search(rest):
            return ""
        if not self._closes(phrase, rest):
            return None
        if _AS.search(phrase):
            others = _opens_subordinate(rest) or _THIRD_PERSON.match(_bare_rest(rest))
            return None if others else _after_contrast(rest)
        if rest[0].isspace():
            return rest.lstrip() if without_blanks(phrase) else None
        return None if _opens_subordinate(rest) else _bare_rest(rest)

    def _closes(self, phrase: str, rest: str) -> bool:
        """Tell whether the phrase is closed by what follows: punctuation, or the one who says it."""
        if without_blanks(phrase):
            if rest[0].isspace() or not self._letter.match(rest):
                return True
        elif not self._end_of_word.match(rest):
            return False
        elif rest.lstrip()[:1] in tuple(",;:،؛，、；：.!…。！–—"):
            return True
        if _CLOSED_BY_PARTICLE.search(phrase):
            return not _PARTICLE_GOES_ON.match(rest)
        said = _UNSPACED_FIRST if without_blanks(phrase) else _FIRST_PERSON
        return _AS.search(phrase) is not None and said.match(rest) is not None


def _after_contrast(rest: str) -> str:
    found = _CONTRAST.search(rest)
    return (found["rest"] or found["after"] or "").lstrip() if found else ""


def _bare_rest(rest: str) -> str:
    return rest.lstrip(" \t\n,;:،؛，、；：.!…。！–—")


def _opens_subordinate(rest: str) -> bool:
    """Tell whether a reason or a condition follows: "I hope this helps, because the water is rising." """
    bare = _bare_rest(rest).replace("’", "'")
    return _start_of("subordinate", frozenset(_SUBORDINATE)).match(bare) is not None
