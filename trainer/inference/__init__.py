"""Inference: from a prompt to text, one reply or many side by side, and a conversation.

In: a model, a prompt. Out: replies. It knows no dataset and no training.
"""
