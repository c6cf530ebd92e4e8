"""The numpy runner that goes with --to npz, as an engine."""

from __future__ import annotations

from collections.abc import Generator

from trainer.exports.llama2c import stacked
from trainer.exports.numpy_llama import Llama
from trainer.inference.sampling import Picker, Sampling
from trainer.model.checkpoint import Checkpoint


class NumpyDecoder:
    """A checkpoint in plain numpy. Drawn are its tokens as PyTorch's are, by the same rules and with the same dice."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config
        self._model = Llama(self.config.as_dict(), stacked(checkpoint.state, self.config), [], [])

    def stream(self, prompt: list[int], sampling: Sampling) -> Generator[int]:
        """Yield the tokens after a prompt up to an end mark, which is not yielded, max_tokens or the context's end."""
        self._model.reset()
        picker, new = Picker(sampling, self.config.vocab_size, prompt), prompt
        for _ in range(min(sampling.max_tokens, self.config.max_seq_len - len(prompt))):
            token = picker.pick(self._model.forward(new)[-1])
            if token in sampling.ends:
                return
            yield token
            new = [token]
