"""The one layer that adds text around a sample."""

import jinja2
import pytest
from core_fixtures import tokenizer
from pydantic import ValidationError

from curator.contract.errors import UsageError
from trainer.model.checkpoint import chat_template
from trainer.model.prompt_template import Template

LLISA = Template()
TAGGED = Template(tags={"dual": ["<thought>: ", "<world>: "], "agent": ["<instruction>: ", "<action>: "]})


def test_a_prompt_and_its_reply_are_one_text():
    assert LLISA.wrap("Who came by?") == "Q: Who came by?\nA:"
    assert LLISA.answer("The neighbour.") == " The neighbour."


def test_earlier_exchanges_stand_before_it():
    assert LLISA.wrap("And then?", (("Who?", "Ruth."), ("When?", "At nine."))) == (
        "Q: Who?\nA: Ruth.\nQ: When?\nA: At nine.\nQ: And then?\nA:"
    )


def test_mode_tags_stand_where_the_mode_has_them_and_no_prompt_ends_in_a_blank():
    assert TAGGED.wrap("ring her", mode="agent") == "Q: <instruction>: ring her\nA: <action>:"
    assert TAGGED.after_prompt("I rang.", "agent") == " I rang."
    assert TAGGED.wrap("ring her", mode="agent") + TAGGED.after_prompt("I rang.", "agent") == (
        "Q: <instruction>: ring her\nA: <action>: I rang."
    )
    assert TAGGED.wrap("hm") == TAGGED.wrap("hm", mode="dual")
    with pytest.raises(UsageError, match="knows no mode 'emulation'; expected one of dual, agent"):
        TAGGED.wrap("hm", mode="emulation")


@pytest.mark.parametrize(
    ("template", "mode", "around"),
    [
        (LLISA, None, ("Q: ", "\nA:")),
        (LLISA, "agent", ("Q: ", "\nA:")),
        (TAGGED, "agent", ("Q: <instruction>: ", "\nA: <action>:")),
        (TAGGED, None, ("Q: <thought>: ", "\nA: <world>:")),
        (Template(prompt="{input}\n:"), None, ("", "\n:")),
    ],
)
def test_around_a_prompt_stands_all_that_wrap_adds(template, mode, around):
    assert template.around(mode) == around
    assert f"{around[0]}ring her{around[1]}" == template.wrap("ring her", mode=mode)


def test_text_that_looks_like_a_place_holder_stays_text():
    assert LLISA.wrap("what is {input}?") == "Q: what is {input}?\nA:"
    assert LLISA.answer("it is {output}") == " it is {output}"


def test_curly_quotes_become_straight_only_where_the_base_had_it_so():
    assert LLISA.wrap("“I don’t”") == "Q: “I don’t”\nA:"
    assert Template(plain_quotes=True).wrap("“I don’t”") == 'Q: "I don\'t"\nA:'


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": "Q: {input}\nA: "},
        {"prompt": "Q:\nA:"},
        {"prompt": "{input} {input}:"},
        {"reply": "{output}"},
        {"reply": " yes"},
        {"tags": {"dual": ["<thought>: "]}},
        {"colour": "red"},
    ],
)
def test_a_template_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValidationError):
        Template(**wrong)


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [("Q: hi\nA:", True), ("Q: hi\nA: ", True), ("hi", False), ("Q: hi", False), ("so A:", False), ("", False)],
)
def test_a_wrapped_prompt_is_known(text, wrapped):
    assert LLISA.is_wrapped(text) is wrapped


def test_the_tokens_of_prompt_and_reply_are_those_of_the_whole_text():
    """Otherwise a model would be asked at the prompt's end for a token that training never put there."""
    one = tokenizer()
    for reply in ("The neighbour, at nine.", "ko ti", "1984", "“é 漢", "\tx"):
        prompt = LLISA.wrap("Who  came by?")
        assert one.encode(prompt) + one.encode_after(LLISA.answer(reply)) == one.encode(prompt + LLISA.answer(reply))


def test_the_chat_template_of_hugging_face_gives_the_same_text():
    render = jinja2.Environment().from_string(chat_template(LLISA)).render
    messages = [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Ruth."},
        {"role": "user", "content": "When?"},
    ]
    assert render(messages=messages, bos_token="<s>") == "<s>" + LLISA.wrap("When?", (("Who?", "Ruth."),))
    assert render(messages=messages[:2], bos_token="<s>") == "<s>Q: Who?\nA: Ruth.<s>"
