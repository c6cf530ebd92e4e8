"""Does a text sound like a person? Character n-grams of theirs against those of others, in numpy, without a model.

In: the person's texts and others'. Out: a reference of hashed counts, and of any text its place between the others (0)
and the person's own held-out words (100), with an interval. docs/voice.md has the definition, its limits and how it was
checked. It knows neither program.
"""
