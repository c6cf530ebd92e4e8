"""persona-curator: from a person's memories to a proven fine-tuning set. The names below are all a plugin needs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use: `curate --help` must not pay for what it does not show.
_WHERE = {
    "hookimpl": "curator.spec",
    "Cleaner": "curator.spec",
    "Exporter": "curator.spec",
    "ExportJob": "curator.spec",
    "Filter": "curator.spec",
    "MemorySource": "curator.spec",
    "Mode": "curator.spec",
    "Recipe": "curator.spec",
    "Reject": "curator.spec",
    "Change": "curator.records",
    "Conversation": "curator.records",
    "CuratedSample": "curator.records",
    "Drop": "curator.records",
    "Exchange": "curator.records",
    "Family": "curator.records",
    "MemoryEvent": "curator.records",
    "Message": "curator.records",
    "Pair": "curator.records",
    "Source": "curator.records",
    "ToolCall": "curator.records",
    "Turn": "curator.records",
    "BadShape": "curator.events",
    "event_from_json": "curator.events",
    "event_key": "curator.events",
    "BadJson": "curator.strict_json",
    "parse_json": "curator.strict_json",
    "Unreadable": "curator.files",
    "printable": "curator.files",
    "read_once": "curator.files",
    "walk": "curator.files",
    "Settings": "curator.config",
    "Pairing": "curator.pairing",
    "default_pairs": "curator.pairing",
    "dual_pairs": "curator.pairing",
    "find_tags": "curator.disguise",
    "may_hold_tags": "curator.disguise",
    "load_family": "curator.families",
    "Wrapper": "curator.families",
    "Keys": "curator.hyperparameters",
    "read_recipe": "curator.shipped",
    "launch_guide": "curator.scripts",
    "script_notes": "curator.scripts",
    "script_row": "curator.scripts",
    "training_json": "curator.scripts",
    "training_script": "curator.scripts",
    "yaml_with_reasons": "curator.yaml_text",
    "UsageError": "curator.errors",
    "count_words": "curator.splitting",
    "ends_sentence": "curator.splitting",
    "first_sentences": "curator.splitting",
    "sentences": "curator.splitting",
    "chosen_by_hash": "curator.splitting",
}
__all__ = sorted([*_WHERE, "__version__"])

if TYPE_CHECKING:
    from curator.config import Settings as Settings
    from curator.disguise import find_tags as find_tags
    from curator.disguise import may_hold_tags as may_hold_tags
    from curator.errors import UsageError as UsageError
    from curator.events import BadShape as BadShape
    from curator.events import event_from_json as event_from_json
    from curator.events import event_key as event_key
    from curator.families import Wrapper as Wrapper
    from curator.families import load_family as load_family
    from curator.files import Unreadable as Unreadable
    from curator.files import printable as printable
    from curator.files import read_once as read_once
    from curator.files import walk as walk
    from curator.hyperparameters import Keys as Keys
    from curator.pairing import Pairing as Pairing
    from curator.pairing import default_pairs as default_pairs
    from curator.pairing import dual_pairs as dual_pairs
    from curator.records import Change as Change
    from curator.records import Conversation as Conversation
    from curator.records import CuratedSample as CuratedSample
    from curator.records import Drop as Drop
    from curator.records import Exchange as Exchange
    from curator.records import Family as Family
    from curator.records import MemoryEvent as MemoryEvent
    from curator.records import Message as Message
    from curator.records import Pair as Pair
    from curator.records import Source as Source
    from curator.records import ToolCall as ToolCall
    from curator.records import Turn as Turn
    from curator.scripts import launch_guide as launch_guide
    from curator.scripts import script_notes as script_notes
    from curator.scripts import script_row as script_row
    from curator.scripts import training_json as training_json
    from curator.scripts import training_script as training_script
    from curator.shipped import read_recipe as read_recipe
    from curator.spec import Cleaner as Cleaner
    from curator.spec import Exporter as Exporter
    from curator.spec import ExportJob as ExportJob
    from curator.spec import Filter as Filter
    from curator.spec import MemorySource as MemorySource
    from curator.spec import Mode as Mode
    from curator.spec import Recipe as Recipe
    from curator.spec import Reject as Reject
    from curator.spec import hookimpl as hookimpl
    from curator.splitting import chosen_by_hash as chosen_by_hash
    from curator.splitting import count_words as count_words
    from curator.splitting import ends_sentence as ends_sentence
    from curator.splitting import first_sentences as first_sentences
    from curator.splitting import sentences as sentences
    from curator.strict_json import BadJson as BadJson
    from curator.strict_json import parse_json as parse_json
    from curator.yaml_text import yaml_with_reasons as yaml_with_reasons


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'curator' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
