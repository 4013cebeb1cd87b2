"""How concepts are learned: pictures are noised, and the new words and weights are what must make the UNet undo it."""

import contextlib
import hashlib
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional

from workbench import checks, files
from workbench.artifacts import Checkpoint
from workbench.pictures import as_pictures
from workbench.search.concepts.concept import WORD, Concept, check_parts, readers, sum_of, tokens_of, with_words
from workbench.search.concepts.config import RATES, ConceptConfig
from workbench.search.soft.frozen import frozen
from workbench.search.soft.learning import batch, descend
from workbench.values import ModelError

_TRIED = 8  # pictures on which words to begin with are compared
_TIMES = 8  # noise levels at which they are
_NOISY = 0.5  # new pictures are noised more than evenly: what a picture shows is decided early
_DROPPED = 0.1  # share of old captions left out, so that guidance stays as it was


def learn(pipeline, pictures, captions, config=None, *, starts=None, kept=(), folder=None, progress=True):
    """Teach a pipeline new words by pictures. The pipeline is not changed.

    Captions say what else a picture shows, "a <lava> heart in the snow, photo": what they say need not be learned, and stays out
    of the word.

    Args:
        pipeline: `models.Pipeline` with one text encoder and a UNet.
        pictures: n >= 2 pictures, see `pictures.as_pictures`; of any sizes, cut to squares; turned upright.
        captions: list of n str, each with one new word or more in angle brackets.
        config: `ConceptConfig`; None takes the defaults.
        starts: dict of new word -> old word of one token to begin with; or several, of which the one is taken with which the
            pipeline explains the pictures best. Take words of the same kind: colors for a color. A word that is not named
            begins as the mean of all old ones.
        kept: list of str, old captions that must draw what they drew. The pipeline draws them once, before; then its predictions
            for these pictures are held fast. Only for "attention" and "all": words alone change no old caption.
        folder: str, Path or None, for checkpoints every 10 steps; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `Concept`. Ctrl-C ends the training after the step and returns the concept so far, with `stopped` "interrupted".

    Raises:
        ModelError: a pipeline without the parts that are trained, or in half precision.
        PictureError: one of them is no picture, too small or too large.
        TypeError: captions that are no str.
        ValueError: one picture only, another number of captions, a caption without a new word or too long for its words, an old
            caption with one, a word that exists already, a start that is no word of one token, or a loss that is not finite.
        ArtifactError: `folder` holds another run.

    Source:
        Gal et al., arXiv:2208.01618 (word); Kumari et al., arXiv:2212.04488 (attention). Old captions are held by the frozen
        pipeline's own predictions rather than by its pictures alone: knowledge distillation, Hinton et al., arXiv:1503.02531.
    """
    config = config or ConceptConfig()
    if folder is not None:
        files.path(folder, "folder")
    check_parts(pipeline)
    pictures, captions = as_pictures(pictures), checks.texts(captions, "captions")
    kept = old_captions(kept) if len(kept) else []
    if len(pictures) < 2:
        raise ValueError("One picture cannot show what is new and what is chance. Give two or more, with different surroundings.")
    if len(captions) != len(pictures):
        raise ValueError(f"There are {len(pictures)} pictures and {len(captions)} captions; each picture needs one.")
    words = _words(captions)
    weights = _weights(pipeline.pipe.unet, config.how)
    study = _Study(pipeline, dict.fromkeys(words, config.vectors))
    study.check(captions)
    starts = _starts(starts or {}, words, pipeline.pipe.tokenizer)
    with study.quiet():
        sides = [pictures, [picture.transpose(0) for picture in pictures]] if config.flips else [pictures]
        new = [study.latents(some, zoom) for some in sides for zoom in _zooms(config)]
        first = torch.cat([study.start(starts.get(word, ()), word, new[0], captions, config) for word in words])
        module = _Learned(first, {name: study.named[name] for name in weights}, RATES["word"] / config.rate).to(study.device)
        history, stopped = (), "steps"
        if config.steps:
            digest = hashlib.sha256(repr((captions, kept)).encode())
            for one in (*new, first):
                digest.update(one.cpu().numpy().tobytes())
            run = {"options": asdict(config), "model": sum_of(pipeline), "data": digest.hexdigest()}
            checkpoint = None if folder is None else Checkpoint(folder, "concept training", run)
            if checkpoint is not None:
                checkpoint.load()  # refuses another run before old captions are drawn
            old = study.latents(pipeline.draw(kept, seed=config.seed)) if kept and weights else None
            loss = _loss(study, module, new, captions, old, kept, config)
            done, stopped = descend(loss, {"concept": module}, config, "learning a concept", checkpoint, progress)
            history = tuple({name: round(value, 5) for name, value in row.items()} for row in done.history)
    rows = module.vectors().detach().cpu().numpy().reshape(len(words), config.vectors, -1)
    changed = {name: value.detach().cpu().numpy().copy() for name, value in module.named().items()}
    return Concept(dict(zip(words, rows.copy(), strict=True)), changed, config, sum_of(pipeline), history, stopped)


class _Learned(torch.nn.Module):
    """What is learned: how far the words are from their start, in units that make one rate fit both, and the weights."""

    def __init__(self, first, weights, unit):
        super().__init__()
        self.moved = torch.nn.Parameter(torch.zeros_like(first))
        self.weights = torch.nn.ParameterDict({name.replace(".", "/"): value.clone() for name, value in weights.items()})
        self.first, self.unit = first, unit if weights else 1.0

    def vectors(self):
        return self.first + self.unit * self.moved

    def named(self):
        return {name.replace("/", "."): value for name, value in self.weights.items()}


class _Study:
    """A pipeline as what the training needs of it: latents of pictures, states of captions with new words, predictions."""

    def __init__(self, pipeline, counts):
        from diffusers import DDPMScheduler  # seconds to import

        self.pipe, self.device, self.counts = pipeline.pipe, pipeline.device, counts
        self.tokenizer = with_words(self.pipe.tokenizer, counts)
        self.table = self.pipe.text_encoder.get_input_embeddings()
        self.named = dict(self.pipe.unet.named_parameters())
        self.noise = DDPMScheduler.from_config(self.pipe.scheduler.config)
        self.side = int(self.pipe.unet.config.sample_size) * self.pipe.vae_scale_factor
        self.old = len(self.pipe.tokenizer)

    @contextlib.contextmanager
    def quiet(self):
        """The parts of the pipeline need no gradients meanwhile, and are as before afterwards."""
        with contextlib.ExitStack() as stack:
            for part in (self.pipe.unet, self.pipe.text_encoder, self.pipe.vae):
                stack.enter_context(frozen(SimpleNamespace(model=part)))
            yield

    def check(self, captions):
        """Refuse captions whose new words are cut off at the window."""
        for row, caption in enumerate(captions):
            ids = set(self.ids([caption])[0].tolist())
            lost = [word for word in WORD.findall(caption) if self.tokenizer.convert_tokens_to_ids(word) not in ids]
            if lost:
                raise ValueError(f"Caption {row} is too long: {lost[0]} lies beyond the window of {self.window} tokens.")

    @property
    def window(self):
        return min(self.tokenizer.model_max_length, self.pipe.text_encoder.config.max_position_embeddings)

    def ids(self, texts):
        """Tokens of texts, int64 (n, t), a word of several vectors as all of its tokens."""
        texts = [WORD.sub(lambda m: " ".join(tokens_of(m[0], self.counts.get(m[0], 1))), text) for text in texts]
        found = self.tokenizer(texts, padding="max_length", truncation=True, max_length=self.window, return_tensors="pt")
        return found.input_ids.to(self.device)

    def states(self, texts, vectors):
        """What the UNet reads of texts, float32 (n, t, d); vectors (m, w) are those of the new tokens, in their order."""
        encoder, first, table = self.pipe.text_encoder, self.old, self.table

        class Table(torch.nn.Module):
            def forward(self, ids):
                new = ids >= first
                known = table(torch.where(new, 0, ids))
                return torch.where(new[..., None], vectors[(ids - first).clamp(min=0)], known)

        encoder.set_input_embeddings(Table())
        try:
            return encoder(self.ids(texts))[0]
        finally:
            encoder.set_input_embeddings(table)

    def latents(self, pictures, zoom=1.0):
        """Latents of pictures, float32 (n, c, h, w): cut to a square, resized, encoded without chance."""
        pixels = torch.stack([_square(picture, self.side, zoom, row) for row, picture in enumerate(as_pictures(pictures))])
        out = []
        with torch.no_grad():
            for part in pixels.to(self.device).split(16):
                found = self.pipe.vae.encode(part)
                found = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
                out.append((found - (self.pipe.vae.config.get("shift_factor") or 0)) * self.pipe.vae.config.scaling_factor)
        return torch.cat(out)

    def predict(self, noisy, times, states, weights):
        """What the UNet predicts, with some of its weights replaced."""
        return torch.func.functional_call(self.pipe.unet, weights, (noisy, times, states)).sample

    def target(self, clean, noise, times):
        """What it should predict."""
        kind = self.noise.config.prediction_type
        if kind == "v_prediction":
            return self.noise.get_velocity(clean, noise, times)
        return noise if kind == "epsilon" else clean

    def start(self, options, word, latents, captions, config):
        """The vectors (k, w) that a word begins with."""
        table = self.table.weight.detach()
        if not options:
            return table[: self.old].float().mean(0).repeat(config.vectors, 1)
        ids = [self.pipe.tokenizer.convert_tokens_to_ids(self.pipe.tokenizer.tokenize(option)[0]) for option in options]
        rows = [row for row, caption in enumerate(captions) if word in caption][:_TRIED]
        losses = [0.0] if len(ids) == 1 else [self._loss_of(option, word, latents[rows], rows, captions) for option in options]
        return table[ids[losses.index(min(losses))]].float().repeat(config.vectors, 1)

    def _loss_of(self, option, word, clean, rows, captions):
        """Diffusion loss of pictures with an old word in the place of the new one, the same noise for all."""
        draws, total = torch.Generator().manual_seed(0), 0.0
        texts = [WORD.sub("", captions[row].replace(word, option)) for row in rows]
        with torch.no_grad():
            states = self.states(texts, self.table.weight[:1])
            for level in range(_TIMES):
                noise = torch.randn(clean.shape, generator=draws).to(self.device)
                times = torch.full((len(clean),), int((level + 0.5) / _TIMES * self.noise.config.num_train_timesteps))
                times = times.to(self.device)
                found = self.predict(self.noise.add_noise(clean, noise, times), times, states, {})
                total += float(functional.mse_loss(found, self.target(clean, noise, times)))
        return total


def _loss(study, module, new, captions, old, kept, config):
    """The loss of a step, for `training.train`."""

    def loss(step):
        rows = batch(range(len(captions)), config.batch, step, config.seed)
        source = new[int(torch.randint(len(new), ()))]
        clean, texts = source[rows], [captions[row] for row in rows]
        n = len(rows)
        if old is not None:
            more = batch(range(len(kept)), max(1, config.batch // 2), step, config.seed + 1)
            clean = torch.cat([clean, old[more]])
            texts += ["" if float(torch.rand(())) < _DROPPED else kept[row] for row in more]
        noise = torch.randn(clean.shape).to(study.device)
        spread = torch.cat([_spread(n) ** _NOISY, _spread(len(clean) - n)])
        levels = study.noise.config.num_train_timesteps
        times = (spread * levels).long().clamp(max=levels - 1).to(study.device)  # a spread just below 1 may be rounded to it
        states = study.states(texts, module.vectors())
        noisy = study.noise.add_noise(clean, noise, times)
        found = study.predict(noisy, times, states, module.named())
        value = functional.mse_loss(found[:n], study.target(clean, noise, times)[:n])
        if old is None:
            return value, {"loss": float(value.detach())}
        with torch.no_grad():
            before = study.predict(noisy[n:], times[n:], states[n:], {})
        drift = functional.mse_loss(found[n:], before)
        return value + drift, {"loss": float(value.detach()), "kept": float(drift.detach())}

    return loss


def _spread(n):
    """Noise levels of n pictures, 0..1, all levels in each batch."""
    return (torch.randperm(n) + torch.rand(n)) / max(1, n)


def _zooms(config):
    """Cuts of each picture."""
    return (1.0,) if config.zoom == 1 else (1.0, config.zoom, (1 + config.zoom) / 2)


def _square(picture, side, zoom, row):
    """A picture as float32 (3, side, side) in -1..1: its middle square, or a smaller square within, the same for equal rows."""
    width, height = picture.size
    edge = max(1, round(min(width, height) / zoom))
    x, y = (np.random.default_rng([row, 7]).random(2) if zoom > 1 else (0.5, 0.5)) * np.array([width - edge, height - edge])
    box = (round(x), round(y), round(x) + edge, round(y) + edge)
    array = np.asarray(picture.crop(box).resize((side, side), resample=3), np.float32)  # bicubic
    return torch.from_numpy(array / 127.5 - 1).permute(2, 0, 1)


def old_captions(kept):
    """Captions without new words: list of str. Raises TypeError and ValueError for anything else."""
    for row, caption in enumerate(kept := checks.texts(kept, "kept")):
        if WORD.search(caption):
            raise ValueError(f"kept are old captions, but row {row}, {caption!r:.80}, has a new word: it would be held as it is.")
    return kept


def _words(captions):
    """The new words of captions, in the order in which they come: list of str."""
    for row, caption in enumerate(captions):
        if not WORD.search(caption):
            raise ValueError(f"Caption {row} has no new word: {caption!r:.80}. Write it in angle brackets: 'a <lava> heart'.")
    return list(dict.fromkeys(word for caption in captions for word in WORD.findall(caption)))


def _starts(starts, words, tokenizer):
    """Old words to begin with: dict of new word -> tuple of str."""
    out = {}
    for word, options in starts.items():
        checks.one_of("a word in starts", word, words)
        out[word] = tuple(checks.texts([options] if isinstance(options, str) else options, "starts"))
        for option in out[word]:
            pieces = tokenizer.tokenize(option)
            if len(pieces) != 1 or pieces == [tokenizer.unk_token] != [option]:
                what = f"{len(pieces)} tokens" if len(pieces) != 1 else "unknown"
                raise ValueError(
                    f"{word} cannot begin as {option!r}, which is {what} to this pipeline. Take a word of one token."
                )
    return out


def _weights(unet, how):
    """Names of the weights of a UNet that are learned: list of str.

    Raises:
        ModelError: it has none of them.
    """
    if how == "word":
        return []
    names = readers(unet) if how == "attention" else [name for name, _ in unet.named_parameters()]
    if not names:
        raise ModelError(
            f"{type(unet).__name__} has no cross-attention (attn2.to_k, attn2.to_v): there is nothing to train here."
        )
    return names
