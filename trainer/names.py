"""Names that the command line needs before torch is loaded."""

SPLITS = ("file", "sections", "lines")
TARGETS = ("bin", "q8", "npz", "gguf", "hf", "ollama")
PAGE_FILE = "health.html"
DTYPES = ("f32", "f16", "q8_0", "bf16")
