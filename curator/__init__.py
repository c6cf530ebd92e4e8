"""persona-curator: from a person's memories to a proven fine-tuning set. The names below are all a plugin needs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from curator.contract import __version__ as __version__

# Imported on first use: `curate --help` must not pay for what it does not show.
_WHERE = {
    "hookimpl": "curator.hooks",
    "Cleaner": "curator.hooks",
    "Exporter": "curator.hooks",
    "ExportJob": "curator.hooks",
    "Filter": "curator.hooks",
    "MemorySource": "curator.hooks",
    "Mode": "curator.hooks",
    "Pack": "curator.hooks",
    "PackJob": "curator.hooks",
    "Recipe": "curator.hooks",
    "Reject": "curator.hooks",
    "Change": "curator.records",
    "Conversation": "curator.records",
    "CuratedSample": "curator.records",
    "Drop": "curator.records",
    "Exchange": "curator.contract.records",
    "Family": "curator.contract.records",
    "MemoryEvent": "curator.records",
    "Message": "curator.contract.records",
    "Pair": "curator.records",
    "Source": "curator.contract.records",
    "ToolCall": "curator.records",
    "Turn": "curator.records",
    "BadShape": "curator.reading.events",
    "event_from_json": "curator.reading.events",
    "event_key": "curator.reading.events",
    "text_part": "curator.reading.parts",
    "read_all_files": "curator.reading.read",
    "FileReader": "curator.hooks",
    "TextPart": "curator.records",
    "BadJson": "curator.contract.strict_json",
    "parse_json": "curator.contract.strict_json",
    "Unreadable": "curator.contract.files",
    "LED_OUT": "curator.contract.homes",
    "leads_out": "curator.contract.homes",
    "MEMORY_FOLDERS": "curator.contract.homes",
    "Content": "curator.encryption.profile",
    "layers_of": "curator.encryption.envelope",
    "read_plain": "curator.encryption.profile",
    "Unlocked": "curator.encryption.profile",
    "dialogue_of": "curator.contract.dialogue_files",
    "counted": "curator.contract.errors",
    "printable": "curator.contract.errors",
    "read_once": "curator.contract.files",
    "walk": "curator.contract.files",
    "Settings": "curator.config",
    "Pairing": "curator.hooks",
    "BUILT_IN_MODES": "curator.contract.modes",
    "default_pairs": "curator.sampling.pairing",
    "dual_pairs": "curator.sampling.pairing",
    "find_tags": "curator.contract.special_tokens",
    "foreign_token": "curator.contract.special_tokens",
    "may_hold_tags": "curator.contract.special_tokens",
    "forged_turn": "curator.contract.chat_format",
    "line_markers": "curator.contract.chat_format",
    "load_family": "curator.contract.chat_format",
    "read_family_files": "curator.contract.chat_format",
    "ChatFormat": "curator.contract.chat_format",
    "Keys": "curator.contract.finetune_config",
    "read_recipe": "curator.exports.scripts",
    "launch_guide": "curator.exports.scripts",
    "script_notes": "curator.exports.scripts",
    "script_row": "curator.exports.scripts",
    "training_json": "curator.exports.scripts",
    "training_script": "curator.exports.scripts",
    "persona_of": "curator.exports.pack.persona",
    "skill_pack": "curator.exports.pack.skill",
    "card_pack": "curator.exports.pack.card",
    "yaml_with_reasons": "curator.exports.yaml_text",
    "find_secrets": "curator.contract.secret_scan",
    "secrets_of": "curator.contract.secret_scan",
    "UsageError": "curator.contract.errors",
    "count_words": "curator.language.words",
    "split_words": "curator.language.words",
    "CUT_MARKS": "curator.language.table",
    "UNFINISHED": "curator.language.table",
    "estimated_tokens": "curator.language.tokens",
    "language_of": "curator.language.identify",
    "ImportFolder": "curator.importing.folders",
    "import_folders": "curator.importing.folders",
    "Importer": "curator.importing.importer",
    "Found": "curator.importing.importer",
    "Differs": "curator.importing.importer",
    "Reading": "curator.importing.importer",
    "Item": "curator.importing.importer",
    "ODD": "curator.importing.importer",
    "Damaged": "curator.importing.files.export_files",
    "Entry": "curator.importing.files.export_files",
    "Element": "curator.importing.texts.pages",
    "Export": "curator.importing.files.export_files",
    "from_epoch": "curator.importing.dates.clocks",
    "from_iso": "curator.importing.dates.clocks",
    "iso": "curator.importing.dates.clocks",
    "DateOrder": "curator.importing.dates.clocks",
    "WallClock": "curator.importing.dates.clocks",
    "Ymd": "curator.importing.dates.clocks",
    "AppWords": "curator.importing.texts.app_words",
    "Dates": "curator.importing.dates.dated_lines",
    "Heading": "curator.importing.dates.dated_lines",
    "headed": "curator.importing.dates.dated_lines",
    "time_of": "curator.importing.dates.dated_lines",
    "HALF_OF_DAY": "curator.importing.dates.clocks",
    "json_items": "curator.importing.files.json_streams",
    "backwards": "curator.importing.files.reversed_files",
    "csv_rows": "curator.importing.files.text_streams",
    "json_array": "curator.importing.files.json_streams",
    "json_beside": "curator.importing.files.json_streams",
    "XmlMender": "curator.importing.files.xml_mender",
    "broken_json_lines": "curator.importing.files.json_streams",
    "Tapbacks": "curator.importing.phones.tapbacks",
    "find_threads": "curator.importing.phones.meta",
    "read_threads": "curator.importing.phones.meta",
    "holds_tables": "curator.importing.phones.databases",
    "opened_database": "curator.importing.phones.databases",
    "sqlite_columns": "curator.importing.phones.databases",
    "sqlite_rows": "curator.importing.phones.databases",
    "json_events": "curator.importing.files.json_streams",
    "json_value": "curator.importing.files.json_streams",
    "newest_first": "curator.importing.files.reversed_files",
    "ProseDates": "curator.importing.dates.prose_dates",
    "json_lines": "curator.importing.files.json_streams",
    "text_lines": "curator.importing.files.text_streams",
    "first_lines": "curator.importing.files.text_streams",
    "outline": "curator.importing.files.json_streams",
    "html_events": "curator.importing.texts.pages",
    "said_and_quoted": "curator.importing.texts.quotations",
    "utf8": "curator.importing.files.text_streams",
    "repair_control": "curator.importing.files.json_streams",
    "MAIL_FOLDERS": "curator.importing.texts.mail_words",
    "Mail": "curator.importing.texts.mail",
    "RawMail": "curator.importing.texts.mailboxes",
    "mailbox_kind": "curator.importing.texts.mailboxes",
    "raw_mails": "curator.importing.texts.mailboxes",
    "passes_on": "curator.importing.texts.quotes",
    "own_words": "curator.importing.texts.quotes",
    "html_parts": "curator.importing.texts.html",
    "tidy": "curator.importing.texts.html",
    "Written": "curator.importing.dates.written_dates",
    "read_date": "curator.importing.dates.written_dates",
    "common_order": "curator.importing.dates.written_dates",
    "own_notes": "curator.importing.texts.notes",
    "started": "curator.importing.texts.notes",
    "heading_date": "curator.importing.texts.notes",
    "line_date": "curator.importing.texts.notes",
    "order_of": "curator.importing.texts.notes",
    "entry_time": "curator.importing.texts.notes",
    "journal_entry": "curator.importing.texts.notes",
    "front_matter": "curator.importing.dates.note_dates",
    "FrontMatter": "curator.importing.dates.note_dates",
    "name_date": "curator.importing.dates.note_dates",
    "ImportedMessage": "curator.records",
    "Skip": "curator.records",
    "folded": "curator.language.names",
    "visible": "curator.language.names",
    "ends_sentence": "curator.language.sentences",
    "first_sentences": "curator.language.passages",
    "sentences": "curator.language.sentences",
    "chosen_by_hash": "curator.language.sentences",
    "TakenOut": "curator.language.clauses",
    "clauses_at_blanks": "curator.language.clauses",
    "needs_the_yes": "curator.language.clauses",
    "without_blanks": "curator.language.clauses",
}
__all__ = sorted([*_WHERE, "__version__"])

if TYPE_CHECKING:
    from curator.config import Settings as Settings
    from curator.contract.chat_format import ChatFormat as ChatFormat
    from curator.contract.chat_format import forged_turn as forged_turn
    from curator.contract.chat_format import line_markers as line_markers
    from curator.contract.chat_format import load_family as load_family
    from curator.contract.chat_format import read_family_files as read_family_files
    from curator.contract.dialogue_files import dialogue_of as dialogue_of
    from curator.contract.errors import UsageError as UsageError
    from curator.contract.errors import counted as counted
    from curator.contract.errors import printable as printable
    from curator.contract.files import Unreadable as Unreadable
    from curator.contract.files import read_once as read_once
    from curator.contract.files import walk as walk
    from curator.contract.finetune_config import Keys as Keys
    from curator.contract.homes import LED_OUT as LED_OUT
    from curator.contract.homes import MEMORY_FOLDERS as MEMORY_FOLDERS
    from curator.contract.homes import leads_out as leads_out
    from curator.contract.modes import BUILT_IN_MODES as BUILT_IN_MODES
    from curator.contract.records import Exchange as Exchange
    from curator.contract.records import Family as Family
    from curator.contract.records import Message as Message
    from curator.contract.records import Source as Source
    from curator.contract.secret_scan import find_secrets as find_secrets
    from curator.contract.secret_scan import secrets_of as secrets_of
    from curator.contract.special_tokens import find_tags as find_tags
    from curator.contract.special_tokens import foreign_token as foreign_token
    from curator.contract.special_tokens import may_hold_tags as may_hold_tags
    from curator.contract.strict_json import BadJson as BadJson
    from curator.contract.strict_json import parse_json as parse_json
    from curator.encryption.envelope import layers_of as layers_of
    from curator.encryption.profile import Content as Content
    from curator.encryption.profile import Unlocked as Unlocked
    from curator.encryption.profile import read_plain as read_plain
    from curator.exports.pack.card import card_pack as card_pack
    from curator.exports.pack.persona import persona_of as persona_of
    from curator.exports.pack.skill import skill_pack as skill_pack
    from curator.exports.scripts import launch_guide as launch_guide
    from curator.exports.scripts import read_recipe as read_recipe
    from curator.exports.scripts import script_notes as script_notes
    from curator.exports.scripts import script_row as script_row
    from curator.exports.scripts import training_json as training_json
    from curator.exports.scripts import training_script as training_script
    from curator.exports.yaml_text import yaml_with_reasons as yaml_with_reasons
    from curator.hooks import Cleaner as Cleaner
    from curator.hooks import Exporter as Exporter
    from curator.hooks import ExportJob as ExportJob
    from curator.hooks import FileReader as FileReader
    from curator.hooks import Filter as Filter
    from curator.hooks import MemorySource as MemorySource
    from curator.hooks import Mode as Mode
    from curator.hooks import Pack as Pack
    from curator.hooks import PackJob as PackJob
    from curator.hooks import Pairing as Pairing
    from curator.hooks import Recipe as Recipe
    from curator.hooks import Reject as Reject
    from curator.hooks import hookimpl as hookimpl
    from curator.importing.dates.clocks import HALF_OF_DAY as HALF_OF_DAY
    from curator.importing.dates.clocks import DateOrder as DateOrder
    from curator.importing.dates.clocks import WallClock as WallClock
    from curator.importing.dates.clocks import Ymd as Ymd
    from curator.importing.dates.clocks import from_epoch as from_epoch
    from curator.importing.dates.clocks import from_iso as from_iso
    from curator.importing.dates.clocks import iso as iso
    from curator.importing.dates.dated_lines import Dates as Dates
    from curator.importing.dates.dated_lines import Heading as Heading
    from curator.importing.dates.dated_lines import headed as headed
    from curator.importing.dates.dated_lines import time_of as time_of
    from curator.importing.dates.note_dates import FrontMatter as FrontMatter
    from curator.importing.dates.note_dates import front_matter as front_matter
    from curator.importing.dates.note_dates import name_date as name_date
    from curator.importing.dates.prose_dates import ProseDates as ProseDates
    from curator.importing.dates.written_dates import Written as Written
    from curator.importing.dates.written_dates import common_order as common_order
    from curator.importing.dates.written_dates import read_date as read_date
    from curator.importing.files.export_files import Damaged as Damaged
    from curator.importing.files.export_files import Entry as Entry
    from curator.importing.files.export_files import Export as Export
    from curator.importing.files.json_streams import broken_json_lines as broken_json_lines
    from curator.importing.files.json_streams import json_array as json_array
    from curator.importing.files.json_streams import json_beside as json_beside
    from curator.importing.files.json_streams import json_events as json_events
    from curator.importing.files.json_streams import json_items as json_items
    from curator.importing.files.json_streams import json_lines as json_lines
    from curator.importing.files.json_streams import json_value as json_value
    from curator.importing.files.json_streams import outline as outline
    from curator.importing.files.json_streams import repair_control as repair_control
    from curator.importing.files.reversed_files import backwards as backwards
    from curator.importing.files.reversed_files import newest_first as newest_first
    from curator.importing.files.text_streams import csv_rows as csv_rows
    from curator.importing.files.text_streams import first_lines as first_lines
    from curator.importing.files.text_streams import text_lines as text_lines
    from curator.importing.files.text_streams import utf8 as utf8
    from curator.importing.files.xml_mender import XmlMender as XmlMender
    from curator.importing.folders import ImportFolder as ImportFolder
    from curator.importing.folders import import_folders as import_folders
    from curator.importing.importer import ODD as ODD
    from curator.importing.importer import Differs as Differs
    from curator.importing.importer import Found as Found
    from curator.importing.importer import Importer as Importer
    from curator.importing.importer import Item as Item
    from curator.importing.importer import Reading as Reading
    from curator.importing.phones.databases import holds_tables as holds_tables
    from curator.importing.phones.databases import opened_database as opened_database
    from curator.importing.phones.databases import sqlite_columns as sqlite_columns
    from curator.importing.phones.databases import sqlite_rows as sqlite_rows
    from curator.importing.phones.meta import find_threads as find_threads
    from curator.importing.phones.meta import read_threads as read_threads
    from curator.importing.phones.tapbacks import Tapbacks as Tapbacks
    from curator.importing.texts.app_words import AppWords as AppWords
    from curator.importing.texts.html import html_parts as html_parts
    from curator.importing.texts.html import tidy as tidy
    from curator.importing.texts.mail import Mail as Mail
    from curator.importing.texts.mail_words import MAIL_FOLDERS as MAIL_FOLDERS
    from curator.importing.texts.mailboxes import RawMail as RawMail
    from curator.importing.texts.mailboxes import mailbox_kind as mailbox_kind
    from curator.importing.texts.mailboxes import raw_mails as raw_mails
    from curator.importing.texts.notes import entry_time as entry_time
    from curator.importing.texts.notes import heading_date as heading_date
    from curator.importing.texts.notes import journal_entry as journal_entry
    from curator.importing.texts.notes import line_date as line_date
    from curator.importing.texts.notes import order_of as order_of
    from curator.importing.texts.notes import own_notes as own_notes
    from curator.importing.texts.notes import started as started
    from curator.importing.texts.pages import Element as Element
    from curator.importing.texts.pages import html_events as html_events
    from curator.importing.texts.quotations import said_and_quoted as said_and_quoted
    from curator.importing.texts.quotes import own_words as own_words
    from curator.importing.texts.quotes import passes_on as passes_on
    from curator.language.clauses import TakenOut as TakenOut
    from curator.language.clauses import clauses_at_blanks as clauses_at_blanks
    from curator.language.clauses import needs_the_yes as needs_the_yes
    from curator.language.clauses import without_blanks as without_blanks
    from curator.language.identify import language_of as language_of
    from curator.language.names import folded as folded
    from curator.language.names import visible as visible
    from curator.language.passages import first_sentences as first_sentences
    from curator.language.sentences import chosen_by_hash as chosen_by_hash
    from curator.language.sentences import ends_sentence as ends_sentence
    from curator.language.sentences import sentences as sentences
    from curator.language.table import CUT_MARKS as CUT_MARKS
    from curator.language.table import UNFINISHED as UNFINISHED
    from curator.language.tokens import estimated_tokens as estimated_tokens
    from curator.language.words import count_words as count_words
    from curator.language.words import split_words as split_words
    from curator.reading.events import BadShape as BadShape
    from curator.reading.events import event_from_json as event_from_json
    from curator.reading.events import event_key as event_key
    from curator.reading.parts import text_part as text_part
    from curator.reading.read import read_all_files as read_all_files
    from curator.records import Change as Change
    from curator.records import Conversation as Conversation
    from curator.records import CuratedSample as CuratedSample
    from curator.records import Drop as Drop
    from curator.records import ImportedMessage as ImportedMessage
    from curator.records import MemoryEvent as MemoryEvent
    from curator.records import Pair as Pair
    from curator.records import Skip as Skip
    from curator.records import TextPart as TextPart
    from curator.records import ToolCall as ToolCall
    from curator.records import Turn as Turn
    from curator.sampling.pairing import default_pairs as default_pairs
    from curator.sampling.pairing import dual_pairs as dual_pairs


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'curator' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
