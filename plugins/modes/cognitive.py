"""The three cognitive modes."""

from curator import Mode, dual_pairs, hookimpl


@hookimpl
def register_modes() -> list[Mode]:
    """Dual pairs a thought with the world, emulation a question with an answer, agent an instruction with an action."""
    return [
        Mode("dual", "thought", "world", pairs=dual_pairs),
        Mode("emulation", "user", "assistant"),
        Mode("agent", "instruction", "action"),
    ]
