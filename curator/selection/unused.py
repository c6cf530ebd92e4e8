"""Samples that a run had no need of: they passed every screen, and nothing of theirs is trained on."""

from __future__ import annotations

import numpy as np

from curator.executing.spool import as_numpy
from curator.likeness.texts import evenly
from curator.selection.choose import Choice
from curator.selection.neighbours import neighbours
from curator.selection.sample_store import Collected
from curator.selection.shingles import Rows

_MOST = 20_000


def unused(collected: Collected, choice: Choice, beside: set[str]) -> Rows:
    """Return rows of memories that are in no training sample, and whose reply is near no reply of one, (N,).

    Of many, 20,000 are looked at, evenly over time. `beside` are the keys of the memories that stand in training
    samples beside their own. A near-duplicate was dropped as such; what corrects another, or is corrected, is near it.
    """
    store, places = collected.store, as_numpy(collected.store.columns.places)
    spared = np.sort(evenly(np.setdiff1d(choice.spared, choice.corrected))[:_MOST])
    if not len(spared):
        return spared
    training = np.concatenate([np.setdiff1d(choice.rows, choice.holdout.rows), choice.learnt])
    taken = np.union1d(collected.timeline.places(beside), store.places(training))
    free = ~np.isin(places[spared], taken)
    free &= [not np.isin(store.beside.get(row, ()), taken).any() for row in spared.tolist()]
    near = store.settings.curate.near_duplicates
    found = neighbours(store.reply_sets, spared[free], training, near.threshold, near.shingle_words)
    return np.setdiff1d(spared[free], found.left[found.similarity >= near.threshold])
