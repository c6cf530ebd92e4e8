"""Selection: which of the screened samples make the set, and which of these are held out.

In: screened samples. Out: rows of the sample store, a holdout with its proof, drops. It knows counts, times and near-
duplicates; it changes no text.
"""
