"""The table of scripts and languages: every rule of this room reads it, and so may everybody else.

A rule that asks "is it a capital", "where does a sentence end", "how many characters is a token" asks here, so that a
script is added in one line. Figures that were not measured say so.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True)
class Script:
    """One script.

    `ranges`: first and last letters of its blocks. `language`: the one that it proves by itself, "" where several
    languages share it. `spaced`: blanks part its words. `cased`: it has capitals. `marked`: a mark ends its sentences.
    `per_word`: characters in a word, where no blank parts words. `per_token`: characters in a token of a multilingual
    tokenizer, blanks and marks among them; 0.0: as many as in English.
    """

    name: str
    ranges: str
    language: str = ""
    spaced: bool = True
    cased: bool = False
    marked: bool = True
    per_word: float = 0.0
    per_token: float = 2.0


# Measured: words against jieba and budoux (Chinese), Janome (Japanese), PyThaiNLP and budoux (Thai); tokens of han,
# kana, thai, hangul, devanagari, cyrillic, arabic. The other figures are guesses on the side of too many tokens.
SCRIPTS: Final = (
    Script("latin", "AZazªªººÀÖØöøɏḀỿⱠⱿ꜠ꟿﬀﬆＡＺａｚ", cased=True, per_token=0.0),
    Script("greek", "ͰϿἀ῿", "el", cased=True, per_token=2.2),
    Script("cyrillic", "Ѐԯᲀ᲏ⷠⷿꙀꚟ", cased=True, per_token=2.92),
    Script("armenian", "Աև", "hy", cased=True, per_token=1.7),
    Script("hebrew", "\u0591\u05f4", "he", per_token=2.3),
    Script(
        "arabic",
        "\u0610\u061a\u0620\u06d3\u06d5\u06ff\u0750\u077f\u08a0\u08ff\ufb50\ufdff\ufe70\ufefc",
        per_token=3.08,
    ),
    Script("devanagari", "\u0900\u0963\u0966\u097f\ua8e0\ua8ff", per_token=2.52),
    Script("bengali", "\u0980\u09ff"),
    Script("gurmukhi", "\u0a00\u0a7f", "pa", per_token=1.6),
    Script("gujarati", "\u0a80\u0aff", "gu", per_token=1.6),
    Script("odia", "\u0b00\u0b7f", "or", per_token=1.4),
    Script("tamil", "\u0b80\u0bff", "ta"),
    Script("telugu", "\u0c00\u0c7f", "te", per_token=1.6),
    Script("kannada", "\u0c80\u0cff", "kn", per_token=1.6),
    Script("malayalam", "\u0d00\u0d7f", "ml", per_token=1.6),
    Script("sinhala", "\u0d80\u0dff", "si", per_token=1.4),
    Script("thai", "\u0e01\u0e2e\u0e30\u0e3a\u0e40\u0e4e\u0e50\u0e59", "th", spaced=False, marked=False,
           per_word=4.3, per_token=1.75),
    Script("lao", "\u0e80\u0eff", "lo", spaced=False, marked=False, per_word=4.3, per_token=1.0),
    Script("tibetan", "\u0f00\u0f0b\u0f18\u0f39\u0f3e\u0fbc", "bo", spaced=False, per_word=6.0, per_token=1.0),
    Script(
        "burmese", "\u1000\u1049\u1050\u109f\ua9e0\ua9ff\uaa60\uaa7f", "my", spaced=False,
        per_word=5.0, per_token=1.0,
    ),
    Script("georgian", "\u10a0\u10ff\u1c90\u1cbf", "ka", per_token=1.7),
    Script("hangul", "\u1100\u11ff\u3131\u318e\uac00\ud7a3", "ko", per_token=1.95),
    Script("ethiopic", "\u1200\u135f\u1380\u139f\u2d80\u2ddf", "am", per_token=1.0),
    Script("khmer", "\u1780\u17d3\u17d7\u17d7\u17e0\u17e9", "km", spaced=False, per_word=4.5, per_token=1.0),
    Script(
        "kana",
        "\u3041\u3096\u309d\u309f\u30a1\u30fa\u30fc\u30ff\u31f0\u31ff\uff66\uff9f",
        "ja", spaced=False, per_word=1.6, per_token=1.32,
    ),
    Script(
        "han", "\u3005\u3007\u3400\u4dbf\u4e00\u9fff\uf900\ufaff\U00020000\U000323af", "", spaced=False,
        per_word=1.6, per_token=1.15,
    ),
)  # fmt: skip
SCRIPT: Final = {script.name: script for script in SCRIPTS}


# The known languages that are not written in Latin letters; where kana stand beside Han, kana decide.
SCRIPT_OF: Final = {
    "ja": "kana", "ko": "hangul", "th": "thai", "zh": "han", "hi": "devanagari", "ar": "arabic", "ru": "cyrillic",
}  # fmt: skip


def letters_of(*names: str) -> str:
    """Return the letters of scripts as the inside of a regular expression's class, "A-Za-z" for example."""
    spans = (SCRIPT[name].ranges[i : i + 2] for name in names for i in range(0, len(SCRIPT[name].ranges), 2))
    return "".join(f"{span[0]}-{span[1]}" for span in spans)


_SPANS: Final = sorted(
    (ord(script.ranges[i]), ord(script.ranges[i + 1]), script)
    for script in SCRIPTS
    for i in range(0, len(script.ranges), 2)
)
_STARTS: Final = [start for start, _, _ in _SPANS]


@lru_cache(maxsize=4096)
def script_of(character: str) -> Script | None:
    """Return the script of a letter, None for a mark, a blank, a figure or a letter of no script in the table."""
    code = ord(character)
    place = bisect_right(_STARTS, code) - 1
    if place < 0 or code > _SPANS[place][1]:
        return None
    return _SPANS[place][2]


UNSPACED: Final = letters_of(*(script.name for script in SCRIPTS if not script.spaced))
# Scripts in which nothing but a blank or a line's end parts sentences.
UNMARKED: Final = letters_of(*(script.name for script in SCRIPTS if not script.marked))
# Latin letters apart: whatever is found here is in a script that has its own line in the table.
NOT_LATIN: Final = re.compile(f"[{letters_of(*(script.name for script in SCRIPTS if script.name != 'latin'))}]")

# Full stops, question and exclamation marks: Latin; full- and half-width; Arabic, Urdu; Devanagari; Burmese, Khmer;
# Armenian, Ethiopic, Tibetan; two in one.
FINAL_MARKS: Final = ".!?…‥⋯。！？｡．؟۔।॥။៕។։።፧།༎‼⁇⁈⁉‽⸮"
# Those after which sentencex sees no boundary.
UNKNOWN_MARKS: Final = "។៕།༎፧"
CLAUSE_MARKS: Final = ",;:、，；：､،؛፣፤፥၊·—–"
# At the end of a text these prove that it was to go on; a colon, a dash or a tilde may be meant.
CUT_MARKS: Final = frozenset(",;、，；､،؛፣၊(（[「『【《〈„")
OPENERS: Final = "\"'“‘«‹„‚([{*_「『（【《〈［｛〔"
CLOSERS: Final = "\"'”’»›“)]}*_~」』）】》〉］｝〕`"

# What stands at a word's ends and belongs to no word.
PUNCTUATION: Final = "".join(
    dict.fromkeys("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿§¶†‡•′″©®™°" + FINAL_MARKS + CLAUSE_MARKS + OPENERS + CLOSERS)
)

# Emoji close a chat's sentence as a full stop does: symbols, pictographs, and what is put after them.
EMOJI: Final = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\ufe0f\u20e3\U000e0020-\U000e007f]"
)
# What chats put for a face or a laugh: :-) ^_^ (´・ω・`) \\o/ <3 orz 555 ㅋㅋ
FACE: Final = re.compile(
    r"(?:(?:^|(?<=\s))(?:[:;=][-'^oc]?[()\[\]DPpOo/\\|3*<>]+|<3+|\^[_.o-]*\^|T_*T|>[_.]*<|-_+-|;_+;|Q_+Q|[oO]_+[oO]"
    r"|\\o/|[xX]D+|orz|OTZ|5{3,})"
    r"|[(（](?=[^()（）\n]{0,14}[´`｀^・ω∀◕▽＾°ﾟ≧≦＞＜><;；])(?:[^()（）\n\w]|[ωToOДツ_]){2,14}[)）][\\/ノゞb☆♪]?"
    r"|¯\\_\(ツ\)_/¯|[ㅋㅎㅠㅜ]+|(?<=[\u3041-\u9fff])[wｗ]+|[（(][笑泣汗爆][)）])\Z"
)
FACE_ENDS: Final = frozenset("()[]DPpOo/\\|3*<>^T-;QzZ5)）ノゞb☆♪¯ㅋㅎㅠㅜwｗ")

# What stands before a full stop and ends no sentence, where sentencex does not know it: titles and shortenings.
ABBREVIATIONS: Final = {
    "en": "mr mrs ms mx dr prof sir st ste rev hon lieut lt capt col maj gen sgt messrs mme mlle fr sr jr vs viz cf",
    "de": "hr fr dr prof st dipl ing mag nr bzw ca evtl ggf inkl vgl zzgl abs str tel",
    "fr": "m mm mme mmes mlle dr pr st ste mgr av cf vol",
    "es": "sr sra sres srta dr dra d dña prof profa lic ing av avda núm pág tel ud uds vd vds gral fdo",
    "it": "sig sigg dott prof avv ing arch rag geom gent egr spett pag tel",
    "pt": "sr sra srs dr dra prof profa eng av st sto núm pág tel exmo",
    "ru": "проф акад ул им св см ср тов гр",
    "ar": "د م أ ص ت هـ",
    "hi": "डॉ श्री प्रो कु पं स्व",
    "th": "ดร นาย น ร พ ต จ ศ รศ ผศ",
}
TITLES: Final = {language: frozenset(words.split()) for language, words in ABBREVIATIONS.items()}

# Words behind which no sentence ends, in languages that part words by blanks: articles, conjunctions, "before you".
_UNFINISHED: Final = (
    r"the|a|an|and|or|because|than|my|your|their|our|"
    r"(?:before|because|that|if|when|until|and|but|while|which) (?:i|you|he|she|we|they)|der|die|das|und|oder|"
    r"ein|eine|einen|weil|dass|wenn|mein|zum|zur|le|les|des|et|ou|une|parce que|mais|chez|el|los|las|y|porque|"
    r"pero|il|gli|perché|della|os|das|porque|и|или|но|потому что|чтобы|если"
)
UNFINISHED: Final = re.compile(rf"(?:^|\s)(?:{_UNFINISHED})\Z", re.IGNORECASE)

LATIN_TOKEN_LETTERS: Final = 0.5  # tokens more for each letter with an accent: makes Spanish 3.76 where English is 4.0
EMOJI_TOKENS: Final = 2.0
