"""Training: the loop, its run directory, the KL term that holds a fine-tune to its base, and what is asked of them.

In: a model and its data. Out: a checkpoint, or a state to go on from. It knows every room below; none knows it.
"""
