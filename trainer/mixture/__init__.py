"""The mixture of texts that a base is trained on: which texts, what of them is kept, and whose they are.

In: texts, and the file that names them. Out: documents of each source, held-out ones, excerpts, a lexicon. It knows the
words that are known and the prompt template; of training it knows nothing.
"""
