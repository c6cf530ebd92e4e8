"""Names that the command line's help needs before torch is loaded."""

SPLITS = ("file", "sections", "lines")
TARGETS = ("bin", "q8", "npz", "gguf", "hf", "ollama")
DTYPES = ("f32", "f16", "q8_0", "bf16")
