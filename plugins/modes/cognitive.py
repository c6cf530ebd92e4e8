"""The three cognitive modes; their tags stand in `curator/contract/modes.py`, since the trainer knows them too."""

from curator import BUILT_IN_MODES, Mode, dual_pairs, hookimpl


@hookimpl
def register_modes() -> list[Mode]:
    """Dual pairs a thought with the world, emulation a question with an answer, agent an instruction with an action."""
    own_pairs = {"dual": dual_pairs}
    return [Mode(name, *tags.names, pairs=own_pairs.get(name)) for name, tags in BUILT_IN_MODES.items()]
