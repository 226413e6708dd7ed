"""Stratified folds that keep groups together and every class in every training set."""

import numpy as np

NEVER_HELD_OUT = -1


def stratified_folds(
    y: np.ndarray, groups: np.ndarray, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of each row, 0..n_folds-1, or `NEVER_HELD_OUT`.

    Each class is dealt over the folds in turn, the next class beginning where the last
    one ended, so that folds differ by at most one image a class and one in all where
    groups are single images. Rows of one group share a fold. A class all of whose groups
    would fall into one fold keeps one of them out of all folds: so no training set lacks
    a class, also where a class has one group only.

    Args:
        y: (n,) int classes.
        groups: (n,) int.
        n_folds: at least 1; folds may be empty where there are fewer groups.
        rng: shuffles the groups; the answer also depends on the order of rows.

    Source: scikit-learn's StratifiedKFold and StratifiedGroupKFold, which refuse or
    warn where a class has fewer members than there are folds.
    """
    _, first, compact = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(compact)
    k = int(y.max()) + 1
    counts = np.zeros((len(sizes), k), np.int64)
    np.add.at(counts, (compact, y), 1)
    # A group belongs to the class it has most of; the large ones are dealt first.
    order = rng.permutation(len(sizes))
    order = order[np.lexsort((-sizes[order], counts[order].argmax(axis=1)))]
    fold_of = np.empty(len(sizes), np.int64)
    fold_of[order] = np.arange(len(sizes)) % n_folds
    for label in range(k):
        members = np.flatnonzero(counts[:, label])
        if len(members) and len(np.unique(fold_of[members])) == 1:
            kept = members[np.argmin(first[members])]
            fold_of[kept] = NEVER_HELD_OUT
    folds: np.ndarray = fold_of[compact]
    return folds
