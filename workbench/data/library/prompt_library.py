"""The library itself: what a user does with it."""

import numpy as np

from workbench import checks
from workbench.data.library.adding import id_of, read_prompt
from workbench.data.library.entries import Entry, Known
from workbench.data.library.searching import BY, METRICS, group, query_of, search
from workbench.data.library.shelves import SHOWN, Shelves, among, entry_of, filters, quoted, refuse_unknown, rows_of
from workbench.values import LibraryError

NEAR_COPY = 0.999  # cosine of what learning changed


class Library:
    """Soft prompts in a folder, each with a card, found by what they are like. Opened with `Library.open`, for one user.

    All that a user sees (hits, counts, errors, statistics, maps) is the same whether or not there are entries that this user may
    not see. These rights bind those who come through this class, such as the users of a service that holds the folder; whoever
    can read the files of the folder can read everything.

    Several processes may use a folder: those that write take turns, and each read sees a whole state. With object storage this
    holds for the processes of one machine; of several machines let one write.
    """

    def __init__(self, shelves, user):
        self._shelves, self.user = shelves, user

    @classmethod
    def open(cls, folder, user="me"):
        """Open a library, or begin one in a folder that is new or empty.

        Args:
            folder: str or Path; or "s3://bucket/path", with the usual variables AWS_... that say how it is reached.
            user: str, for whom; what may be seen and who adds.

        Returns:
            `Library`.

        Raises:
            ImportError: LanceDB is not installed.
            ArtifactError: the folder holds something else, or a library of another version.
            ValueError: no user.
        """
        return cls(Shelves(folder), check_user(user))

    def as_user(self, user):
        """The same library for another user: `Library`."""
        return type(self)(self._shelves, check_user(user))

    # ---- to add and remove ------------------------------------------------------------------------------------------------

    def add(self, prompt, card, start, *, rows=None):
        """Add a prompt.

        Args:
            prompt: a `SoftPrompt`, or anything with vectors, labels, model, sha256, config.layout and to_state.
            card: `Card`.
            start: a `soft.Sketch` of the task, whose start, gradient and features are kept, each if it is there; or the start
                alone, float32 (k, w): what the prompt, or the first of those that it was made from, began as.
            rows: (texts, labels) of the data set, to be kept with it; labels may be None.

        Returns:
            `Entry` with its vectors.

        Raises:
            LibraryError: an exact copy of an entry that this user may see; an unknown parent; a version of another shape or
                start; rows that have another sha256 than the card says.
            ValueError: NaN, a wrong shape, or a data set without sha256.
            TypeError: a prompt of another kind.
        """
        return self.get(self.add_many([(prompt, card, start, rows)])[0])

    def add_many(self, items):
        """Add several prompts: all of them, or none if one is refused.

        Args:
            items: list of (prompt, card, start, rows), as `add` takes them; rows may be None.

        Returns:
            list of str, their ids.

        Raises:
            LibraryError, ValueError, TypeError: as in `add`.
        """
        read = [read_prompt(self.user, *item) for item in items]
        with self._shelves.turn():
            replaced = {}
            self._number([row for row, _, _, _ in read], replaced)
            parents = {parent for _, _, card, _ in read for parent in card.parents}
            known = {row["id"] for row in self._rows(among("id", parents), versions=True)}
            for parent in sorted(parents - known):
                raise LibraryError(f"There is no parent {parent!r} that you may see.")
            self._shelves.keep_starts({row["start_sha256"]: begun for row, begun, _, _ in read})
            self._shelves.keep_rows(self.user, {card.data[0].sha256: texts for _, _, card, texts in read if texts})
            for shape in sorted({(row["k"], row["w"]) for row, _, _, _ in read}):
                fresh = [row for row, _, _, _ in read if (row["k"], row["w"]) == shape]
                self._shelves.put(shape, fresh, [name for name, of in replaced.items() if of == shape])
            given = [row["id"] for row, _, _, _ in read if row["access"] != "restricted"]
            self._shelves.append("ledger", [{"id": name, "user": self.user, "change": 1, "what": "upload"} for name in given])
        return [row["id"] for row, _, _, _ in read]

    def _number(self, fresh, replaced):
        """Give new rows a version and an id; `replaced` gets the ids of stored rows that are the latest no more.

        Raises LibraryError for exact copies and for versions that are not alike.
        """
        same, copies = among("vectors_sha256", {row["vectors_sha256"] for row in fresh}), {}
        for row in self._rows(same, versions=True, more=("vectors_sha256",)):
            copies[row["vectors_sha256"], row["model_sha256"]] = row
        named = f"owner = {quoted(self.user)} AND {among('name', {row['name'] for row in fresh})}"
        latest = {row["name"]: row for row in self._rows(named)}
        for row in fresh:
            copy, before = copies.get((row["vectors_sha256"], row["model_sha256"])), latest.get(row["name"])
            if copy is not None:
                raise LibraryError(f"This prompt is there already: {copy['name']!r}, {copy['id']}. An exact copy is not added.")
            if before is not None and any(before[name] != row[name] for name in ("model_sha256", "start_sha256", "k", "w")):
                raise LibraryError(
                    f"{row['name']!r} has versions of another model, shape or start. Give this prompt another name."
                )
            row["version"] = 1 if before is None else before["version"] + 1
            row["id"] = id_of(self.user, row["name"], row["version"], row["vectors_sha256"])
            if before is not None:
                before["latest"] = False
                if before not in fresh:
                    replaced[before["id"]] = (row["k"], row["w"])
            latest[row["name"]] = copies[row["vectors_sha256"], row["model_sha256"]] = row

    def remove(self, name, version=None):
        """Remove an entry that this user added: one version, or all; with the last one that names a data set, also its rows.

        Nobody finds it any more. From the disk its rows go at once; what else it had goes when LanceDB clears older states away.

        Args:
            name: str, name or id.
            version: int or None for all; of an id it is known.

        Returns:
            int, entries removed.

        Raises:
            LibraryError: there is no such entry of this user.
        """
        with self._shelves.turn():
            mine = f"owner = {quoted(self.user)}"
            own = self._rows(f"{_called(name, version)} AND {mine}", versions=True, more=("data_sha256",))
            if not own:
                raise refuse_unknown(name)
            gone, table = {row["id"] for row in own}, self._shelves.prompts((own[0]["k"], own[0]["w"]))
            table.delete(among("id", gone))
            left = self._rows(f"{mine} AND name = {quoted(own[0]['name'])}", versions=True)
            if left:
                table.update(where=f"id = {quoted(max(left, key=lambda row: row['version'])['id'])}", values={"latest": True})
            data = {one for row in own for one in row["data_sha256"]}
            alone = {one for one in data if not self._rows(f"{mine} AND {filters({'data_sha256': one})}", versions=True)}
            self._shelves.forget_rows(self.user, alone)
        return len(gone)

    # ---- to read ----------------------------------------------------------------------------------------------------------

    def __len__(self):
        return sum(self._shelves.prompts(shape).count_rows(f"{self._seen()} AND latest") for shape in self._shelves.shapes())

    def entries(self, where=None, versions=False):
        """The entries that this user may see, without their vectors.

        Args:
            where: dict of filters: "name", "tag", "data", "data_sha256", "licence", "label" (str, equal), "since" and "until"
                (str, dates), "accuracy" (float, at least); or None.
            versions: bool, old versions too.

        Returns:
            list of `Entry`, by name, version and id.

        Raises:
            ValueError: an unknown filter, or a value of another type.
        """
        found = [entry_of(row, self.user) for row in self._rows(filters(where), versions)]
        return sorted(found, key=lambda entry: (entry.name, entry.version, entry.id))

    def get(self, name, version=None):
        """Read an entry with its vectors.

        Args:
            name: str, name or id. Of equal names of several users one's own comes first.
            version: int, or None for the latest.

        Returns:
            `Entry`; `SoftPrompt.from_state(*entry.to_state())` makes its prompt.

        Raises:
            LibraryError: there is none that this user may see, several of this name, or one that must be bought first.
        """
        row = self._one(name, version)
        table = self._shelves.prompts((row["k"], row["w"]))
        _, vectors = rows_of(table, f"id = {quoted(row['id'])}", ["id"], "vectors")
        return entry_of(row, self.user, vectors[0])

    def sketch(self, name, version=None):
        """What is known of an entry's task beside its prompt, to search with by "gradient" or "texts".

        Args:
            name: str, name or id.
            version: int, or None for the latest.

        Returns:
            `Known`, which has the fields of a `soft.Sketch`.

        Raises:
            LibraryError: as in `get`.
        """
        row = self._one(name, version)
        where, table = f"id = {quoted(row['id'])}", self._shelves.prompts((row["k"], row["w"]))
        more = rows_of(table, where, ["id", "layout", "gradient", "features"])[0]
        arrays = [None if more[one] is None else np.array(more[one], np.float32) for one in ("gradient", "features")]
        gradient = None if arrays[0] is None else arrays[0].reshape(row["k"], row["w"])
        start = self._shelves.start(row["start_sha256"])
        return Known(row["model"], row["model_sha256"], more["layout"], start, gradient, arrays[1])

    def rows(self, name, version=None):
        """The rows of the data that an entry was learned from.

        Args:
            name: str, name or id; or an `Entry`.
            version: int, or None for the latest.

        Returns:
            (texts, labels): two lists of str, of all its data sets, one after the other.

        Raises:
            LibraryError: as in `get`, or the rows are not in the library; the error says which, and a link where there is one.
        """
        row = self._one(name.id if isinstance(name, Entry) else name, version)
        entry, texts, labels = entry_of(row, self.user), [], []
        with self._shelves.turn():  # older states of this table do not stay
            known = self._shelves.rows(row["owner"], {data.sha256 for data in entry.card.data})
        for data in entry.card.data:
            if data.sha256 not in known:
                link = f" See {data.link}." if data.link else " The card has no link to it."
                raise LibraryError(f"The rows of {data.name!r} are not in this library.{link}")
            texts, labels = texts + known[data.sha256]["texts"], labels + known[data.sha256]["labels"]
        return texts, labels

    def search(self, query, k=5, *, by="prompt", metric="centred", where=None, start=None):
        """Find the entries that are nearest to a prompt or a sketch. No model is loaded.

        Args:
            query: `Entry` from `get`, or a `SoftPrompt`; by "gradient" or "texts" a `soft.Sketch`.
            k: int, hits at most.
            by: str. "prompt": what learning changed. "gradient": the direction in which a shared start would change, without any
                learning. "texts": the mean features of the texts.
            metric: str, "centred" (cosine after the mean of the entries compared is taken off), "cosine", "inner", "pair" (the
                largest inner product of any two of their vectors) or "l2". In each of them higher is nearer.
            where: dict of filters, as in `entries`; they are applied before k.
            start: for a `SoftPrompt`: what it began as, a `soft.Sketch` or float32 (k, w).

        Returns:
            `Answer`. An entry that was added itself is among its hits. Old versions are not compared.

        Raises:
            TypeError: a query of another kind.
            ValueError: an unknown option or filter, k below 1, NaN, or another shape.
        """
        checks.whole("k", k)
        checks.one_of("by", by, BY)
        checks.one_of("metric", metric, METRICS)
        read = query_of(query, by, start, self._shelves.start)
        return search(self._shelves, self.user, f"{self._seen()} AND latest", read, k, by, metric, where)

    def near_copies(self, query, start=None):
        """Entries that are nearly equal to a prompt and began as it did: list of `Hit` with a cosine above .999, at most 100.

        Args:
            query: as in `search`, by prompt; of an `Entry` the entry itself is left out.
            start: as in `search`.
        """
        own = query.id if isinstance(query, Entry) else None
        found = self.search(query, 101, metric="cosine", start=start)
        return [hit for hit in found if hit.score > NEAR_COPY and hit.entry.id != own][:100]

    def group(self, by="prompt", where=None):
        """The largest group of entries that can be compared with one another, as `search` would compare them.

        Args:
            by: str, as in `search`.
            where: dict of filters, as in `entries`.

        Returns:
            `Group`: entries by id, vectors float32 (n, d), of prompts what learning changed, and how many others there are.

        Raises:
            ValueError: an unknown option or filter.
        """
        checks.one_of("by", by, BY)
        return group(self._shelves, self.user, f"{self._seen()} AND latest AND {filters(where)}", by)

    # ---- what it was good for ---------------------------------------------------------------------------------------------

    def note_use(self, name, gain, version=None):
        """Note that somebody began from an entry, and what was gained by it.

        Args:
            name: str, name or id.
            gain: float, what held-out accuracy gained against the same learning without the entry, -1..1.
            version: int, or None for the latest.

        Raises:
            LibraryError: there is no such entry that this user may see.
            ValueError: a gain out of its range.
        """
        gain, row = checks.number("gain", gain, -1, 1), self._one(name, version)
        self._shelves.append("uses", [{"id": row["id"], "owner": row["owner"], "user": self.user, "gain": gain}])

    def uses(self):
        """Gains that others than their submitters had from the entries that this user may see: dict of id -> list of float."""
        table, out = self._shelves.table("uses"), {}
        if table is not None:
            for row in rows_of(table, '"user" != owner', ["id", "gain"]):
                out.setdefault(row["id"], []).append(row["gain"])
        known = {row["id"] for row in self._rows("true", versions=True)}
        return {name: sorted(gains) for name, gains in out.items() if name in known}

    # ---- in exchange ------------------------------------------------------------------------------------------------------

    def credit(self):
        """How many entries "in exchange" this user may buy: int. Each upload that others may read gives one."""
        return sum(row["change"] for row in self.ledger())

    def ledger(self):
        """What this user gave and took: list of dicts with `id`, `change` (+1 or -1) and `what` ("upload" or "reading")."""
        table = self._shelves.table("ledger")
        return [] if table is None else rows_of(table, f'"user" = {quoted(self.user)}', ["id", "change", "what"])

    def buy(self, name, version=None):
        """Pay one credit to read an entry "in exchange" from now on. What is one's own, free or bought costs nothing.

        Args:
            name: str, name or id.
            version: int, or None for the latest.

        Returns:
            `Entry` with its vectors.

        Raises:
            LibraryError: there is no such entry that this user may see.
        """
        with self._shelves.turn():
            row = self._one(name, version, bought=False)
            if not self._paid(row):  # it is seen only by those who have a credit
                self._shelves.append("ledger", [{"id": row["id"], "user": self.user, "change": -1, "what": "reading"}])
        return self.get(row["id"])

    # ---- inside -----------------------------------------------------------------------------------------------------------

    def _seen(self):
        """What this user may see, as SQL."""
        user, ledger = quoted(self.user), self.ledger()
        bought = among("id", {row["id"] for row in ledger if row["change"] < 0})
        exchange = "access = 'exchange'" if sum(row["change"] for row in ledger) > 0 else bought
        return f"(access = 'free' OR owner = {user} OR array_has(readers, {user}) OR {exchange})"

    def _paid(self, row):
        free = row["access"] != "exchange" or row["owner"] == self.user
        return free or any(one["id"] == row["id"] and one["change"] < 0 for one in self.ledger())

    def _rows(self, where, versions=False, more=()):
        wanted = f"{self._seen()} AND ({where})" + ("" if versions else " AND latest")
        columns = [*SHOWN, "name", "access", "latest", *more]
        return [row for shape in self._shelves.shapes() for row in rows_of(self._shelves.prompts(shape), wanted, columns)]

    def _one(self, name, version, bought=True):
        """The row of an entry, by name or id."""
        found = self._rows(_called(name, version), versions=True)
        own = [row for row in found if row["owner"] == self.user and row["id"] != name]
        found = own or found
        if version is None and found and found[0]["id"] != name:
            found = [row for row in found if row["latest"]]
        if not found:
            raise refuse_unknown(name)
        if len(found) > 1:
            raise LibraryError(f"There are {len(found)} entries {name!r}: {', '.join(row['id'] for row in found)}. Give an id.")
        if bought and not self._paid(found[0]):
            raise LibraryError(f"{found[0]['name']!r} is given in exchange: library.buy({found[0]['id']!r}) costs one credit.")
        return found[0]


def check_user(user):
    """A user: a str with something in it. Raises ValueError for anything else."""
    if not isinstance(user, str) or not user.strip():
        raise ValueError(f"user must be a str with something in it, got {user!r}.")
    return user


def _called(name, version):
    """Entries by name or id, as SQL."""
    if not isinstance(name, str):
        raise LibraryError(f"An entry is asked for by its name or id, a str; got {type(name).__name__}.")
    numbered = "" if version is None else f" AND version = {checks.whole('version', version)}"
    return f"(id = {quoted(name)} OR (name = {quoted(name)}{numbered}))"
