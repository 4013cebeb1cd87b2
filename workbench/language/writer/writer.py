"""Writer: template + content -> text. A latent of two parts and a small decoder that fills the gaps of a prompt."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved, check_layout, from_half
from workbench.language.writer import coarse
from workbench.language.writer.batches import Batches, Fillers
from workbench.language.writer.config import CONTENT_DIMS, WINDOW, Decoding, WriterConfig
from workbench.language.writer.content import ContentPrior, spelled_rows
from workbench.language.writer.examples import marked
from workbench.language.writer.filling import NOISE, GapFiller
from workbench.language.writer.layout import Gap, Visible, lay
from workbench.language.writer.losses import batch_loss
from workbench.language.writer.network import Network
from workbench.language.writer.tokens import SPACE, Tokens
from workbench.template import Slot
from workbench.training import adamw, cosine, train
from workbench.values import NotFittedError, Sample, TemplateError
from workbench.words import WORD, split

_LEAST = 3  # positions a gap takes beyond its mark: where it begins, where its words begin, one piece
_LEXICON = 20_000  # words of the encoder that spelling is practised with
_WARM = 100  # steps until the full rate; of a short run a quarter
_FLOOR = 0.02  # share of the rate at the end
_SAVE_EVERY = 250  # steps between checkpoints


class Writer(Saved):
    """Writes text into the masked slots of templates.

    The latent has two parts: the codes of the slots (the template), which come from the codebook and get no gradient, and a
    Gaussian content vector for each slot. The posterior of content reads a filler's own words only. Content is the filler's
    meaning and, where it comes from a filler, the spelling of its first pieces. The prior of meaning is learned and reads what
    the decoder knows when it comes to the slot; see `content`. A mapping network turns content into what the decoder adds to
    its input.

    After `fit`: `tokens_` (`Tokens`), `network_` (torch module), `content_prior_` (`ContentPrior`, what noise is drawn from),
    `history_` (list of dicts by step: `nats` for each piece, `kl` for each slot, `guess`, `contrast`), `report_` (dict of
    counts: templates given, read, too long for the window, empty), `seconds_` (float, of training).

    Source:
        VQ-VAE, arXiv:1711.00937; a prior that depends on the context: Sohn et al. 2015, "Learning structured output
        representation using deep conditional generative models"; gaps last: arXiv:2207.14255.
    """

    kind = "writer"

    def __init__(self, config=WriterConfig()):  # noqa: B008 - frozen
        self.config = config

    # ---- learning -------------------------------------------------------------------------------------------------------

    def fit(self, templates, embed, n_codes, lexicon=(), folder=None, progress=True, seed=0):
        """Learn to write from templates of real prompts.

        Args:
            templates: list of `Template`, all slots filled, with codes 0..n_codes - 1.
            embed: function, list of n str -> float32 (n, f): features of fillers that know nothing of their neighbours.
            n_codes: int k.
            lexicon: list of str, words to practise spelling with beyond those of the corpus.
            folder: Path for checkpoints; the same call then goes on from the latest one. None keeps none.
            progress: bool, show a progress bar.
            seed: int.

        Returns:
            self.

        Raises:
            ValueError: no template that holds a word fits the window, or a slot has no code or one out of range.
            ArtifactError: the folder holds the checkpoint of another run.
            Interrupted: Ctrl-C; the same call with the same folder goes on.
        """
        config, templates, seed = self.config, list(templates), checks.seed(seed)
        for template in templates:
            for slot in template.slots:
                if slot.code is None or not 0 <= slot.code < n_codes or slot.text is None:
                    raise ValueError(f"Every slot needs a text and a code of 0..{n_codes - 1}, got {slot!r}.")
        self.tokens_ = Tokens.learn((template.prompt for template in templates), config.pieces, config.min_count)
        # a free gap takes four marks besides its pieces
        prompts, texts, dropped = marked(templates, self.tokens_, n_codes, WINDOW - 8)
        self.report_ = {"given": len(templates), "read": len(prompts), **dropped}
        if not len(prompts.codes):
            raise ValueError(
                f"Nothing to learn from: of {len(templates)} templates {dropped['empty']} hold no word and {dropped['too_long']} "
                f"are longer than the window of {WINDOW} positions. Give other templates."
            )
        features = embed(texts) if texts else np.zeros((1, embed(["a"]).shape[1]), np.float32)
        self._mean, self._scale = features.mean(0), np.float32(max(float(features.std()), 1e-6))
        self._n_codes = n_codes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(config, self.tokens_.size, n_codes + 2, features.shape[1])
        self.network_ = network.cuda() if torch.cuda.is_available() else network
        fillers = Fillers([self._spell(text) for text in texts], self._standard(features))
        chosen = [lexicon[i] for i in np.random.default_rng(seed).permutation(len(lexicon))[:_LEXICON]]
        spelt = self._standard(embed(chosen)) if chosen else features
        words = Fillers([self.tokens_.spell(SPACE + word) for word in chosen], spelt)
        self._train(Batches(prompts, fillers, words, n_codes, config.batch, seed), folder, progress, seed)
        slots = prompts.fillers >= 0
        self.content_prior_ = ContentPrior.learn(
            prompts.codes[slots],
            prompts.fillers[slots],
            n_codes,
            lambda rows: self._posterior([texts[i] for i in rows], features[rows]),
        )
        return self

    def _train(self, batches, folder, progress, seed):
        config, network = self.config, self.network_
        steps = config.steps_for(len(batches.lengths), batches.size)
        run = {"options": asdict(config), "seed": seed, "data": _digest(batches)}
        network.train()
        done = train(
            lambda step: batch_loss(network, *batches(step)),
            {"network": network},
            adamw(network, weight_decay=0.02, betas=(0.9, 0.98)),
            steps,
            cosine(config.rate, steps, min(_WARM, steps // 4 + 1), _FLOOR),
            name="training the writer",
            checkpoint=None if folder is None else Checkpoint(folder, "writer training", run),
            save_every=_SAVE_EVERY,
            seed=seed,
            progress=progress,
        )
        self.history_ = [{name: round(value, 4) for name, value in row.items()} for row in done.history]
        self.seconds_ = done.seconds
        with torch.no_grad():  # weights are saved as float16: a loaded writer then writes the same
            for p in network.parameters():
                p.copy_(p.half().float())
        network.eval()

    def _spell(self, text, gap=Gap(0)):  # noqa: B008 - frozen
        if not gap.apart:
            text = text.lstrip()  # blanks were typed; what stands before the gap says whether there are any
        return tuple(i for piece in self.tokens_.split(text, gap.apart or not gap.spaced) for i in piece.ids)

    def _standard(self, features):
        return ((features - self._mean) / self._scale).astype(np.float32)

    # ---- writing --------------------------------------------------------------------------------------------------------

    def fits(self, template):
        """Whether a template with masked slots is short enough for the writer's window."""
        try:
            self.gaps(template)
        except TemplateError:
            return False
        return True

    def gaps(self, template):
        """The `Gap`s of a template, one for each masked slot; errors as of `fillers`."""
        return self._layout(template, None, []).gaps

    def fill(self, templates, content=None, decoding=Decoding(), blend=1.0, seed=0, words=()):  # noqa: B008 - frozen
        """Fill the masked slots of templates; arguments and errors as of `fillers`.

        Returns:
            list of b `Sample`, whose `template` is the filled one. Text that was there stays to the letter.
        """
        found, log_probs = self.fillers(templates, content, decoding, blend, seed, words)
        filled = [template.fill(list(texts)) for template, texts in zip(templates, found, strict=True)]
        return [Sample(one.prompt, template=one, log_prob=p) for one, p in zip(filled, log_probs.tolist(), strict=True)]

    def fillers(self, templates, content=None, decoding=Decoding(), blend=1.0, seed=0, words=()):  # noqa: B008 - frozen
        """What `fill` writes into the masked slots of templates.

        Args:
            templates: list of b `Template`. A masked slot with a code is filled with that kind, one without with anything.
            content: None for absent content, "noise" to draw it, or a list of b lists with an entry per masked slot: None,
                "noise", or float32 (c,).
            decoding: `Decoding`.
            blend: float 0..1, share of given content; the rest is drawn. 1 takes it as it is, and so is content with a
                spelling, which means one filler and no other.
            seed: int.
            words: texts whose words may be written though the corpus has them too seldom to be known.

        Returns:
            list of b tuples of str, one for each masked slot; float64 (b,), their log-probability in nats under this decoding.

        Raises:
            NotFittedError: before `fit`.
            ValueError: content or words, and a decoding with passes.
            TemplateError: nothing to fill, a code this writer has not, or a template longer than its window.
        """
        if decoding.passes:
            if content is not None or words:
                raise ValueError("Slots are filled in passes without content= and words=: leave them out, or take passes=0.")
            return coarse.fillers(self, templates, decoding, checks.seed(seed))
        layouts, rows = self._layouts(templates, content)
        tokens = self.tokens_.knowing(words)
        found = GapFiller(self._network(), tokens, decoding, self.content_prior_).fill(layouts, rows, blend, seed)
        texts = [
            tuple(self.dressed(ids, gap, tokens) for ids, gap in zip(fills, layout.gaps, strict=True))
            for layout, fills in zip(layouts, found.fills, strict=True)
        ]
        return texts, found.log_probs

    # ---- for `coarse` -----------------------------------------------------------------------------------------------------

    def layout(self, template):
        """The `Layout` of a template with masked slots, without content; errors as of `fillers`."""
        return self._layout(template, None, [])

    def filler(self, decoding):
        """The `GapFiller` of this writer."""
        return GapFiller(self._network(), self.tokens_, decoding, self.content_prior_)

    def dressed(self, ids, gap, tokens=None):
        """Pieces of a filling as text: str."""
        tokens = tokens or self.tokens_
        return tokens.dress(tokens.text(ids)).removeprefix(" " if gap.spaced and not gap.apart else "")

    def spelled(self, text, gap):
        """Text as pieces of a filling: tuple of int."""
        return self._spell(text, gap)

    def score(self, templates, fillers, owner=None, content=None, decoding=Decoding()):  # noqa: B008 - frozen
        """Log-probability of fillers for the masked slots of templates, exactly as `fill` draws them, or of any text.

        Args:
            templates: list of b `Template` with masked slots.
            fillers: list of c tuples of str, one for each masked slot.
            owner: int (c,), which template each fills; None: one each, in order.
            content: as in `fill`, without "noise".
            decoding: `Decoding`; None scores any text, as people give it, and cuts nothing.

        Returns:
            float64 (c,), nats; -inf for what this decoding cannot write, such as words that are not known. No decoding writes
            separators, brackets or other markup (`trie.writable`).
        """
        if decoding is not None and decoding.passes:
            raise ValueError("What is written in passes has no log-probability of its own; score it with passes=0.")
        layouts, rows = self._layouts(templates, content)
        if any(gap.slot == NOISE for layout in layouts for gap in layout.gaps):
            raise ValueError("Content cannot be 'noise' here, as what was drawn is not known: give vectors, or None for absent.")
        owner = np.arange(len(templates)) if owner is None else np.asarray(owner)
        if len(owner) != len(fillers):
            raise ValueError(f"{len(fillers)} tuples of fillers need as many owners, got {len(owner)}.")
        pieces = [
            [self._spell(text, gap) for text, gap in zip(one, layouts[o].gaps, strict=True)]
            for one, o in zip(fillers, owner, strict=True)
        ]
        return GapFiller(self._network(), self.tokens_, decoding).score(layouts, pieces, owner, rows)

    def content(self, fillers, features, spelled=True):
        """Content of fillers: their meaning and their spelling.

        Args:
            fillers: list of n str.
            features: float32 (n, f), as `embed` gave them in `fit`.
            spelled: bool. False leaves the spelling out: what is written is like the filler, not the filler itself.

        Returns:
            float32 (n, c), the mean of the posterior.
        """
        content, _ = self._posterior(fillers, features)
        if not spelled:
            content[:, CONTENT_DIMS:] = 0
        return content

    def _posterior(self, fillers, features):
        """Mean and log of the standard deviation of the content of fillers: two float32 (n, c)."""
        network = self._network()
        with torch.inference_mode():
            device = next(network.parameters()).device
            spelled = torch.as_tensor(spelled_rows([self._spell(text) for text in fillers]), device=device)
            found = network.posterior(spelled, torch.as_tensor(self._standard(features), device=device))
            return tuple(x.cpu().numpy() for x in found)

    def _network(self):
        if not hasattr(self, "network_"):
            raise NotFittedError("This writer has learned nothing yet: call fit first, or load a DSL that writes.")
        return self.network_

    def _layouts(self, templates, content):
        self._network()
        layouts, rows = [], []
        for i, template in enumerate(templates):
            one = content if content is None or isinstance(content, str) else content[i]
            layouts.append(self._layout(template, one, rows))
        return layouts, (np.stack(rows).astype(np.float32) if rows else None)

    def _layout(self, template, content, rows):
        """The layout of a template with masked slots; content vectors are appended to `rows`."""
        k, parts, stretch, masks = self._n_codes, [], [], 0
        for part in (*template.parts, None):
            if part is not None and not (isinstance(part, Slot) and part.text is None):
                stretch.append(part)
                continue
            text = "".join(p.text if isinstance(p, Slot) else p for p in stretch)
            # what follows a gap is glued to it unless a blank stands there
            parts += self._visible(self.tokens_.split(text, glued=bool(parts)), stretch)
            if part is None:
                break
            if part.code is not None and not 0 <= part.code < k:
                raise TemplateError(
                    f"{part} has code {part.code}; this writer knows 0..{k - 1}. Is the template from another DSL?"
                )
            given = content if content is None or isinstance(content, str) else content[masks]
            if isinstance(given, str) and given != "noise":
                raise ValueError(f"content of a slot is None, 'noise' or a vector, got {given!r}.")
            slot = -1 if given is None else NOISE if isinstance(given, str) else len(rows)
            rows += [np.asarray(given)] if slot >= 0 else []
            code = k + 1 if part.code is None else part.code
            spaced, apart = not text and not parts or text[-1:].isspace(), False
            if not spaced:
                apart = not text or split(text)[-1].kind == WORD
                spaced = apart or not self.tokens_.glues
            parts.append(Gap(code, spaced, (), -1, slot, apart))
            stretch, masks = [], masks + 1
        if not masks:
            raise TemplateError("Nothing to write: no slot of this template is masked. Mask some with open(), or write <?>.")
        layout = lay(parts, k)
        if len(layout.ids) + _LEAST * masks > WINDOW:
            raise TemplateError(
                f"This prompt takes {len(layout.ids)} positions and has {masks} gaps; the writer's window is "
                f"{WINDOW} with {_LEAST} or more for each gap. Shorten the prompt."
            )
        return layout

    def _visible(self, pieces, stretch):
        found, begin = [], 0
        for part in stretch:
            slot = isinstance(part, Slot)
            end = begin + len(part.text if slot else part)
            code = self._n_codes if not slot else self._n_codes + 1 if part.code is None else part.code
            found += [Visible(piece.ids, code) for piece in pieces if begin <= piece.start < end]
            begin = end
        return found

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays, weights as float16) that `from_state` reads."""
        network = self._network()
        weights = {f"network.{name}": p.detach().cpu().numpy().astype(np.float16) for name, p in network.state_dict().items()}
        config = {
            "options": asdict(self.config),
            "n_codes": self._n_codes,
            "scale": float(self._scale),
            "tokens": self.tokens_.to_config(),
            "history": self.history_,
            "report": self.report_,
            "seconds": round(self.seconds_, 1),
        }
        return config, {"mean": self._mean.astype(np.float32), **self.content_prior_.tensors(), **weights}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Writer` that `to_state` described; KeyError, TypeError, ValueError or RuntimeError for what is none."""
        writer = cls(WriterConfig(**config["options"]))
        check_layout(tensors, {"mean": "float32 d"})
        checks.whole("n_codes", config["n_codes"])
        checks.number("scale", config["scale"], 0, above=True)
        writer._n_codes, writer._scale, writer._mean = config["n_codes"], np.float32(config["scale"]), tensors["mean"]
        writer.history_, writer.seconds_, writer.report_ = config["history"], config["seconds"], config["report"]
        writer.tokens_, writer.content_prior_ = Tokens.from_config(config["tokens"]), ContentPrior.of_tensors(tensors)
        with torch.random.fork_rng(devices=[]):
            network = Network(writer.config, writer.tokens_.size, writer._n_codes + 2, len(writer._mean))
        half = from_half({name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")})
        network.load_state_dict({name: torch.from_numpy(array) for name, array in half.items()})
        writer.network_ = (network.cuda() if torch.cuda.is_available() else network).eval()
        return writer


def _digest(batches):
    """The sha256 of all that is learned from."""
    digest = hashlib.sha256(json.dumps([batches.fillers.ids, batches.lexicon.ids], default=int).encode())
    for array in (*batches.prompts, batches.fillers.features, batches.lexicon.features):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
