"""How much a set sounds like the person, by the score of docs/voice.md: whose words, the scores, what a run leaves.

In: samples. Out: the scores of a set's replies, and the reference that a model's replies are judged by. It knows no
file of a run; the counting itself is in curator.contract.voice.
"""
