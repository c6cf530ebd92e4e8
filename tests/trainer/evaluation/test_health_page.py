"""The page of a health report: every figure where it belongs, nothing that a model wrote acts, the same bytes twice."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from core_fixtures import ROOT

from curator.contract.homes import install
from trainer.evaluation.page import page

HOSTILE = "</script><script>alert('x')</script>\u202egnirts\u200f\x1b[31m\x00\x07\u2066{{ 7 * 7 }}\ud800"
SHOWN = "</script><script>alert('x')</script>\\u202egnirts\\u200f\\x1b[31m\\x00\\x07\\u2066{{ 7 * 7 }}\\ud800"
LONG = "w" * 10_000
TEXT = "{http://www.w3.org/2000/svg}text"


class Read(HTMLParser):
    """What a browser would make of a page: elements with their attributes, headings, rows of cells, text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self._texts.append(data)
        if {"h1", "h2"} & set(self._open):
            self.headings[-1] += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def classes(self) -> list[str | None]:
        return [attributes.get("class") for _, attributes in self.elements]


def metric(name: str, unit: str = "", **keys: Any) -> dict[str, Any]:
    return {
        "name": name, "label": name.replace("_", " "), "unit": unit, "base": None, "tuned": None, "limit": None,
        "limit_says": "", "ok": None, "means": f"What {name} is.",
    } | keys  # fmt: skip


def full() -> dict[str, Any]:
    """A report with every part."""
    return {
        "format": "persona-curator-health",
        "version": 1,
        "checkpoint": "20261121-tuned",
        "base": "20261120-base",
        "verdict": "passed",
        "headline": ["Every limit is kept.", "Mixed at alpha 0.6."],
        "metrics": [
            metric("reply_perplexity", base=226.23, tuned=64.71, limit=226.23, limit_says="below base", ok=True),
            metric("base_perplexity", base=28.04, tuned=41873.2, limit=28.6008, limit_says="at most base", ok=False),
            metric("oov_rate", "%", base=0.0012, tuned=0.011, limit=0.015, ok=True),
            metric("memorisation_unseen", "%", base=0.0, tuned=0.0, limit=0.05, ok=True),
            metric("longest_run_unseen", "words", base=1, tuned=7),
            metric("eos_rate", "%", base=0.12, tuned=0.87, limit=0.8, ok=True),
        ],
        "oov_words": [["surfive", 2], ["gladling", 1]],
        "names": [["Panthers", 3]],
        "base_oov_words": [["bown", 4]],
        "longest_run": "we drove to the lake",
        "calibration": "training 3.72, held-out 4.17 nats a token",
        "curves": [
            {"step": 0, "loss": 4.0, "validation_loss": 4.5, "base_perplexity": 28.04},
            {"step": 5, "loss": 3.0, "validation_loss": None, "base_perplexity": None},
            {"step": 10, "loss": 2.0, "validation_loss": 4.25, "base_perplexity": 28.36},
        ],
        "sweep": [
            {"alpha": alpha, "reply_perplexity": 226.2 - 160 * alpha, "base_perplexity": 28 + alpha,
             "base_change": 0.03 * alpha, "oov_rate": 0.02 * alpha, "memorisation": 0.0, "eos_rate": 0.1 + 0.8 * alpha,
             "passes": alpha == 0.6, "chosen": alpha == 0.6}
            for alpha in (0, 0.3, 0.6, 1)
        ],
        "samples": [{"step": 10, "samples": [{"prompt": "Hello?", "base": "Sea sea", "now": "The lake."}]}],
        "replies": [{"prompt": "Where?", "reference": "At home.", "base": "Sea.", "tuned": "By the lake."}],
        "advice": ["Train fewer steps."],
        "sizes": {"train": 154, "held_out": 17, "replies": 192, "words": 5310, "base_text_tokens": 32768},
    }  # fmt: skip


def no_charts(**keys: Any) -> dict[str, Any]:
    return full() | {"curves": [], "sweep": []} | keys


@pytest.fixture(scope="module")
def source() -> str:
    return page(full())


def svgs(source: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", source, re.DOTALL)]


def words(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(TEXT)]


# --- what stands where -----------------------------------------------------------------------------------------------


def test_the_parts_come_in_their_order(source: str) -> None:
    read = Read(source)
    assert read.headings == [
        "✓ Passed",
        "What was measured",
        "While it was trained",
        "Between base and tuned",
        "Words that it invented",
        "Names that it says",
        "The longest run of words shared with a training reply",
        "Replies to unseen prompts",
        "Samples at each evaluation",
        "What to try",
    ]
    assert (
        source.index("Every limit is kept.") < source.index("Mixed at alpha 0.6.") < source.index("What was measured")
    )
    assert source.index("<td") < source.index("training 3.72, held-out") < source.index("While it was trained")
    assert "fine-tune 20261121-tuned, from base 20261120-base" in read.text
    assert "154 for training, 17 held out · 192 replies, 5,310 words · 32,768 tokens of base text" in read.text


@pytest.mark.parametrize(
    ("verdict", "kind", "says"),
    [
        ("passed", "good", "✓ Passed"),
        ("refused", "bad", "✗ Refused"),
        ("accepted", "bad", "✗ Accepted, although degraded"),
        ("measured", "neutral", "Measured, not compared"),
        ("<b>", "neutral", "<b>"),
    ],
)
def test_the_verdict_is_said_in_big_words(verdict: str, kind: str, says: str) -> None:
    read = Read(page(no_charts(verdict=verdict)))
    assert read.headings[0] == says
    assert f"verdict {kind}" in read.classes


def test_the_table_of_metrics_is_exact() -> None:
    assert Read(page(no_charts())).rows == [
        ["measure", "base", "tuned", "limit", "", "what it is"],
        ["reply perplexity", "226.2", "64.7", "226.2below base", "✓\xa0ok", "What reply_perplexity is."],
        ["base perplexity", "28.0", "41,873.2", "28.6at most base", "✗\xa0not\xa0ok", "What base_perplexity is."],
        ["oov rate", "0.12%", "1.10%", "1.50%", "✓\xa0ok", "What oov_rate is."],
        ["memorisation unseen", "0.00%", "0.00%", "5.00%", "✓\xa0ok", "What memorisation_unseen is."],
        ["longest run unseen", "1 word", "7 words", "", "", "What longest_run_unseen is."],
        ["eos rate", "12.0%", "87.0%", "80.0%", "✓\xa0ok", "What eos_rate is."],
    ]


@pytest.mark.parametrize(
    ("name", "unit", "value", "shown"),
    [
        ("reply_perplexity", "", 1.04, "1.0"),
        ("reply_perplexity", "", 2.5e9, "2.5e+09"),
        ("reply_perplexity", "", math.inf, "∞"),
        ("reply_perplexity", "", math.nan, "not a number"),
        ("oov_rate", "%", 0.0994, "9.94%"),
        ("oov_rate", "%", 0.09999, "10.0%"),
        ("oov_rate", "%", 1, "100.0%"),
        ("longest_run_train", "words", 1234, "1,234 words"),
        ("distinct_2", "", 0.614, "0.61"),
        ("gain", "points", 1, "1 point"),
        ("gain", "points", -1.5, "-1.50 points"),
        ("gain", "", "many", ""),
    ],
)
def test_a_figure_has_the_form_of_its_kind(name: str, unit: str, value: object, shown: str) -> None:
    read = Read(page({"verdict": "measured", "metrics": [metric(name, unit, tuned=value)]}))
    assert read.rows == [["measure", "tuned", "what it is"], [name.replace("_", " "), shown, f"What {name} is."]]


def test_the_tables_of_curves_and_sweep_are_exact(source: str) -> None:
    rows = Read(source).rows[7:]
    assert rows == [
        ["step", "training loss", "held-out loss", "perplexity of base text"],
        ["0", "4.000", "4.500", "28.0"],
        ["10", "2.000", "4.250", "28.4"],
        ["alpha", "perplexityof replies", "perplexityof base text", "itschange", "invented", "recited", "stopped",
         "limits", ""],
        ["0 (base)", "226.2", "28.0", "0.00%", "0.00%", "0.00%", "10.0%", "✗\xa0not\xa0ok", ""],
        ["0.3", "178.2", "28.3", "+0.90%", "0.60%", "0.00%", "34.0%", "✗\xa0not\xa0ok", ""],
        ["0.6", "130.2", "28.6", "+1.80%", "1.20%", "0.00%", "58.0%", "✓\xa0ok", "chosen"],
        ["1 (tuned)", "66.2", "29.0", "+3.00%", "2.00%", "0.00%", "90.0%", "✗\xa0not\xa0ok", ""],
    ]  # fmt: skip


def test_words_have_their_counts_beside_those_of_the_base(source: str) -> None:
    found = re.findall(r"<h3>(\w+)</h3>|<bdi>(\w+)</bdi>&nbsp;<span class=\"soft\">(\d+)</span>", source)
    assert found == [
        ("tuned", "", ""), ("", "surfive", "2"), ("", "gladling", "1"), ("base", "", ""), ("", "bown", "4"),
        ("", "Panthers", "3"),
    ]  # fmt: skip


def test_a_base_that_invented_nothing_is_said_so_only_where_there_is_one() -> None:
    assert Read(page(no_charts(base_oov_words=[]))).text.split().count("none") == 1
    assert "none" not in Read(page(no_charts(base_oov_words=[], base=None))).text.split()


def test_replies_and_samples_stand_side_by_side(source: str) -> None:
    said = re.findall(r'<div class="who">(.*?)</div><div class="text" dir="auto">(.*?)</div>', source)
    assert said == [
        ("reference", "At home."), ("base", "Sea."), ("tuned", "By the lake."), ("base", "Sea sea"),
        ("now", "The lake."),
    ]  # fmt: skip
    assert source.count("<summary>step 10</summary>") == 1


# --- parts that are missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [{}, dict.fromkeys(full()), {"verdict": "measured"}])
def test_a_report_of_nothing_makes_a_page_of_a_verdict(report: dict[str, Any]) -> None:
    read = Read(page(report))
    assert read.text.split() == ["Health", "report"] + (
        ["Measured,", "not", "compared"] if report.get("verdict") else []
    )
    assert not read.tags & {"svg", "table", "h2", "details"}


@pytest.mark.parametrize("missing", [None, [], ""])
@pytest.mark.parametrize("key", [key for key in full() if key not in ("curves", "sweep", "sizes")])
def test_any_part_may_be_missing(key: str, missing: object) -> None:
    whole, read = Read(page(no_charts())), Read(page(no_charts(**{key: missing})))
    assert "None" not in read.text
    assert len(read.headings) >= len(whole.headings) - 1
    assert len(read.text) < len(whole.text) or key in ("format", "version")


def test_without_a_base_there_is_no_column_for_it() -> None:
    metrics = [metric("reply_perplexity", tuned=64.7), metric("eos_rate", "%", tuned=0.5, base=None)]
    replies = [{"prompt": "Where?", "reference": None, "base": None, "tuned": ""}]
    samples = [{"step": 5, "samples": [{"prompt": "Hello?", "base": None, "now": "Hi."}]}, {"step": 6}]
    absent: dict[str, Any] = {"base": None, "base_oov_words": [], "headline": ["Measured."], "verdict": "measured"}
    source = page(no_charts(metrics=metrics, replies=replies, samples=samples, **absent))
    read = Read(source)
    assert read.rows[0] == ["measure", "tuned", "what it is"]
    assert re.findall(r'class="who">(\w+)<', source) == ["tuned", "now"]
    assert "(empty)" in read.text
    assert "None" not in read.text
    assert not re.search(r"\bbase\b", read.text.replace("base text", ""))


def test_rows_without_figures_are_drawn_as_far_as_they_go() -> None:
    curves = [{"step": 5, "loss": 4.1}, {"step": None, "loss": 1.0}, {"step": 10, "loss": math.nan}]
    sweep = [{"alpha": 0.5, "oov_rate": 0.01}, {"alpha": None, "oov_rate": 0.5}, {"alpha": 1, "oov_rate": math.inf}]
    source = page({"verdict": "measured", "curves": curves, "sweep": sweep})
    assert [svg.get("aria-label") for svg in svgs(source)] == [
        "Loss, nats a token: training goes from 4.100 to 4.100",
        "Invented words: it goes from 1.00% to 1.00%",
    ]
    assert "Full dots" not in source
    assert [row[0] for row in Read(source).rows] == ["alpha", "0.5", "1 (tuned)"]


# --- hostile text ----------------------------------------------------------------------------------------------------


def hostile(text: str) -> dict[str, Any]:
    """A report whose every text is the given one."""
    words = [[text, 1]]
    return full() | {
        "checkpoint": text, "base": text, "headline": [text], "oov_words": words, "names": words,
        "base_oov_words": words, "longest_run": text, "calibration": text, "advice": [text],
        "metrics": [metric("oov_rate", "%", tuned=0.5, label=text, limit_says=text, means=text)],
        "replies": [{"prompt": text, "reference": text, "base": text, "tuned": text}],
        "samples": [{"step": text, "samples": [{"prompt": text, "base": text, "now": text}]}],
    }  # fmt: skip


def test_nothing_that_was_written_acts() -> None:
    source = page(hostile(HOSTILE))
    read = Read(source)
    assert "script" not in read.tags
    assert read.text.count(SHOWN) == 21
    assert not set(source) & set("\u202e\u200f\x1b\x00\x07\u2066\ud800")
    assert Read(page(full())).tags == read.tags
    source.encode("utf-8")


def test_markup_in_a_text_adds_no_element() -> None:
    markup = "<img src=x onerror=alert(1)>' \"&amp;"
    plain, marked = (Read(page(hostile(text))) for text in ("words", markup))
    assert marked.elements == plain.elements
    assert marked.text.count(markup) == 21


def test_a_word_of_any_length_is_whole_and_may_wrap() -> None:
    source = page(hostile(LONG))
    assert source.count(LONG) == 21
    assert re.search(r"body \{[^}]*overflow-wrap: anywhere", source)


def test_lines_of_a_text_stay() -> None:
    replies = [{"prompt": "a\nb", "tuned": "1\n\n2\r\n3"}]
    source = page(no_charts(replies=replies))
    assert ">a\nb</div>" in source
    assert ">1\n\n2\\r\n3</div>" in source
    assert re.search(r"\.text \{[^}]*white-space: pre-wrap", source)


# --- the page as a file ----------------------------------------------------------------------------------------------


def test_the_page_loads_nothing(source: str) -> None:
    read = Read(source)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "a", "video"}
    for _, attributes in read.elements:
        assert not any(name.startswith("on") for name in attributes)
        addresses = [attributes.get(name) for name in ("src", "href", "xlink:href", "srcset", "data")]
        assert all(one is None or one.startswith("#") for one in addresses)
    assert set(re.findall(r"url\((.)", source)) == {"#"}
    assert "@import" not in source
    assert set(re.findall(r'(\S+)="https?:', source)) == {"xmlns", "xmlns:xlink"}
    policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    assert ("meta", policy) in read.elements
    assert ("meta", {"charset": "utf-8"}) in read.elements


def test_two_calls_return_the_same_bytes(source: str) -> None:
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"axes.labelsize": 30, "svg.fonttype": "path", "svg.hashsalt": None}):
        assert page(full()) == source
    assert dict(matplotlib.rcParams) == before


def test_another_process_returns_the_same_bytes_and_never_loads_pyplot(source: str, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path[:0] = [sys.argv[1] + part for part in ('', '/evaluation', '/..')]\n"
        "from test_health_page import full, page\n"
        "open(sys.argv[2], 'w', encoding='utf-8', newline='').write(page(full()))\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    out, folder = tmp_path / "page.html", ROOT / "tests" / "trainer"
    subprocess.run([sys.executable, "-c", script, str(folder), str(out)], check=True, cwd=ROOT)
    assert out.read_bytes() == source.encode()


# --- charts ----------------------------------------------------------------------------------------------------------


def test_there_is_a_chart_for_every_figure(source: str) -> None:
    assert re.findall(r"<figcaption>(.*?)</figcaption>", source) == [
        "Loss, nats a token",
        "Perplexity of base text",
        "Perplexity of replies",
        "Change of base text&#39;s perplexity",
        "Invented words",
        "Recited from training",
        "Replies that stop by themselves",
    ]
    assert len(svgs(source)) == 7


def test_charts_name_their_lines_limits_and_what_was_chosen(source: str) -> None:
    found = [set(words(svg)) for svg in svgs(source)]
    assert {"held-out 4.250", "gap 2.250", "training 2.000", "step"} <= found[0]
    assert {"28.4", "budget 28.6"} <= found[1]
    assert {"66.2", "limit 226.2", "chosen 0.6: 130.2", "alpha: from base to tuned"} <= found[2]
    assert {"+3.00%", "budget +2.00%", "chosen 0.6: +1.80%"} <= found[3]
    assert {"2.00%", "limit 1.50%", "chosen 0.6: 1.20%"} <= found[4]
    assert {"0.00%", "limit 5.00%", "chosen 0.6: 0.00%"} <= found[5]
    assert {"90.0%", "limit 80.0%", "chosen 0.6: 58.0%"} <= found[6]
    assert svgs(source)[2].get("aria-label") == (
        "Perplexity of replies: it goes from 226.2 to 66.2, the limit is 226.2"
    )


def test_charts_fit_any_width_and_take_the_pages_colours(source: str) -> None:
    for svg in svgs(source):
        assert svg.get("width") == "100%"
        assert svg.get("height") is None
        assert svg.get("viewBox", "").startswith("0 0 ")
        assert svg.get("role") == "img"
        text = ElementTree.tostring(svg, "unicode")
        assert "<style" not in text
        assert "font-family" not in text
        used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", text))
        assert used <= {
            "none",
            *(f"var(--{name})" for name in ("blue", "green", "vermilion", "ink", "soft", "line", "paper")),
        }


def test_no_id_stands_twice_and_every_reference_leads_somewhere(source: str) -> None:
    ids = Counter(re.findall(r'\bid="([^"]+)"', source))
    assert [one for one, times in ids.items() if times > 1] == []
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', source))
    assert references
    assert references <= set(ids)


def test_labels_beside_a_chart_never_lie_on_each_other() -> None:
    curves = [{"step": step, "loss": 3.0, "validation_loss": 3.0, "base_perplexity": 28.6} for step in (0, 5)]
    for svg in svgs(page(full() | {"curves": curves})):
        labels = [text for text in svg.iter(TEXT) if "text-anchor: start" in text.get("style", "")]
        right = max(float(text.get("x", "0")) for text in labels)
        heights = sorted(float(text.get("y", "0")) for text in labels if float(text.get("x", "0")) == right)
        assert all(below - above > 9 for above, below in pairwise(heights))
        assert all(0 < height < float(svg.get("viewBox", "").split()[3]) for height in heights)


def test_figures_over_many_powers_of_ten_get_a_logarithmic_scale() -> None:
    curves = [{"step": step, "loss": 3.0, "base_perplexity": 28 * 10.0 ** (step * 10)} for step in range(6)]
    sweep = [{"alpha": alpha, "reply_perplexity": 50, "base_change": 900 * alpha - 0.01} for alpha in (0, 0.5, 1)]
    source = page(full() | {"curves": curves, "sweep": sweep})
    assert re.findall(r"<figcaption>(.*?)</figcaption>", source) == [
        "Loss, nats a token",
        "Perplexity of base text, on a logarithmic scale",
        "Perplexity of replies",
        "Change of base text&#39;s perplexity, on a logarithmic scale",
    ]
    assert "2.8e+51" in words(svgs(source)[1])
    assert {"0%", "1,000%", "+89,999.0%"} <= set(words(svgs(source)[3]))


def test_a_long_run_is_drawn_without_dots() -> None:
    short, long = (
        svgs(page({"curves": [{"step": step, "loss": 3.0 + step % 3} for step in range(steps)]}))[0]
        for steps in (40, 41)
    )
    dots = [sum(1 for _ in svg.iter("{http://www.w3.org/2000/svg}use")) for svg in (short, long)]
    assert dots[0] - dots[1] >= 38


def test_curves_that_share_no_step_have_no_gap() -> None:
    curves = [{"step": 0, "loss": 4.0}, {"step": 5, "loss": 3.0}, {"step": 9, "validation_loss": 4.0}]
    found = words(svgs(page({"curves": curves}))[0])
    assert {"held-out 4.000", "training 3.000"} <= set(found)
    assert not [text for text in found if text.startswith("gap")]


def test_without_matplotlib_the_tables_are_there_and_a_line_says_what_to_install(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    without = page(full())
    assert "svg" not in Read(without).tags
    assert f"<code>{install('matplotlib')}</code>" in without
    assert "Full dots" not in without
    assert Read(without).rows == Read(source).rows
    assert Read(without).headings == Read(source).headings
    assert "pip install" not in source
    assert "pip install" not in page(no_charts())
