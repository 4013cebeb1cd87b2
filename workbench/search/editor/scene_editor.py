"""The environment: a scene, or a template, that is edited one attribute at a time."""

import hashlib

import numpy as np
import torch

from workbench import checks

MOST = 100_000  # states an editor may have: their pictures are seen once and kept
_CHUNK = 512


class SceneEditor:
    """Edits of scenes: an action sets one attribute to one value.

    A state is a row of ints, one a attribute, the number of its value. What a scene looks like and how it is said is up to two
    functions, so that the built-in world and a template with slots and a pipeline that draws fit alike.

    Args:
        values: dict of attribute -> its values, a sequence of 2 or more str.
        words: function of (row of values, tuple of str; wording, int) -> str, a sentence that says the scene.
        draw: function of (list of rows of values, list of seeds) -> pictures, see `pictures.as_pictures`; None for an editor
            without pictures.
        looks: int >= 1, pictures of each scene, drawn with as many seeds.
        wordings: int >= 1, sentences for each scene.

    Attributes:
        actions: tuple of (attribute, value), what an agent can do.
        sizes: tuple of int, how many values each attribute has.
        states: int array (s, a), all states in order.

    Raises:
        ValueError: no attributes, one without a choice or with a value twice, or more than 100,000 states.
    """

    def __init__(self, values, words, draw=None, *, looks=3, wordings=3):
        self.values = {name: tuple(checks.texts(some, f"values of {name}")) for name, some in dict(values).items()}
        self.sizes = tuple(map(len, self.values.values()))
        count = int(np.prod(self.sizes, dtype=float)) if self.sizes else 0
        if not self.sizes or min(self.sizes) < 2 or count > MOST:
            raise ValueError(
                f"An editor needs attributes of two values or more and at most {MOST:,} states, got {count:,}: {self.sizes}."
            )
        for name, some in self.values.items():
            twice = [value for value in some if some.count(value) > 1]
            if twice:  # two states would be one scene, and only one of them the goal
                raise ValueError(f"{name} has {twice[0]!r} twice. Give each value once.")
        self.looks, self.wordings = checks.whole("looks", looks), checks.whole("wordings", wordings)
        self.words, self.draw = words, draw
        self.actions = tuple((name, value) for name, some in self.values.items() for value in some)
        self.states = np.stack([part.ravel() for part in np.indices(self.sizes)], 1)
        self._attribute = np.repeat(np.arange(len(self.sizes)), self.sizes)
        self._value = np.concatenate([np.arange(size) for size in self.sizes])
        self._first = np.cumsum((0, *self.sizes[:-1]))

    def number(self, states):
        """The number of each state in `states`: int array (n,), of int (n, a)."""
        return np.ravel_multi_index(np.asarray(states).T, self.sizes)

    def rows(self, scenes):
        """Scenes given by their values as states: int array (n, a).

        Raises:
            ValueError: a scene of another length, or a value that its attribute does not have.
        """
        out = []
        for scene in scenes:
            if len(scene) != len(self.sizes):
                raise ValueError(f"A scene has {len(self.sizes)} values, {', '.join(self.values)}; got {scene!r}.")
            for name, value in zip(self.values, scene, strict=True):
                checks.one_of(name, value, self.values[name])
            out.append([known.index(value) for known, value in zip(self.values.values(), scene, strict=True)])
        return np.array(out, np.int64).reshape(-1, len(self.sizes))

    def scene(self, state):
        """The values of a state, int (a,): tuple of str."""
        return tuple(known[i] for known, i in zip(self.values.values(), state, strict=True))

    def edit(self, states, actions):
        """States after one edit each: int (n, a), of states int (n, a) and actions int (n,), numbers in `actions`."""
        states, actions = np.array(states, np.int64), np.asarray(actions)
        states[np.arange(len(states)), self._attribute[actions]] = self._value[actions]
        return states

    def expert(self, states, goals):
        """What someone does who knows the goal: set the first attribute that is wrong, or the first again: int array (n,)."""
        first = (np.asarray(states) != goals).argmax(1)
        return self._first[first] + np.asarray(goals)[np.arange(len(first)), first]

    def one_hot(self, states):
        """States as float32 tensor (..., number of actions)."""
        shifted = torch.from_numpy(np.asarray(states, np.int64) + self._first)
        return torch.nn.functional.one_hot(shifted, len(self.actions)).sum(-2).float()

    def __repr__(self):
        return f"SceneEditor({len(self.states):,} states, {len(self.actions)} actions)"


class View:
    """What a CLIP sees of the scenes of an editor, and reads of their sentences. Each is seen once and kept.

    Args:
        clip: `models.CLIP`.
        editor: `SceneEditor` with a `draw`.
        offset: int, added to all seeds and wordings. One of `looks` times the number of states or more (and of `wordings` or
            more) shows what a view without offset never showed.

    Raises:
        ValueError: an editor without pictures.
    """

    def __init__(self, clip, editor, offset=0):
        if editor.draw is None:
            raise ValueError("This editor has no pictures: give `draw`, a function that draws scenes.")
        self.clip, self.editor, self.offset = clip, editor, offset
        self.scale = float(clip.model.logit_scale.detach().exp())
        n = len(editor.states)
        self._seen = torch.full((n, editor.looks, clip.width), torch.nan)
        self._read = torch.full((n, editor.wordings, clip.width), torch.nan)

    def pictures(self, numbers, looks):
        """Unit features of scenes, by their numbers int (...) and looks int (...): float32 (..., d)."""
        editor = self.editor

        def see(number, look):
            rows = [editor.scene(editor.states[i]) for i in number]
            seeds = [int(self.offset + i + k * len(editor.states)) for i, k in zip(number, look, strict=True)]
            return self.clip.image_features(editor.draw(rows, seeds))

        return self._filled(self._seen, numbers, looks, see)

    def sentences(self, numbers, wordings):
        """Unit features of the sentences of scenes, by their numbers int (...) and wordings int (...): float32 (..., d)."""
        editor = self.editor

        def read(number, wording):
            texts = [
                editor.words(editor.scene(editor.states[i]), int(self.offset + k)) for i, k in zip(number, wording, strict=True)
            ]
            return self.clip.text_features(texts)

        return self._filled(self._read, numbers, wordings, read)

    def all(self):
        """Features of all scenes in all looks, and of all sentences: two float32 tensors, (s, looks, d) and (s, wordings, d)."""
        n = np.arange(len(self.editor.states))[:, None]
        return self.pictures(n, np.arange(self.editor.looks)[None]), self.sentences(n, np.arange(self.editor.wordings)[None])

    def digest(self):
        """A sha256, str, of all that is seen and read."""
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in self.all())).hexdigest()

    def _filled(self, known, numbers, which, find):
        numbers, which = np.broadcast_arrays(numbers, which)
        new = torch.isnan(known[numbers, which, 0]).numpy()
        missing = np.unique(np.stack([numbers[new], which[new]]), axis=1)
        for start in range(0, missing.shape[1], _CHUNK):
            rows, cols = missing[:, start : start + _CHUNK]
            known[rows, cols] = find(rows, cols).float().cpu()
        return known[numbers, which]
