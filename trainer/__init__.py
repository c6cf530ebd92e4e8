"""The model side: a small Llama on a plain CPU, from text and dialogues to a checkpoint that runs anywhere.

    text --tokenizer--> token shards (.bin) --> Batch --train--> checkpoint --export--> bin, q8, npz, gguf, hf, ollama
    run folder --dialogues--> TokenisedExample --pack--> Batch --train--> checkpoint

Of the curator it imports `curator.contract`, what both programs must agree on, and nothing else.
"""

from curator.contract import __version__ as __version__
