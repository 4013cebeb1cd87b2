"""Codebook: the alphabet of the language. Features of units -> codes, learned without labels."""

from dataclasses import asdict, dataclass

import numpy as np

from workbench import checks
from workbench import progress as bars
from workbench.artifacts import Saved, check_layout
from workbench.checks import unit_rows
from workbench.language.codebook.context import learn_context
from workbench.language.codebook.memory import identities, recall, remember
from workbench.language.codebook.naming import distinctive, suggest_names
from workbench.language.codebook.sequence import forward_backward
from workbench.values import NotFittedError

__all__ = ["Codebook", "CodebookConfig", "distinctive", "suggest_names"]

_N_DIMS = 48  # principal components that the codes live in
_N_CONTEXT = 40  # eigenword directions
_CONTEXT_WEIGHT = 0.45  # length of the eigenword part of a feature; the part from the language model has length 1
_TYPE_SMOOTHING = 30.0  # occurrences of a type that count as much as what is known of all types
_MEDOID_SAMPLE = 4000  # units that seeds are chosen from; distances take its square
_ANNEALING = 10  # epochs until the context has its full weight
_BLOCK = 20_000  # rows projected at a time, to bound memory


@dataclass(frozen=True)
class CodebookConfig:
    """Options of `Codebook`."""

    n_codes: int = 32  # k, size of the alphabet without <?>
    epochs: int = 15  # rounds of tuning; 0 keeps the medoids
    method: str = "hmm"  # "hmm": a hidden Markov model; "vq": a VQ-VAE, whose codes know no neighbours and no given codes
    emission_weight: float = 0.15  # hmm: weight of a unit's own features, 0..1; 1, with no memory of types, is the plain HMM
    type_weight: float = 1.0  # hmm: weight of the codes a unit type had before, 0 or more; 0 leaves them out
    stop_gradient: bool = True  # vq: codes are not tuned by the reconstruction, only by their neighbours and their distances

    def __post_init__(self):
        checks.whole("n_codes", self.n_codes, least=2)
        if self.n_codes > _MEDOID_SAMPLE:
            raise ValueError(
                f"n_codes can be {_MEDOID_SAMPLE:,} at most, the units that seeds are chosen from; got {self.n_codes}. "
                "Codes are kinds of phrases: take some dozens."
            )
        checks.whole("epochs", self.epochs, least=0)
        checks.one_of("method", self.method, ("hmm", "vq"))
        checks.number("emission_weight", self.emission_weight, 0, 1, above=True)
        checks.number("type_weight", self.type_weight, 0)

    def check_takes_given(self):
        """Raises ValueError if codes cannot be given to the method."""
        if self.method == "vq":
            raise ValueError(
                'The method "vq" learns all of its codes and takes none that are given. Leave them out, or take method="hmm".'
            )


class Codebook(Saved):
    """k code vectors, and how codes follow each other.

    A unit's feature is its layer vector (centred, L2 norm 1) beside its eigenwords (L2 norm 0.45), reduced to d = 48 principal
    components at most. Code vectors are seeded with medoids and tuned by expectation-maximisation of a hidden Markov model
    whose codes emit two things: the feature, by a spherical Gaussian tempered by `emission_weight`, and the unit's type, by a
    smoothed table (`codebook.memory`). Its transitions depend on whether a separator was crossed. So a phrase seen often keeps
    the code it mostly had, wherever it stands; the code of a rare or new phrase comes from its vector and from the codes of its
    neighbours. A type is recognised by its static vector.

    With the method "vq" the code of a unit is the nearest code vector and nothing else: a VQ-VAE, see `codebook.vq`. Its
    features have been through a linear map that was learned, too.

    After `fit`: `vectors_` float32 (k, d); `medoid_rows_` int64 (k,), the seeding rows of the features; `variance_` float;
    `transitions_` float32 (2, k, k), rows sum to 1, inside a segment and across a separator; `start_` float32 (k,);
    `usage_` float32 (k,), share of the units of the fit; `history_` list of floats, log-likelihood per unit by epoch (nats, up
    to a constant), comparable only once the weight of the context has settled; or with "vq" of dicts, losses by step. Of a "vq"
    the transitions are counted, and `encode` does not use them.

    Source:
        Medoids: FasterPAM, arXiv:2008.05171. A tagger learned without labels whose HMM emits Gaussian vectors instead of words:
        Lin et al., arXiv:1503.06760, section 2; ours emits both. VQ-VAE's codebook (arXiv:1711.00937, appendix A.1) is updated
        by running averages of hard assignments; here the averages are exact and soft, so a seed cannot be lost and no code
        vector goes unused by chance.
    """

    kind = "codebook"

    def __init__(self, config=CodebookConfig()):  # noqa: B008 - frozen
        self.config = config

    def fit(self, layer, static, types, before, progress=True, given=None, seed=0):
        """Learn the codes of a sample of prompts.

        Args:
            layer: float (n, d), contextual vector of each unit (mean over its words), prompts one after the other.
            static: float32 (t, d2), context-free vector of each unit type.
            types: int64 (n,), row of `static` for each unit.
            before: int8 (n,), 2 where a prompt begins, 1 after a separator, otherwise 0.
            progress: bool, show a progress bar.
            given: int64 (t,), the code that a unit type is given, -1 for none; or None. The codes given are 0..g-1, g < k. Such a
                code begins at the mean of its types (at a medoid if none of them occurs), and its types count as if they had had
                it a million times: they nearly always keep it. Types that do not occur may be given a code for later, too.
            seed: int.

        Returns:
            self.

        Raises:
            ValueError: wrong shapes, NaN, fewer distinct units than codes, codes given that are not 0..g-1 with g < k, or codes
                given to the method "vq".
        """
        seed = checks.seed(seed)
        types, before = _check_rows(layer, static, types, before)
        config = self.config
        given = _check_given(given, len(static), config.n_codes)
        if (given >= 0).any():
            config.check_takes_given()
        distinct = len(np.unique(types))
        if distinct < config.n_codes:
            raise ValueError(
                f"{config.n_codes} codes need {config.n_codes} different phrases or more, these prompts have {distinct}. "
                f"Add prompts, or take fewer codes (n_codes={max(2, distinct // 3)})."
            )
        rng = np.random.default_rng(seed)
        self._learn_features(layer, static, types, before, seed)
        x = self.features(layer, static, types)
        rows = np.sort(rng.choice(len(x), min(_MEDOID_SAMPLE, len(x)), replace=False))
        self.medoid_rows_ = rows[_medoids(x[rows], config.n_codes, seed)]
        self.vectors_ = x[self.medoid_rows_].copy()
        k = config.n_codes
        if config.method == "vq":
            self._quantise(x, before, seed, progress)
            return self
        self._seed_given(x, given[types])
        self.start_, self.transitions_ = np.full(k, 1 / k, np.float32), np.full((2, k, k), 1 / k, np.float32)
        self.variance_ = float(_squared_distances(x, self.vectors_).min(1).mean() / x.shape[1]) or 1e-6
        # Types are recognised by their static vectors, so that `encode` knows those of `fit` among its own.
        known, fixed = identities(static), given >= 0
        self._known = np.unique(np.concatenate([known[types], known[fixed]]))
        typed, anchors = np.searchsorted(self._known, known[types]), np.full(len(self._known), -1)
        anchors[np.searchsorted(self._known, known[fixed])] = given[fixed]
        self._memory, self.history_ = np.zeros((len(self._known), k), np.float16), []
        if fixed.any():
            even = np.full((len(x), k), np.float32(1 / k))  # nothing else is known yet
            self._memory = remember(even, typed, _TYPE_SMOOTHING, anchors)
        for epoch in bars.bar(range(config.epochs), name="learning codes", unit="epochs", shown=progress):
            # Medoids say nothing of the order of codes yet: the context gains weight as it is learned.
            weight = max(config.emission_weight, 1 - (1 - config.emission_weight) * epoch / _ANNEALING)
            self._tune(x, before, typed, weight, anchors)
        codes = self._posterior(x, before, self._memory[typed], config.emission_weight).codes.argmax(1)
        self.usage_ = (np.bincount(codes, minlength=k) / len(x)).astype(np.float32)
        return self

    def _quantise(self, x, before, seed, progress):
        """All that `fit` learns with the method "vq"; the map in front of the codes becomes a part of the features."""
        from workbench.language.codebook import vq  # loads torch

        k = self.config.n_codes
        tuned = vq.tune(x, self.vectors_, before, self.config.epochs, self.config.stop_gradient, seed, progress)
        self._axes, self._offset = self._axes @ tuned.turn, self._offset @ tuned.turn - tuned.shift
        self.vectors_, self.history_ = tuned.vectors, tuned.history
        distances = _squared_distances(x @ tuned.turn + tuned.shift, self.vectors_)
        codes = distances.argmin(1)
        self.variance_ = float(distances.min(1).mean() / x.shape[1]) or 1e-6
        self.usage_ = (np.bincount(codes, minlength=k) / len(x)).astype(np.float32)
        self._known, self._memory = np.zeros(0, np.uint64), np.zeros((0, k), np.float16)
        starts, pairs = np.bincount(codes[before == 2], minlength=k) + 1, np.full((2, k, k), 0.1)
        later = np.flatnonzero(before < 2)
        np.add.at(pairs, (before[later], codes[later - 1], codes[later]), 1)
        self.transitions_ = (pairs / pairs.sum(2, keepdims=True)).astype(np.float32)
        self.start_ = (starts / starts.sum()).astype(np.float32)

    def _seed_given(self, x, given):
        """Put each given code where its units are, and the others on the medoids that are left: `given` is (n,), -1 for none."""
        for code in range(given.max(initial=-1) + 1):
            rows = given == code
            if rows.any():
                mean = x[rows].mean(0)
                # in place of the nearest medoid, which would compete for the same units
                nearest = code + int(((self.vectors_[code:] - mean) ** 2).sum(1).argmin())
                for seeds in (self.vectors_, self.medoid_rows_):
                    seeds[[code, nearest]] = seeds[[nearest, code]]
                self.vectors_[code] = mean

    def _tune(self, x, before, typed, weight, anchors):
        """One round of expectation-maximisation; `typed` is the row of the memory of each unit, `anchors` a row's given code."""
        found = self._posterior(x, before, self._memory[typed], weight)
        mass = found.codes.sum(0, dtype=np.float64)
        # a code without units stays where it is
        means = np.where(mass[:, None] > 1e-3, found.codes.T @ x / np.maximum(mass, 1e-3)[:, None], self.vectors_)
        self.vectors_ = means.astype(np.float32)
        self.variance_ = max(float((found.codes * _squared_distances(x, self.vectors_)).sum() / (len(x) * x.shape[1])), 1e-6)
        # Each row is smoothed towards even by a tenth of its own count: what was never seen stays possible.
        pairs = found.pairs + 0.1 * found.pairs.sum(2, keepdims=True) / len(mass) + 1e-3
        self.transitions_ = (pairs / pairs.sum(2, keepdims=True)).astype(np.float32)
        self.start_ = ((found.starts + 1) / (found.starts + 1).sum()).astype(np.float32)
        self._memory = remember(found.codes, typed, _TYPE_SMOOTHING, anchors)
        self.history_.append(found.log_likelihood / len(x))

    def _posterior(self, x, before, memory, weight):
        scores = -0.5 * weight * _squared_distances(x, self.vectors_) / self.variance_
        if self.config.type_weight:
            scores += np.float32(self.config.type_weight) * memory
        return forward_backward(scores, before, self.start_, self.transitions_)

    def encode(self, layer, static, types, before):
        """Codes of units; arguments as in `fit`.

        Returns:
            int64 (n,): for each unit the code with the highest posterior probability, given the whole prompt; with the method
            "vq" the code whose vector is nearest.

        Raises:
            NotFittedError: before `fit`.
            ValueError: wrong shapes, or vectors of another width than in `fit`.
        """
        if not hasattr(self, "vectors_"):
            raise NotFittedError("This Codebook has no codes yet: call fit first.")
        if not len(layer):
            return np.zeros(0, np.int64)
        types, before = _check_rows(layer, static, types, before)
        x = self.features(layer, static, types)
        if self.config.method == "vq":
            return _squared_distances(x, self.vectors_).argmin(1)
        memory = recall(self._known, self._memory, identities(static))[types]
        return self._posterior(x, before, memory, self.config.emission_weight).codes.argmax(1)

    def features(self, layer, static, types):
        """What the codes are made of: float32 (n, d); arguments as in `fit`.

        Raises:
            NotFittedError: before `fit`.
            ValueError: vectors of another width than in `fit`.
        """
        if not hasattr(self, "_offset"):
            raise NotFittedError("This Codebook has no codes yet: call fit first.")
        for width, array, what in ((len(self._layer_mean), layer, "layer"), (len(self._static_mean), static, "static")):
            if array.shape[1] != width:
                raise ValueError(
                    f"This codebook was fitted on {what} vectors of width {width}, got {array.shape[1]}. "
                    "Was another encoder used?"
                )
        blocks = self._joined(layer, self._eigenwords(static), types)
        return np.concatenate([x @ self._axes for x in blocks], dtype=np.float32) - self._offset

    def _learn_features(self, layer, static, types, before, seed):
        counts = np.bincount(types, minlength=len(static)).astype(np.float32)
        self._layer_mean = layer.mean(0, dtype=np.float32 if layer.dtype != np.float64 else None).astype(np.float32)
        self._static_mean = ((counts @ static) / counts.sum()).astype(np.float32)
        dims = min(_N_CONTEXT, static.shape[1])
        self._context = learn_context(unit_rows(static - self._static_mean), types, before, dims, seed)
        eigenwords = self._eigenwords(static)
        width = layer.shape[1] + eigenwords.shape[1]
        total, square = np.zeros(width), np.zeros((width, width))
        for x in self._joined(layer, eigenwords, types):
            total += x.sum(0, dtype=np.float64)
            square += x.T @ x
        mean = total / len(types)
        _, axes = np.linalg.eigh(square / len(types) - np.outer(mean, mean))
        # eigh leaves the signs open: fix them, so that equal seeds give equal codes on any stack
        axes = axes[:, ::-1][:, : min(_N_DIMS, width)]
        axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
        self._axes = np.ascontiguousarray(axes, np.float32)
        self._offset = (mean @ axes).astype(np.float32)

    def _eigenwords(self, static):
        return unit_rows(unit_rows(static - self._static_mean) @ self._context) * np.float32(_CONTEXT_WEIGHT)

    def _joined(self, layer, eigenwords, types):
        for at in range(0, max(1, len(types)), _BLOCK):
            rows = slice(at, at + _BLOCK)
            yield np.hstack([unit_rows(layer[rows].astype(np.float32) - self._layer_mean), eigenwords[types[rows]]])

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays) that `from_state` reads."""
        if not hasattr(self, "vectors_"):
            raise NotFittedError("This Codebook has no codes yet: call fit first.")
        config = {"options": asdict(self.config), "variance": self.variance_, "history": list(self.history_)}
        return config, {name: np.ascontiguousarray(getattr(self, attribute)) for name, attribute in _TENSORS.items()}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Codebook` that `to_state` described."""
        book = cls(CodebookConfig(**config["options"]))
        sizes = check_layout(tensors, _LAYOUT)
        if sizes["k"] != book.config.n_codes or sizes["x"] != sizes["d"] + sizes["c"] or not config["variance"] > 0:
            raise ValueError(f"its arrays have the sizes {sizes}, which do not fit to {book.config.n_codes} codes")
        book.variance_, book.history_ = config["variance"], list(config["history"])
        for name, attribute in _TENSORS.items():
            setattr(book, attribute, tensors[name])
        return book


_TENSORS = {name: f"{name}_" for name in ("vectors", "medoid_rows", "transitions", "start", "usage")}
_TENSORS |= {name: f"_{name}" for name in ("known", "memory", "layer_mean", "static_mean", "context", "axes", "offset")}

_LAYOUT = {
    "vectors": "float32 k w",
    "medoid_rows": "int64 k",
    "transitions": "float32 2 k k",
    "start": "float32 k",
    "usage": "float32 k",
    "known": "uint64 t",
    "memory": "float16 t k",
    "layer_mean": "float32 d",
    "static_mean": "float32 e",
    "context": "float32 e c",
    "axes": "float32 x w",
    "offset": "float32 w",
}


def _check_rows(layer, static, types, before):
    types, before = np.asarray(types, np.int64), np.asarray(before, np.int8)
    if layer.ndim != 2 or static.ndim != 2 or len(types) != len(layer) or len(before) != len(layer):
        raise ValueError(
            "Expected layer (n, d), static (t, d2), types (n,) and before (n,), got "
            f"{layer.shape}, {static.shape}, {types.shape} and {before.shape}."
        )
    if len(types) and (types.min() < 0 or types.max() >= len(static)):
        raise ValueError(f"types must be rows of static, 0..{len(static) - 1}, got {types.min()}..{types.max()}.")
    if len(before) and before[0] != 2:
        raise ValueError(f"before must start with 2, the first unit of a prompt, got {before[0]}.")
    if not np.isfinite(layer.sum(dtype=np.float64)) or not np.isfinite(static.sum(dtype=np.float64)):
        raise ValueError("The features hold NaN or infinite values. Is the encoder damaged?")
    return types, before


def _check_given(given, n_types, k):
    if given is None:
        return np.full(n_types, -1)
    given = np.asarray(given, np.int64)
    if given.shape != (n_types,) or given.min(initial=-1) < -1 or given.max(initial=-1) >= k:
        raise ValueError(f"given holds a code 0..{k - 1} or -1 for each of {n_types} types, got shape {given.shape}.")
    return given


def _squared_distances(x, vectors):
    return np.maximum((x**2).sum(1)[:, None] - 2 * x @ vectors.T + (vectors**2).sum(1), 0)


def _medoids(x, k, seed):
    """Rows of `x` that are the k medoids, by Euclidean distance."""
    import kmedoids

    distances = np.sqrt(_squared_distances(x.astype(np.float64), x.astype(np.float64))).astype(np.float32)
    np.fill_diagonal(distances, 0)
    return np.asarray(kmedoids.fasterpam(distances, k, random_state=seed % 2**32, n_cpu=1).medoids, np.int64)
