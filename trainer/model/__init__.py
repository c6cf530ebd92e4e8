"""The model: a small Llama, its tokenizer and prompt template, and the checkpoint that holds them on disk.

In: token ids. Out: logits, losses; files in Hugging Face's layout. It knows no dialogue and no training.
"""
