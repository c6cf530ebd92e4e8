"""The check of an export: it is read back, and must continue three prompts as PyTorch does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from curator.contract.errors import JobError
from trainer.exports.go_template import MODELFILE, read_modelfile, rendered
from trainer.exports.paths import Files
from trainer.exports.readers import ReadBack
from trainer.inference.decoder import greedy
from trainer.model.checkpoint import Checkpoint
from trainer.model.convert import StateDict
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS

PROMPTS = ("How are you today?", "What did you do this morning?", "Tell me about the sea, Zoë.")
TOKENS = 24
TIE = 1e-4  # two logits nearer than this are a tie: which of them wins depends on the order of additions
CLOSE = 1e-3  # logits of the same weights, computed in another order, differ by less than this share of the largest
# The largest rounding error of a weight, as a share of the largest weight of its matrix.
ROUNDING = {"q8": 0.6 / 127, "q8_0": 0.6 / 127, "f16": 2**-10, "bf16": 2**-8}


def check_export(
    checkpoint: Checkpoint,
    read: Callable[[], ReadBack],
    rounded: StateDict | None,
    kind: str,
    log: Callable[[str], None],
) -> None:
    """Check an export. Raises JobError, naming the difference, unless it continues the prompts as PyTorch does.

    `rounded` are the weights of a lossy export: PyTorch then runs those, and the change of the logits is logged.
    """
    try:
        back = read()
    except Exception as error:  # a damaged export can make its reader raise anything
        raise _failed(f"it cannot be read back: {type(error).__name__}: {error}") from error
    _check_config(checkpoint, back)
    if rounded is not None:
        _check_rounding(checkpoint.state, rounded, ROUNDING[kind])
    original = checkpoint.model()
    model = original if rounded is None else _model(checkpoint, rounded)
    moved, kept, compared = 0.0, 0, 0
    for prompt in PROMPTS:
        ids = _check_prompt(checkpoint, back, model, prompt, log)
        if rounded is not None:
            before, after = _logits(original, ids), _logits(model, ids)
            moved = max(moved, float((before - after).abs().max()))
            kept += int((before.argmax(-1) == after.argmax(-1)).sum())
            compared += len(ids)
    log(
        f"checked: the export was read back and goes on with {len(PROMPTS)} prompts as PyTorch does, {TOKENS} "
        "tokens each"
    )
    if rounded is not None:
        log(
            f"rounding the weights to {kind} changes logits by {moved:.4f} at most; {kept} of {compared} next "
            "tokens stay the same"
        )


def _failed(reason: str) -> JobError:
    return JobError(f"the export did not pass its check: {reason}", "nothing was written; please report this as a bug")


def _model(checkpoint: Checkpoint, state: StateDict) -> Llama:
    model = Llama(checkpoint.config)
    model.load_state_dict(state)
    return model.eval()


def _check_config(checkpoint: Checkpoint, back: ReadBack) -> None:
    for name, expected in checkpoint.config.as_dict().items():
        value = back.model.config.get(name, expected)
        if not math.isclose(value, expected, rel_tol=1e-6):
            raise _failed(f"{name} reads back as {value}, and is {expected}")


def _check_rounding(state: StateDict, rounded: StateDict, share: float) -> None:
    for name, tensor in state.items():
        error, most = float((tensor - rounded[name]).abs().max()), share * float(tensor.abs().max())
        if not error <= most + 1e-7:  # `not`, so that NaN fails; fp16 knows nothing below 6e-8
            raise _failed(f"rounding changes {name} by {error:.3g}, which is over {most:.3g}")


@torch.inference_mode()
def _logits(model: Llama, ids: list[int]) -> torch.Tensor:
    return model.logits(torch.tensor([ids]))[0]


def _check_prompt(
    checkpoint: Checkpoint, back: ReadBack, model: Llama, prompt: str, log: Callable[[str], None]
) -> list[int]:
    """Compare ids, greedy tokens and logits of one prompt; return prompt and continuation."""
    text = checkpoint.record.template.wrap(prompt)
    our_ids, their_ids = checkpoint.tokenizer.encode(text), [BOS, *back.encode(text)]
    if their_ids != our_ids:
        raise _failed(f"its tokenizer makes {their_ids} of {text!r}; ours makes {our_ids}")
    context = checkpoint.config.max_seq_len
    ids = our_ids[: context - TOKENS if context > 2 * TOKENS else context // 2 + 1]
    ours, (theirs, logits) = greedy(model, ids, TOKENS), _continued(back, ids)
    expected = _logits(model, ids + theirs)[len(ids) - 1 : -1].numpy()  # (T,V), before each token of the continuation
    difference, size = np.abs(logits - expected).max(), np.abs(expected).max()
    if not difference <= CLOSE * max(1, size):
        raise _failed(f"logits after {text!r} differ by {difference:.3g}; the largest is {size:.3g}")
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), None)
    if at is not None:
        gap = float(expected[at].max() - np.sort(expected[at][[ours[at], theirs[at]]])[0])
        if not gap < TIE:
            raise _failed(f"token {at + 1} after {text!r} is {theirs[at]}, with PyTorch {ours[at]}")
        log(f"{text!r}: compared up to token {at + 1}, where two logits tie ({gap:.1e} apart)")
    return ids + theirs


def _continued(back: ReadBack, ids: list[int]) -> tuple[list[int], np.ndarray]:
    """Return the greedy continuation of ids by the reader's model, and the logits (T,V) behind each token."""
    back.model.reset()
    new, out, logits = ids, list[int](), []
    for _ in range(min(TOKENS, back.model.context - len(ids))):
        logits.append(back.model.forward(new)[-1])
        new = [int(logits[-1].argmax())]
        out += new
    return out, np.array(logits)


def check_modelfile(files: Files, template: Template, context: int) -> None:
    """Read a Modelfile as Ollama does. Raises JobError unless its prompts, stops and context are the model's."""
    commands = read_modelfile(files.beside(MODELFILE))
    values = dict(commands)
    if values["FROM"] != f"./{files.name}" or values["num_ctx"] != str(context):
        raise _failed("the Modelfile names another model or context")
    if [value for name, value in commands if name == "stop"] != template.stops:
        raise _failed("the Modelfile's stops are not the model's")
    prompts = list(PROMPTS[:2])
    modes: list[str | None] = [*template.tags] or [None]
    for mode in modes:
        reply = template.after_prompt("Fine.", mode)
        expected = template.wrap(prompts[1], ((prompts[0], "Fine."),), mode)
        prompt = rendered(values["TEMPLATE"], prompts, [reply], mode or "")
        if prompt != expected or expected != expected.rstrip(" "):
            raise _failed("the Modelfile's template does not make the prompts that the model was trained on")
