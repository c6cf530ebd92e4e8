"""Who says which mode a memory belongs to: the memory itself, its type, the user's mapping.

In: an event. Out: a mode's name, or None.
"""
