"""llama.cpp as an engine, in this process, by the binding xllamacpp (the extra `llama-cpp`)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from curator.contract.errors import JobError, UsageError
from curator.contract.files import scratch_folder
from curator.contract.homes import install_extra
from trainer.exports import gguf_file
from trainer.exports.paths import Files
from trainer.inference.sampling import Sampling
from trainer.model.checkpoint import Checkpoint

# Ours in their order: temperature first, then what is left out of what remains.
_SAMPLERS = ["penalties", "temperature", "top_k", "top_p", "min_p"]


@contextmanager
def llama_cpp(checkpoint: Checkpoint, threads: int) -> Iterator[LlamaCpp]:
    """Give the engine, all in fp32; the model lies in a temporary folder as long as it is in use.

    Raises UsageError where the binding is not installed.
    """
    try:
        import xllamacpp
    except ImportError:
        raise UsageError("llama.cpp's binding xllamacpp is not installed", install_extra("llama-cpp")) from None
    with scratch_folder("persona-curator-") as folder:
        files = Files(folder, "model.gguf")
        gguf_file.write(checkpoint, files, "f32")
        yield LlamaCpp(checkpoint, _server(xllamacpp, files.main, checkpoint.config.max_seq_len, threads))


def _server(xllamacpp: Any, path: Path, context: int, threads: int) -> Any:
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.n_ctx, settings.n_parallel, settings.warmup, settings.fit_params = context, 1, False, False
    settings.verbosity = 0
    # It listens on this machine's loopback, where other users' programs could ask it: the key is nobody's.
    settings.api_keys = [secrets.token_hex(16)]
    if threads:
        settings.cpuparams.n_threads = threads
    return xllamacpp.Server(settings)


class LlamaCpp:
    """A checkpoint in llama.cpp. Its dice are its own, and its repetition penalty counts the prompt too."""

    def __init__(self, checkpoint: Checkpoint, server: Any) -> None:
        self.config, self._tokenizer, self._server = checkpoint.config, checkpoint.tokenizer, server

    def stream(self, prompt: list[int], sampling: Sampling) -> Generator[int]:
        """Yield tokens with the text that llama.cpp writes after a prompt. Raises JobError where it fails."""
        asked = {
            "prompt": prompt, "n_predict": min(sampling.max_tokens, self.config.max_seq_len - len(prompt)),
            "temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p,
            "min_p": sampling.min_p, "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": self.config.max_seq_len,
            "seed": sampling.seed % 2**32, "samplers": _SAMPLERS, "stream": True, "cache_prompt": False,
        }  # fmt: skip
        parts: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        left = threading.Event()

        def take(part: dict[str, Any]) -> bool:
            parts.put(part)
            return left.is_set()  # which ends it

        def ask() -> None:
            try:
                self._server.handle_completions(asked, take)
            except Exception as error:  # the binding raises what it likes, in a thread that nobody waits for
                parts.put({"error": {"message": str(error)}})
            parts.put(None)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            while (part := parts.get()) is not None:
                if "choices" not in part:
                    why = part.get("error", part).get("message", part)
                    raise JobError(f"llama.cpp failed: {why}", "use another engine: --engine numpy")
                if text := part["choices"][0]["text"]:
                    yield from self._tokenizer.encode_after(text)
        finally:
            left.set()
            thread.join()
