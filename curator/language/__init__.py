"""Language: what depends on script or language, in one table: words, sentences, passages, tokens, which language it is.

In: a text. Out: its words, slices of it, its language. It knows no memory, no mode and no setting.
"""
