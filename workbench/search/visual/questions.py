"""Questions about pictures: a map from a picture's features to soft tokens with which a frozen language model answers."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved, check_layout
from workbench.models.clip import CLIP
from workbench.pictures import as_pictures
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.learning import batch, descend, gradient_many
from workbench.search.soft.soft_prompt import sha256
from workbench.search.visual import towers
from workbench.values import ModelError

_CONFIG = SoftConfig(layout="prefix", vectors=4, steps=400, batch=32, rate=0.01)


@dataclass(frozen=True, eq=False)
class Questions(Saved):
    """What makes a frozen language model answer questions about pictures.

    Attributes:
        weight: float32 array (d + 1, k * w), from the features of a picture, and 1, to k soft tokens before the question.
        answers: dict of question -> tuple of str, the answers there are.
        config: `SoftConfig`.
        sha256: str, of the language model; `clip_sha256`: str, of the CLIP; others are refused.
        history: tuple of dicts, see `SoftPrompt`.

    Source:
        Tsimpoukelli et al., "Multimodal Few-Shot Learning with Frozen Language Models", arXiv:2106.13884, with a frozen CLIP in
        place of their vision encoder.
    """

    kind = "questions about pictures"
    weight: np.ndarray
    answers: dict
    config: SoftConfig
    sha256: str
    clip_sha256: str
    history: tuple = ()

    def answer(self, clip, lm, pictures, questions):
        """Answer a question about each picture.

        Args:
            clip: the `models.CLIP` it was learned with.
            lm: the `models.LM` it was learned with.
            pictures: n pictures, see `pictures.as_pictures`.
            questions: list of n str, among those of `answers`.

        Returns:
            list of n str.

        Raises:
            ModelError: another CLIP or language model.
            ValueError: an unknown question, or another number of questions than of pictures.
        """
        if sha256(lm) != self.sha256:
            raise ModelError(f"These questions were learned with another language model than {lm.name}: load the old one.")
        pictures, questions = _asked(clip, pictures, questions)
        if towers.sha256(clip.model) != self.clip_sha256:
            raise ModelError(f"These questions were learned with another CLIP than {clip.name}: load the old one.")
        if unknown := set(questions) - set(self.answers):
            raise ValueError(f"Unknown questions: {', '.join(sorted(unknown))}. Known: {', '.join(sorted(self.answers))}.")
        features = _features(clip, pictures)
        vectors = (features @ torch.from_numpy(self.weight)).view(len(features), self.config.vectors, -1).numpy()
        said = []
        for start in range(0, len(questions), self.config.batch):
            part = slice(start, start + self.config.batch)
            known = [self.answers[question] for question in questions[part]]
            rows = [([question], [some[0]]) for question, some in zip(questions[part], known, strict=True)]
            found = gradient_many(lm, list(vectors[part]), rows, self.config, classes=known)
            said += [predicted[0] for _, _, predicted in found]
        return said

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        answers = {question: list(known) for question, known in self.answers.items()}
        config = {"options": asdict(self.config), "answers": answers, "history": list(self.history)}
        return config | {"sha256": self.sha256, "clip_sha256": self.clip_sha256}, {"weight": self.weight}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Questions` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        check_layout(tensors, {"weight": "float32 d w"})
        answers = {question: tuple(checks.texts(known, "answers")) for question, known in config["answers"].items()}
        history = tuple(dict(row) for row in config["history"])
        models = config["sha256"], config["clip_sha256"]
        return cls(tensors["weight"], answers, SoftConfig(**config["options"]), *models, history)


def learn_questions(clip, lm, pictures, questions, answers, config=None, *, folder=None, progress=True):
    """Learn to answer questions about pictures; neither model is changed.

    Args:
        clip: `models.CLIP`.
        lm: `models.LM`.
        pictures: n pictures, see `pictures.as_pictures`.
        questions: list of n str, one about each picture.
        answers: list of n str.
        config: `SoftConfig`, of which `vectors`, `steps`, `batch`, `rate`, `loss` and `seed` count; None takes 4 vectors before
            the question and 400 steps.
        folder: str, Path or None, for checkpoints; the same call goes on from there.
        progress: bool.

    Returns:
        `Questions`.

    Raises:
        TypeError: not str.
        PictureError: one of them is not a picture.
        ValueError: other numbers of pictures, questions and answers, or a question with one answer only.
        ArtifactError: `folder` holds another run.
    """
    config = (config or _CONFIG).replace(layout="prefix")
    (pictures, questions), answers = _asked(clip, pictures, questions), checks.texts(answers, "answers")
    if len(answers) != len(questions):
        raise ValueError(f"There are {len(questions)} questions and {len(answers)} answers; each question needs one.")
    known = {}
    for question, answer in zip(questions, answers, strict=True):
        known.setdefault(question, set()).add(answer)
    if single := [question for question, some in known.items() if len(some) < 2]:
        raise ValueError(f"A question needs two answers or more: {single[0]!r} has one.")
    known = {question: tuple(sorted(some)) for question, some in known.items()}
    features = _features(clip, pictures)
    width = lm.model.get_input_embeddings().weight.shape[1]
    net = torch.nn.Linear(features.shape[1], config.vectors * width, bias=False)
    with torch.no_grad():
        net.weight.copy_(0.02 * torch.randn(net.weight.shape, generator=torch.Generator().manual_seed(config.seed)))

    def loss(step):
        rows = batch(range(len(features)), config.batch, step, config.seed)
        vectors = net(features[rows]).view(len(rows), config.vectors, width)
        tasks = [([questions[i]], [answers[i]]) for i in rows]
        found = gradient_many(lm, list(vectors.detach().numpy()), tasks, config, classes=[known[questions[i]] for i in rows])
        vectors.backward(torch.from_numpy(np.stack([grad for _, grad, _ in found]) / len(rows)))
        right = np.mean([predicted[0] == answers[i] for i, (_, _, predicted) in zip(rows, found, strict=True)])
        return {"loss": float(np.mean([value for value, _, _ in found])), "accuracy": float(right)}

    model = sha256(lm)
    digest = hashlib.sha256(features.numpy().tobytes() + repr((questions, answers)).encode()).hexdigest()
    checkpoint = None
    if folder is not None:
        checkpoint = Checkpoint(folder, "questions training", {"options": asdict(config), "model": model, "data": digest})
    history = []
    if config.steps:
        done, _ = descend(loss, {"map": net}, config, "learning to answer questions", checkpoint, progress)
        history = [{name: round(value, 5) for name, value in row.items()} for row in done.history]
    return Questions(net.weight.detach().T.contiguous().numpy(), known, config, model, towers.sha256(clip.model), tuple(history))


def _asked(clip, pictures, questions):
    """Pictures and questions, checked: (list of n PIL images, list of n str)."""
    if not isinstance(clip, CLIP):
        raise TypeError(f"clip is what models.load_clip returns, got {type(clip).__name__}.")
    pictures, questions = as_pictures(pictures), checks.texts(questions, "questions")
    if len(pictures) != len(questions):
        raise ValueError(f"There are {len(pictures)} pictures and {len(questions)} questions; each picture needs one.")
    return pictures, questions


def _features(clip, pictures):
    """Features of pictures and 1: float32 (n, d + 1) on the CPU."""
    found = clip.image_features(pictures).cpu()
    return torch.cat([found * found.shape[1] ** 0.5, torch.ones(len(found), 1)], 1)  # each number about 1
