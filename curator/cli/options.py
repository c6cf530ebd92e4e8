"""Options that several commands share, and the run or the export that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from curator.contract.cli_frame import home_option
from curator.contract.errors import UsageError, printable

if TYPE_CHECKING:
    from curator.exports.plan import Plan

TOOLS = ("llama-factory", "axolotl", "trl", "unsloth", "mlx", "torchtune", "openai")


def run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a run."""
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    parser.add_argument("--username", metavar="U", help="the latest run of this profile")
    home_option(parser)


def debug_option(parser: argparse.ArgumentParser) -> None:
    """Add --debug."""
    parser.add_argument("--debug", action="store_true", help="show the whole traceback where a plugin fails")


def export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name an export."""
    run_options(parser)
    parser.add_argument("--to", required=True, metavar="TOOL", help=f"{', '.join(TOOLS)}, or a plugin's tool")
    parser.add_argument("--method", choices=("lora", "full"), help="default: training_mode of etc/")
    parser.add_argument("--base-model", metavar="NAME", help="model to fine-tune (default: base_model of etc/)")
    parser.add_argument("--family", metavar="F", help="the base model's family (default: found by its name)")
    debug_option(parser)
    parser.add_argument(
        "--tags", choices=("content", "none"), default="content",
        help="keep the mode tags in the texts, or leave them out and put the mode into a system message",
    )  # fmt: skip


def chosen_run(options: argparse.Namespace) -> Path:
    """Return the folder of a run: the one named, else the latest of the user's, else that of the only profile.

    Raises UsageError where there is none, or where the profile is not clear.
    """
    from curator.contract.homes import find_home, find_profile, latest_run, profile_names

    run, username = options.run, options.username
    if run is not None:
        if not run.is_dir():
            raise UsageError(f"{printable(str(run))}: no such folder", "name a run's folder, or --username U")
        return Path(run)
    home = find_home(options.home)
    if username is None:
        profiles = profile_names(home)
        if len(profiles) != 1:
            raise UsageError(
                f"which profile? {home / 'profiles'} has {', '.join(profiles) or 'none'}", "add --username U"
            )
        username = profiles[0]
    return latest_run(find_profile(home, username))


def planned_export(options: argparse.Namespace, out: Path | None) -> Plan:
    """Return the plan of an export; `out` is None for a preview."""
    from curator.contract.homes import optional_home
    from curator.exports.plan import ExportRequest, plan_export

    return plan_export(
        ExportRequest(
            run=chosen_run(options),
            tool=options.to,
            out=out,
            method=options.method,
            base_model=options.base_model,
            family=options.family,
            tags=options.tags,
            home=optional_home(options.home),
        )
    )
