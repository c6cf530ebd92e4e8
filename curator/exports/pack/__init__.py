"""The persona pack: who somebody is in writing, for a chat model that is not trained, computed without a model.

In: a run's samples. Out: a skill's folder, a character card, or a system prompt, each line with its sample.
It knows the run, the language room and the voice score; of plugins it knows nothing, they call it.
"""
