"""The runtimes themselves, run by `make verify` where they are installed: transformers, tokenizers, llama.cpp, run.c.

Needs no network. transformers, tokenizers and xllamacpp (llama.cpp) are taken where they are installed; run.c and
runq.c where $LLAMA2C_RUN and $LLAMA2C_RUNQ name compiled binaries. What is missing is skipped, with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_fixtures import TIED, UNTIED, odd_strings, random_state, run_c_logits, tiny_checkpoint, tiny_tokenizer

from trainer.engines import engine_of
from trainer.exports import export, numpy_llama, readers
from trainer.inference.decoder import greedy
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import TextStream, write_reply
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.model.tokenizer import BOS, EOS, Tokenizer
from trainer.names import builtin_base

pytestmark = [pytest.mark.verify, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TIE = 1e-4
TOKENS = 64
EIGHT_BIT_TOKENS = 16
ASKED = (
    "How are you today?", "What did you do this morning?", "What are you worried about?", "Tell me about the sea.",
    "Who is Zoë?", "Why?", "Do you like  two blanks?", "I went to the harbour on 12 May 1987.", "Was it cold?",
    "She said: \"No!\"", "Where is the dog", "And then?\nWhat then?", "Ω, 中文 and 🙂", "it was, perhaps, too late",
    "Do you remember the old house?", "What would you say to him?", "Can you count to 100?", "Good night!", "a", "End.",
)  # fmt: skip


def long(folder: Path, size: str) -> Checkpoint:
    """A tiny model with room for 64 tokens after any of the prompts."""
    return tiny_checkpoint(folder / size, replace({"tied": TIED, "untied": UNTIED}[size], max_seq_len=256))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """The base that comes with the project, where it is there, and two tiny models with random weights."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    out = {size: long(folder, size) for size in ("tied", "untied")}
    if (builtin_base() / "model.safetensors").is_file():
        out["base"] = load_checkpoint(builtin_base())
    return out


@pytest.fixture(params=["base", "tied", "untied"])
def checkpoint(made: dict[str, Checkpoint], request: pytest.FixtureRequest) -> Checkpoint:
    if request.param not in made:
        pytest.skip("the built-in base is not there: trainer/base/model.safetensors")
    return made[request.param]


_GREEDY: dict[tuple[str, tuple[int, ...]], list[int]] = {}


def our_tokens(checkpoint: Checkpoint, ids: list[int]) -> list[int]:
    """Return PyTorch's tokens after a prompt, up to an end mark; each is computed once."""
    key = (checkpoint.sha256, tuple(ids))
    if key not in _GREEDY:
        _GREEDY[key] = until_end(greedy(checkpoint.model(), ids, TOKENS))
    return _GREEDY[key]


def logits(checkpoint: Checkpoint, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return checkpoint.model().logits(torch.tensor([ids]))[0].numpy()


def until_end(tokens: list[int]) -> list[int]:
    """Return tokens up to the first end mark, where runtimes stop and `greedy` does not."""
    return tokens[: next((at for at, one in enumerate(tokens) if one in (BOS, EOS)), len(tokens))]


def agree(checkpoint: Checkpoint, runtime: str, theirs: Callable[[list[int], str], list[int]]) -> None:
    """Compare 20 prompts x 64 tokens; a difference is allowed where PyTorch's two logits tie, and is told."""
    compared = 0
    for asked in ASKED:
        text = checkpoint.record.template.wrap(asked)
        ids = checkpoint.tokenizer.encode(text)
        ours = our_tokens(checkpoint, ids)
        found = until_end(theirs(ids, text))
        same = next(
            (at for at, (a, b) in enumerate(zip(ours, found, strict=False)) if a != b), min(len(ours), len(found))
        )
        compared += same
        if len(ours) != len(found) or ours != found:
            last = logits(checkpoint, ids + ours[:same])[-1]
            best = np.sort(last)[::-1]
            assert best[0] - best[1] < TIE, (
                f"{runtime}: {asked!r}: token {same + 1}: {found[same : same + 1]}, PyTorch {ours[same : same + 1]}"
            )
            print(f"{runtime}: {asked!r}: two logits tie at token {same + 1}, {best[0] - best[1]:.1e} apart")
    print(f"{runtime}: {compared} tokens of {len(ASKED)} prompts are PyTorch's")
    assert compared


# --- transformers and tokenizers -----------------------------------------------------------------------------------


def in_transformers(checkpoint: Checkpoint, folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    if not folder.exists():
        export(checkpoint, "hf", folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def test_transformers_computes_the_same_logits(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = in_transformers(checkpoint, tmp_path / "hf")
    ids = torch.randint(3, checkpoint.config.vocab_size, (2, 128), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs, ours = model(ids).logits, checkpoint.model().logits(ids)
    difference = float((theirs - ours).abs().max())
    print(f"transformers: logits differ by {difference:.1e} at most; their deviation is {ours.std():.2f}")
    assert difference < 1e-4


def test_transformers_writes_the_same_tokens(checkpoint: Checkpoint, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = in_transformers(checkpoint, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")

    def theirs(ids: list[int], text: str) -> list[int]:
        assert tokenizer(text)["input_ids"] == ids
        prompt = torch.tensor([ids])
        out = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, temperature=None, top_k=None, top_p=None,
            max_new_tokens=TOKENS, max_length=None,
        )  # fmt: skip
        return list(out[0, len(ids) :].tolist())

    agree(checkpoint, "transformers", theirs)


def test_transformers_makes_the_same_prompt(checkpoint: Checkpoint, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export(checkpoint, "hf", tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    turns = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<s>" + checkpoint.record.template.wrap("Why?", (("Hi.", "Hello."),))


# --- the numpy runner ----------------------------------------------------------------------------------------------


def test_the_numpy_runner_writes_the_same_tokens(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export(checkpoint, "npz", tmp_path / "model.npz")
    runner = numpy_llama.Llama.load(str(tmp_path / "model.npz"))

    def theirs(ids: list[int], text: str) -> list[int]:
        assert [BOS, *runner.encode(text)] == ids
        runner.reset()
        new, out = ids, list[int]()
        for _ in range(TOKENS):
            new = [int(runner.forward(new)[-1].argmax())]
            out += new
        return out

    agree(checkpoint, "numpy", theirs)


# --- llama.cpp -----------------------------------------------------------------------------------------------------


@contextmanager
def llama_cpp(path: Path, context: int) -> Iterator[Any]:
    """Run llama.cpp's server in this process, all in fp32."""
    xllamacpp = pytest.importorskip("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = context, 1, 1
    settings.warmup, settings.verbosity, settings.fit_params = False, 0, False
    yield xllamacpp.Server(settings)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_llama_cpp_writes_the_same_tokens(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    export(checkpoint, "gguf", tmp_path / "model.gguf", dtype=dtype)
    context = checkpoint.config.max_seq_len
    if dtype == "f16":  # llama.cpp rounds what it multiplies to fp16 too, so only running it is tested
        with llama_cpp(tmp_path / "model.gguf", context) as server:
            assert server.handle_completions({"prompt": "Q: Why?\nA:", "n_predict": 8, "temperature": 0})["choices"]
        return
    with llama_cpp(tmp_path / "model.gguf", context) as server:

        def theirs(ids: list[int], text: str) -> list[int]:
            asked = {
                "prompt": text,
                "n_predict": TOKENS,
                "temperature": 0.0,
                "return_tokens": True,
                "cache_prompt": False,
            }
            return list(ask(server, "completion", asked)["tokens"])

        agree(checkpoint, "llama.cpp", theirs)


def ask(server: Any, route: str, value: dict[str, Any]) -> Any:
    """Ask llama.cpp's server in this process."""
    header = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.listening_address}/{route}", json.dumps(value).encode(), header)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def ids_in_llama_cpp(server: Any, text: str) -> list[int]:
    return list(ask(server, "tokenize", {"content": text, "add_special": False, "parse_special": False})["tokens"])


# --- 2,000 strings -------------------------------------------------------------------------------------------------


def tokenizer_of(made: dict[str, Checkpoint], name: str) -> tuple[Tokenizer, Checkpoint]:
    checkpoint = made.get(name) or made["tied"]
    return checkpoint.tokenizer, checkpoint


@pytest.mark.parametrize("name", ["base", "tied"])
def test_all_tokenizers_agree_on_2000_strings(made: dict[str, Checkpoint], tmp_path: Path, name: str) -> None:
    tokenizer, checkpoint = tokenizer_of(made, name)
    texts = odd_strings(2000, seed=8)
    expected = tokenizer.encode_all(texts)
    export(checkpoint, "bin", tmp_path / "bin")
    export(checkpoint, "npz", tmp_path / "model.npz")
    export(checkpoint, "gguf", tmp_path / "model.gguf")
    pieces, scores = readers.read_tokenizer_bin(tmp_path / "bin" / "tokenizer.bin", tokenizer.vocab_size)
    runner = numpy_llama.Llama.load(str(tmp_path / "model.npz"))
    encoders: dict[str, Callable[[str], list[int]]] = {
        "run.c": lambda text: readers.encode_as_run_c(text, pieces, scores), "numpy": runner.encode,
    }  # fmt: skip
    for reader, encode in encoders.items():
        for text, ids in zip(texts, expected, strict=True):
            assert encode(text) == ids, (reader, text)
    with llama_cpp(tmp_path / "model.gguf", checkpoint.config.max_seq_len) as server:
        for text, ids in zip(texts, expected, strict=True):
            assert ids_in_llama_cpp(server, text) == ids, ("llama.cpp", text)


@pytest.mark.parametrize("name", ["base", "tied"])
def test_tokenizer_json_agrees_on_2000_strings(made: dict[str, Checkpoint], tmp_path: Path, name: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer, checkpoint = tokenizer_of(made, name)
    export(checkpoint, "hf", tmp_path / "hf")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
    texts = odd_strings(2000, seed=8)
    for text, ids in zip(texts, tokenizer.encode_all(texts), strict=True):
        assert theirs.encode(text).ids == [BOS, *ids], text
        assert theirs.decode(ids) == tokenizer.decode(ids), text


# --- run.c and runq.c ----------------------------------------------------------------------------------------------


def binary(name: str) -> str:
    path = os.environ.get(name)
    if not path:
        pytest.skip(f"${name} names no compiled binary of llama2.c")
    return path


def printed(pieces: list[bytes], tokens: list[int], previous: int = BOS) -> bytes:
    """Return what run.c prints for tokens: no blank behind <s>, bytes only where a terminal can show them."""
    out = b""
    for token in tokens:
        piece = pieces[token]
        if previous == BOS and piece.startswith(b" "):
            piece = piece[1:]
        if piece.startswith(b"<0x"):
            piece = bytes([int(piece[3:5], 16)])
        if len(piece) != 1 or piece.isspace() or 32 <= piece[0] < 127:
            out += piece
        previous = token
    return out


def run(program: str, folder: Path, text: str, steps: int) -> bytes:
    command = [program, folder / "model.bin", "-z", folder / "tokenizer.bin", "-t", "0", "-n", str(steps), "-i", text]
    done = subprocess.run(command, capture_output=True, env={"OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix(b"\n")


def tokens_of(output: bytes, pieces: list[bytes], ids: list[int], ours: list[int]) -> list[int]:
    """Return how many of our tokens run.c's text shows: those, and -1 where it goes on in another way."""
    whole = [*ids[1:], *ours]
    assert output.startswith(printed(pieces, ids[1:]))
    for length in range(len(whole), len(ids) - 2, -1):
        shown = printed(pieces, whole[:length])
        if output == shown or (output.startswith(shown) and length < len(whole)):
            return ours[: length - len(ids) + 1] + [-1] * (output != shown)
    raise AssertionError(output)


def test_run_c_writes_the_same_text(checkpoint: Checkpoint, tmp_path: Path) -> None:
    program = binary("LLAMA2C_RUN")
    export(checkpoint, "bin", tmp_path / "out")
    pieces, _ = readers.read_tokenizer_bin(tmp_path / "out" / "tokenizer.bin", checkpoint.config.vocab_size)

    def theirs(ids: list[int], text: str) -> list[int]:
        output = run(program, tmp_path / "out", text, len(ids) - 1 + TOKENS)
        return tokens_of(output, pieces, ids, our_tokens(checkpoint, ids))

    agree(checkpoint, "run.c", theirs)


@pytest.mark.parametrize("name", ["numpy", "llama.cpp", "run.c"])
def test_an_engine_writes_the_text_of_pytorch(made: dict[str, Checkpoint], name: str) -> None:
    """As chat drives it: greedy, until two logits tie; then drawn, twice alike by the same seed.

    Of the base alone: random weights write broken UTF-8, which the engines in C do not pass on.
    """
    if "base" not in made:
        pytest.skip("the built-in base is not there: trainer/base/model.safetensors")
    if name == "llama.cpp":
        pytest.importorskip("xllamacpp")
    checkpoint, runner = made["base"], Path(binary("LLAMA2C_RUN")) if name == "run.c" else None
    tokenizer, same, ids = checkpoint.tokenizer, 0, list[int]()
    with engine_of(checkpoint, name, threads=1, runner=runner) as engine:
        for asked in ASKED:
            ids = tokenizer.encode(checkpoint.record.template.wrap(asked))
            ours = our_tokens(checkpoint, ids)
            found = write_reply(engine, tokenizer, ids, Sampling(temperature=0.0, max_tokens=TOKENS), strip=False).text
            expected = written(checkpoint, ours)
            same += found == expected
            if found != expected:
                shared = next(at for at in range(len(expected), -1, -1) if found[:at] == expected[:at])
                at = max(at for at in range(len(ours)) if len(written(checkpoint, ours[:at])) <= shared)
                best = np.sort(logits(checkpoint, ids + ours[:at])[-1])[::-1]
                assert best[0] - best[1] < TIE, (name, asked, found, expected)
        drawn = Sampling(temperature=0.9, top_p=0.9, top_k=0 if name == "run.c" else 40, seed=7, max_tokens=24)
        texts = {write_reply(engine, tokenizer, ids, drawn).text for _ in range(2)}
        assert len(texts) == 1 and texts.pop()
    print(f"{name}: {same} of {len(ASKED)} replies are PyTorch's")
    assert same >= len(ASKED) - 2


def written(checkpoint: Checkpoint, tokens: list[int]) -> str:
    """Return the text of a reply of these tokens."""
    stream = TextStream(checkpoint.tokenizer, strip=False)
    for token in tokens:
        stream.add(token)
    stream.finish()
    return stream.text


def rounded_as_runq(x: np.ndarray, size: int) -> np.ndarray:
    groups = x.reshape(-1, size)
    scale = np.abs(groups).max(1, keepdims=True) / np.float32(127)
    ratio = groups / scale
    return (np.sign(ratio) * np.floor(np.abs(ratio) + np.float32(0.5)) * scale).reshape(x.shape)


class Rounding(np.ndarray):
    """A matrix that rounds the vector it is multiplied with, as runq.c does."""

    group = 32

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self) @ rounded_as_runq(np.asarray(x), self.group)


def test_runq_c_writes_what_eight_bits_allow(checkpoint: Checkpoint, tmp_path: Path) -> None:
    program = binary("LLAMA2C_RUNQ")
    export(checkpoint, "q8", tmp_path / "out")
    config, found = readers.read_v2(tmp_path / "out" / "model.bin")
    pieces, _ = readers.read_tokenizer_bin(tmp_path / "out" / "tokenizer.bin", config.vocab_size)
    Rounding.group = 32 if config.dim % 32 == 0 else 16
    names = {"token_embedding_table": "tok_emb", "rms_att_weight": "attn_norm", "rms_ffn_weight": "ffn_norm",
             "rms_final_weight": "final_norm"}  # fmt: skip
    weights = {name: found[theirs] for name, theirs in names.items()}
    weights |= {name: found[name].view(Rounding) for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")}
    weights["wcls"] = found.get("wcls", found["tok_emb"]).view(Rounding)
    p = {"dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads}
    same = 0
    for asked in ASKED[:3]:
        text = checkpoint.record.template.wrap(asked)
        ids, ours, gaps = checkpoint.tokenizer.encode(text), list[int](), list[float]()
        for _ in range(EIGHT_BIT_TOKENS):
            last = run_c_logits(p, weights, ids + ours)[-1]
            ours.append(int(last.argmax()))
            gaps.append(float(last.max() - np.sort(last)[-2]))
        output = run(program, tmp_path / "out", text, len(ids) - 1 + EIGHT_BIT_TOKENS)
        found_here = tokens_of(output, pieces, ids, until_end(ours))
        at = len(found_here) - (found_here[-1:] == [-1])
        same += at
        # a sum in another order can round an activation to the next of its 255 steps
        assert -1 not in found_here or gaps[at] < 0.05, (asked, at, gaps[at])
    print(f"runq.c: {same} of {3 * EIGHT_BIT_TOKENS} tokens are those of its arithmetic in numpy")
    assert same >= 1.5 * EIGHT_BIT_TOKENS


def test_the_tiny_tokenizer_is_the_one_that_random_models_use() -> None:
    assert tiny_tokenizer().vocab_size == TIED.vocab_size == len(random_state(TIED)["embedding.weight"])
