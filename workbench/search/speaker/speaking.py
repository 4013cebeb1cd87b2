"""Speaking: learn to describe pictures, then learn from listeners what to say."""

from dataclasses import asdict, dataclass

import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved, check_layout
from workbench.models.lm import fingerprint
from workbench.pictures import as_pictures
from workbench.search.loop import digest
from workbench.search.policy import Play, reinforce
from workbench.search.soft.frozen import frozen
from workbench.search.soft.learning import batch
from workbench.search.speaker.adapter import Adapter, Voice
from workbench.search.speaker.config import SpeakerConfig
from workbench.search.visual.towers import sha256
from workbench.training import adamw, cosine, train
from workbench.values import ModelError

_SAVE_EVERY = 10  # steps
_LAYOUT = {"seen.weight": "float32 h d", "seen.bias": "float32 h", "said.weight": "float32 h w", "said.bias": "float32 h"}
_LAYOUT |= {"outer.weight": "float32 w h", "outer.bias": "float32 w", "centre": "float32 d", "spread": "float32 d"}
_FEW = 16  # games of a step from which one text for all of them is a collapse


@dataclass(frozen=True, eq=False)
class Speaker(Saved):
    """What says a text about a picture: an adapter between a frozen CLIP and a frozen language model.

    Attributes:
        tensors: dict of name -> float32 array, the weights of the adapter.
        config: `SpeakerConfig` of the last stage.
        models: dict of str to str, the sha256 of "clip" and "lm"; others are refused.
        history: tuple of dicts, of the last stage.

    Source:
        Singh et al., "Know your audience", arXiv:2206.08349, section 4: adapter between CLIP and a frozen language model.
    """

    kind = "speaker"
    tensors: dict
    config: SpeakerConfig
    models: dict
    history: tuple = ()

    def say(self, lm, clip, pictures):
        """The likeliest text about each picture: list of n str.

        Args:
            lm: the `models.LM` it was learned with.
            clip: the `models.CLIP` it was learned with.
            pictures: n pictures, see `pictures.as_pictures`.

        Raises:
            ModelError: other models.
        """
        return self._said(lm, clip, pictures, True, 0)

    def sample(self, lm, clip, pictures, seed=0):
        """A text about each picture, drawn: list of n str. Arguments and errors as in `say`, and `seed`, int."""
        return self._said(lm, clip, pictures, False, checks.seed(seed))

    def _said(self, lm, clip, pictures, greedy, seed):
        voice, pictures = self.voice(lm, clip), as_pictures(pictures)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            return voice.texts(voice.draw(clip.image_features(pictures), greedy)[0])

    def voice(self, lm, clip):
        """The `Voice` with these weights; ModelError for other models."""
        found = _models(lm, clip)
        wrong = [name for name in found if found[name] != self.models[name]]
        if wrong:
            raise ModelError(f"This speaker was learned with another {' and '.join(wrong)}. Load the old one, or learn it again.")
        adapter = _adapter(lm, clip, self.config)
        adapter.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.tensors.items()})
        return Voice(lm, adapter, self.config.longest)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        return {"options": asdict(self.config), "models": self.models, "history": list(self.history)}, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `Speaker` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        check_layout(tensors, _LAYOUT)
        models = {name: str(config["models"][name]) for name in ("clip", "lm")}
        return cls(tensors, SpeakerConfig(**config["options"]), models, tuple(map(dict, config["history"])))


def learn(lm, clip, pictures, texts, config=None, *, folder=None, progress=True):
    """Learn to say texts about pictures, from examples.

    Args:
        lm: `models.LM`, frozen.
        clip: `models.CLIP`, frozen, the eyes of the speaker.
        pictures: n pictures, see `pictures.as_pictures`.
        texts: list of n str.
        config: `SpeakerConfig`; None takes the defaults.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `Speaker`.

    Warns:
        UserWarning: texts longer than `config.longest` tokens, which are cut.

    Raises:
        ValueError: other numbers of pictures and texts.
        ModelError: the language model has no end token, or too short a window.
        ArtifactError: `folder` holds another run.
        Interrupted: Ctrl-C; the checkpoint is written.
    """
    config, pictures, texts = config or SpeakerConfig(), as_pictures(pictures), checks.texts(texts, "texts")
    if len(pictures) != len(texts):
        raise ValueError(f"Each picture needs one text, got {len(pictures)} pictures and {len(texts)} texts.")
    voice = Voice(lm, _adapter(lm, clip, config), config.longest)
    seen, (ids, taken) = clip.image_features(pictures).to(voice.device), voice.tokens(texts)
    voice.adapter.look(seen)

    def loss(step):
        rows = torch.tensor(batch(range(len(ids)), config.games, step, config.seed))
        said = voice.log_probs(seen[rows], ids[rows])
        return -(said * taken[rows]).sum() / taken[rows].sum()

    run = {"options": asdict(config), "models": _models(lm, clip), "texts": texts, "seen": _digest(seen)}
    checkpoint = None if folder is None else Checkpoint(folder, "speaker learning", run)
    with frozen(lm):
        done = train(
            loss,
            {"adapter": voice.adapter},
            adamw(voice.adapter),
            config.steps,
            cosine(config.rate, config.steps, min(10, config.steps - 1), 0.1),
            name="learning to describe",
            every=20,
            checkpoint=checkpoint,
            save_every=_SAVE_EVERY,
            seed=config.seed,
            progress=progress,
        )
    return _speaker(voice, config, run["models"], done.history)


def play(speaker, lm, clip, games, friend, rival=None, config=None, *, folder=None, progress=True):
    """Learn what to say from what listeners pick: earn 1 where the friend is right, and lose 1 where the rival is.

    The speaker sees the first picture of a game only, as its listeners do not know which it is.

    Args:
        speaker: `Speaker` to begin with; it is not changed.
        lm: the `models.LM` it was learned with.
        clip: the `models.CLIP` it was learned with.
        games: `Games`.
        friend: `Listener` that should understand.
        rival: `Listener` that should not, or None.
        config: `SpeakerConfig` of this stage; `hidden` and `longest` are those of the speaker. None takes 150 steps
            of 24 games, a rate of 3e-3 and a beta of .01.
        folder: as in `learn`.
        progress: as in `learn`.

    Returns:
        `Speaker`; its history has `reward`, `kl` (nats for a text), `friend` and `rival` (shares that were right).

    Raises:
        ModelError: other models.
        RewardError: all texts about a game earn the same from the start.
        CollapseError: the speaker says one text about all games.
        ArtifactError: `folder` holds another run.
        Interrupted: Ctrl-C; the checkpoint is written.

    Source:
        Singh et al., arXiv:2206.08349, section 3 (listener subtraction); updates: `policy.reinforce`.
    """
    own = speaker.config
    config = (config or own.replace(steps=150, games=24, rate=3e-3, beta=0.01)).replace(hidden=own.hidden, longest=own.longest)
    voice, start = speaker.voice(lm, clip), speaker.voice(lm, clip)
    seen = games.eyes(clip).to(voice.device)

    def turn(step):
        rows = torch.tensor(batch(range(len(games)), config.games, step, config.seed))
        n = len(rows)
        every = rows.repeat_interleave(config.tries)
        ids, taken = voice.draw(seen[every])
        states, texts = voice.states(ids), voice.texts(ids)
        said = voice.log_probs_at(seen[every], states, ids)
        right = (games.picks(friend, texts, every) == 0).astype(float)
        fooled = right * 0 if rival is None else (games.picks(rival, texts, every) == 0).astype(float)
        begun = None
        if config.beta:
            with torch.no_grad():
                begun = start.log_probs_at(seen[every], states, ids).view(n, config.tries, -1)
        rewards = (right - fooled).reshape(n, config.tries)
        bounds = ["one text about all games"] if n >= _FEW and len(set(texts)) == 1 else []
        told = {"friend": float(right.mean()), "rival": float(fooled.mean())}
        return Play(said.view(n, config.tries, -1), rewards, taken.view(n, config.tries, -1), begun, told, bounds)

    run = {
        "options": asdict(config),
        "models": speaker.models,
        "games": games.digest,
        "start": _digest(*start.adapter.state_dict().values()),
    }
    run |= {"listeners": [[one.sight, sha256(one.clip.model)] if one else None for one in (friend, rival)]}
    checkpoint = None if folder is None else Checkpoint(folder, "speaker playing", run)
    with frozen(lm):
        rate = cosine(config.rate, config.steps, min(5, config.steps - 1), 0.1)
        modules, name = {"adapter": voice.adapter}, "learning from listeners"
        options = {"beta": config.beta, "checkpoint": checkpoint, "seed": config.seed, "progress": progress}
        options["save_every"] = _SAVE_EVERY
        done = reinforce(turn, modules, config.steps, rate, name=name, **options)
    return _speaker(voice, config, speaker.models, done.history)


def _adapter(lm, clip, config):
    return Adapter(clip.width, lm.model.get_input_embeddings().weight.shape[1], config)


def _models(lm, clip):
    return {"clip": sha256(clip.model), "lm": fingerprint(lm)}


def _digest(*tensors):
    return digest(torch.cat([tensor.detach().flatten() for tensor in tensors]))


def _speaker(voice, config, models, history):
    tensors = {name: value.detach().cpu().numpy().copy() for name, value in voice.adapter.state_dict().items()}
    rows = [{name: round(float(value), 5) for name, value in row.items()} for row in history]
    return Speaker(tensors, config, models, tuple(rows))
