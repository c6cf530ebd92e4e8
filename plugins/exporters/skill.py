"""A skill: SKILL.md and pages beside it, as the Agent Skills specification asks for (agentskills.io/specification)."""

from curator import Exporter, Pack, PackJob, hookimpl, persona_of, skill_pack


@hookimpl
def register_exporters() -> list[Exporter]:
    """Make a skill."""
    return [Exporter("skill", "a skill", kind="pack", pack=pack)]


def pack(job: PackJob) -> Pack:
    """Return the skill of the person whose run it is."""
    return skill_pack(job, persona_of(job))
