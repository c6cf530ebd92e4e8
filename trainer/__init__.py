"""The model side: tokenizer, knowledge modules, the small Llama, training, use, import and export.

    text --tokenizer--> modules (.bin) --windows--> Batch --train--> checkpoint --export--> bin, q8, npz, gguf, hf
    run folder --samples--> Sample --pack--> Batch --train--> checkpoint

It reads a run's folder as `curate` wrote it and imports nothing of the curator.
"""

__version__ = "0.1.0"
