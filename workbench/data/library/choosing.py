"""Choose an entry by a classifier instead of a distance: which data set do a few examples come from, or from none of them?"""

from typing import NamedTuple

from workbench import checks
from workbench.data.library.entries import Entry
from workbench.values import LibraryError, NotFittedError

_STRENGTH = 0.1  # of the weights against their penalty: many features, few rows


class Choice(NamedTuple):
    """What a `Chooser` says.

    `entry` is an `Entry`, or None where it refuses; `probability`, 0..1, that of the likeliest entry; `probabilities`, dict of id
    of an entry -> 0..1, which sum to 1.
    """

    entry: Entry | None
    probability: float
    probabilities: dict


class Chooser:
    """A head that reads a few examples and names the entry whose rows they are like: logistic regression, a class an entry.

    Attributes:
        entries_: tuple of `Entry`, those whose rows it may read.
        left_out_: int, entries without rows.

    Args:
        features: function of a list of n str -> float array (n, w), such as `lambda texts: soft.features(lm, texts)`.
        least: float, 0..1; below this probability it names none. Entries that are near relatives share it.
    """

    def __init__(self, features, least=0.35):
        self.features, self.least = features, checks.share("least", least)

    def fit(self, library, where=None):
        """Learn from the rows of the entries that the user of a library may read.

        Args:
            library: `Library`.
            where: dict of filters, as in `Library.entries`.

        Returns:
            self.

        Raises:
            ValueError: an unknown filter.
            LibraryError: fewer than two entries with rows.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        entries, written, right, left_out = [], [], [], 0
        for entry in sorted(library.entries(where), key=lambda one: one.id):
            try:
                rows = _written(*library.rows(entry))
            except LibraryError:
                left_out += 1
                continue
            written, right = written + rows, right + [len(entries)] * len(rows)
            entries.append(entry)
        if len(entries) < 2:
            raise LibraryError(f"To choose among entries, two or more must have rows: {len(entries)} do, {left_out} do not.")
        head = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=2000)
        self._head = make_pipeline(StandardScaler(), head).fit(self.features(written), right)
        self.entries_, self.left_out_ = tuple(entries), left_out
        return self

    def choose(self, texts, labels=None):
        """Name the entry that examples are like: the mean of its probabilities over them.

        Args:
            texts: list of n str.
            labels: list of n str, or None.

        Returns:
            `Choice`.

        Raises:
            NotFittedError: before `fit`.
            TypeError: not str.
            ValueError: no texts, or another number of labels.
        """
        if not hasattr(self, "_head"):
            raise NotFittedError("This Chooser has learned nothing yet: call fit(library) first.")
        texts, labels = checks.texts(texts, "texts"), None if labels is None else checks.texts(labels, "labels")
        if labels is not None and len(labels) != len(texts):
            raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
        found = self._head.predict_proba(self.features(_written(texts, labels))).mean(0)
        best = int(found.argmax())
        entry = self.entries_[best] if found[best] >= self.least else None
        return Choice(entry, float(found[best]), {one.id: float(p) for one, p in zip(self.entries_, found, strict=True)})


def _written(texts, labels):
    """Examples as they are read, each label behind its text: list of str."""
    return list(texts) if labels is None else [f"{text} {label}".strip() for text, label in zip(texts, labels, strict=True)]
