"""Options that several commands share, and the run or the export that they name."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curator.contract.cli_frame import command_line, free_name, home_option, log, next_step
from curator.contract.errors import CuratorError, PluginError, UsageError, printable

if TYPE_CHECKING:
    from curator.encryption.password import Password
    from curator.encryption.profile import Unlocked
    from curator.exports.plan import PackPlan, Plan

TOOLS = ("llama-factory", "axolotl", "trl", "unsloth", "mlx", "torchtune", "openai")
PACKS = ("skill", "card")  # persona packs, for a chat model that is not trained


def run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a run."""
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    parser.add_argument("--username", metavar="U", help="the latest run of this profile")
    home_option(parser)


def password_option(parser: argparse.ArgumentParser) -> None:
    """Add --password-file; the password itself never stands on the command line."""
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE",
        help="file whose first line is the password of an encrypted profile (default: $CURATOR_PASSWORD, else it is "
        "asked for)",
    )  # fmt: skip


def unlocked_profile(options: argparse.Namespace, folder: Path, given: Password | None = None) -> Unlocked | None:
    """Return the encrypted profile in `folder`, opened; None where nothing is encrypted, or no password is given.

    The password is the one `given`, else that of --password-file, else $CURATOR_PASSWORD's, else that of the person at
    the terminal. Raises UsageError where it is wrong, or its file cannot be read.
    """
    from curator.encryption.profile import unlock_if_encrypted

    return unlock_if_encrypted(folder, options.password_file, given)


def debug_option(parser: argparse.ArgumentParser) -> None:
    """Add --debug."""
    parser.add_argument("--debug", action="store_true", help="show the whole traceback where a plugin fails")


def show_cause(options: argparse.Namespace, error: CuratorError) -> None:
    """Print the traceback of what a plugin raised on stderr, where --debug asks for it."""
    if isinstance(error, PluginError) and getattr(options, "debug", False) and error.__cause__:
        import traceback

        log("".join(traceback.format_exception(error.__cause__)))


def export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name an export."""
    run_options(parser)
    parser.add_argument(
        "--to", required=True, metavar="TOOL",
        help=f"{', '.join(TOOLS)}; {' or '.join(PACKS)} for a persona pack; or a plugin's tool",
    )  # fmt: skip
    parser.add_argument("--method", choices=("lora", "full"), help="default: training_mode of etc/")
    parser.add_argument("--base-model", metavar="NAME", help="model to fine-tune (default: base_model of etc/)")
    parser.add_argument("--family", metavar="F", help="the base model's family (default: found by its name)")
    debug_option(parser)
    parser.add_argument(
        "--tags", choices=("content", "none"), default="content",
        help="keep the mode tags in the texts, or leave them out and put the mode into a system message",
    )  # fmt: skip


def export_words(options: argparse.Namespace, run: NamedRun) -> tuple[str, ...]:
    """Return the words that ask for an export as `options` do, on the command line of any command that takes them."""
    words = [*run.for_curate, "--to", options.to]
    for name in ("method", "base_model", "family"):
        value = getattr(options, name)
        words += [f"--{name.replace('_', '-')}", value] if value is not None else []
    return (*words, *(("--tags", options.tags) if options.tags != "content" else ()))


@dataclass(frozen=True)
class NamedRun:
    """A run, and how the command line named it: by its folder, or as the latest of a profile (`username`)."""

    folder: Path
    username: str | None = None
    home: Path | None = None

    @property
    def for_curate(self) -> tuple[str, ...]:
        """The words that name it to another command of curate."""
        return ("--username", self.username, *self._home) if self.username else (str(self.folder), *self._home)

    @property
    def for_trainer(self) -> tuple[str, ...]:
        """The words that name it to `trainer finetune` and its like."""
        return ("--profile", self.username, *self._home) if self.username else ("--run", str(self.folder), *self._home)

    @property
    def _home(self) -> tuple[str, ...]:
        from curator.contract.homes import named_home

        return named_home(self.home)


def named_run(options: argparse.Namespace) -> NamedRun:
    """Return a run: the one named, else the latest of the user's, else that of the only profile.

    Raises UsageError where there is none, or where the profile is not clear.
    """
    from curator.contract.homes import chosen_profile, find_home, find_profile, home_of_run, latest_run

    if options.run is not None:
        if not options.run.is_dir():
            raise UsageError(f"{printable(str(options.run))}: no such folder", "name a run's folder, or --username U")
        return NamedRun(options.run, home=home_of_run(options.run, options.home))
    home = find_home(options.home)
    username = chosen_profile(home, options.username)
    return NamedRun(latest_run(find_profile(home, username)), username, home)


def planned_export(options: argparse.Namespace, run: NamedRun, out: Path | None) -> Plan | PackPlan:
    """Return the plan of an export of `run`; `out` is None for a preview."""
    from curator.exports.plan import ExportRequest, plan_export

    return plan_export(
        ExportRequest(
            run=run.folder,
            tool=options.to,
            out=out,
            method=options.method,
            base_model=options.base_model,
            family=options.family,
            tags=options.tags,
            home=run.home,
        )
    )


def export_place(run: NamedRun, tool: str) -> str:
    """Return a name for an export's folder that is not taken yet."""
    return free_name(f"{run.username or run.folder.resolve().name}-{tool}")


def use_of_run(run: NamedRun, called: str = "it") -> None:
    """Say on stderr what a run with samples, `called` so, is good for: the two commands that use it."""
    finetune = command_line("trainer", "finetune", *run.for_trainer)
    next_step(finetune, f"fine-tunes the small model on {called}, on this machine")
    next_step(
        command_line("curate", "export", *run.for_curate, *("--to", TOOLS[0], "--out", export_place(run, TOOLS[0]))),
        f"takes {called} to another tool, for a large model; --to is one of {', '.join(TOOLS)}",
    )
