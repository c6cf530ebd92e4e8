"""External models: trained elsewhere, carried to Ollama with their family's template.

In: a folder of weights, an adapter or a GGUF. Out: a checked Modelfile. It knows headers and JSON, and
loads no weights.
"""
