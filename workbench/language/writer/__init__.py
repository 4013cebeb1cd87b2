"""Writer: template + content -> text. A two-part latent and a small decoder that fills the gaps of a prompt."""

import json
from dataclasses import asdict

import numpy as np
import torch
import transformers

from workbench.language.writer.config import WriterConfig
from workbench.language.writer.decoding import NOISE, Decoder, Decoding
from workbench.language.writer.examples import marked
from workbench.language.writer.exemplars import Exemplars, frequent
from workbench.language.writer.layout import Gap, Visible, lay
from workbench.language.writer.learning import Trainer, Words, halved, spelled_rows
from workbench.language.writer.network import Network
from workbench.language.writer.tokens import SPACE, HubTokens, Tokens
from workbench.models import load_lm
from workbench.template import Slot
from workbench.values import ArtifactError, NotFittedError, Sample, TemplateError

__all__ = ["Decoding", "Writer", "WriterConfig"]

_LEAST = 3  # positions a gap takes beyond its mark: where it begins, where its words begin, one piece
_LEXICON = 20_000  # words of the encoder that spelling is practised with


class Writer:
    """Writes text into the masked slots of templates.

    The latent has two parts: the codes of the slots (the template), which the reconstruction's gradient does not reach since
    they come from the codebook as they are, and a Gaussian content vector per slot. The posterior of content reads a filler's own
    words only. Content is the filler's meaning, and, where it comes from a filler, the spelling of its first pieces as well. The
    prior of meaning is learned and reads what the decoder knows when it comes to the slot, and noise is turned into the meaning
    of an exemplar that fits it; noise has no spelling. A mapping network turns content into what the decoder adds to its input.

    After `fit`: `tokens_` (`Tokens`), `network_` (torch module), `exemplars_` (what noise becomes), `history_` (list of dicts by
    step), `report_` (dict of counts: templates given, read, too long for the window, empty; those beyond `config.sample` are not
    read), `seconds_` (float).

    Source:
        VQ-VAE, arXiv:1711.00937; a prior that depends on the context: Sohn et al. 2015, "Learning structured output
        representation using deep conditional generative models"; gaps last: arXiv:2207.14255.
    """

    def __init__(self, config=WriterConfig()):  # noqa: B008 - frozen
        self.config = config
        self.exemplars_ = None
        self._lm = None  # options of the language model it decodes with

    # ---- learning -------------------------------------------------------------------------------------------------------

    def fit(self, templates, embed, n_codes, lexicon=(), folder=None, progress=True, seed=0):
        """Learn to write from templates of real prompts.

        Args:
            templates: list of `Template`, all slots filled, with codes 0..n_codes - 1.
            embed: function, list of n str -> float32 (n, f): features of fillers that know nothing of their neighbours.
            n_codes: int k.
            lexicon: list of str, words to practise spelling with beyond those of the corpus.
            folder: Path for checkpoints; the same call then goes on from the latest. None: none are kept.
            progress: bool, show a progress bar.
            seed: int.

        Returns:
            self.

        Raises:
            ValueError: no template that holds a word fits the window, or a slot has no code or one out of range.
            ArtifactError: the folder holds the checkpoint of another run.
        """
        config, templates = self.config, list(templates)
        given, templates = len(templates), _sampled(templates, config, seed)
        for template in templates:
            for slot in template.slots:
                if slot.code is None or not 0 <= slot.code < n_codes or slot.text is None:
                    raise ValueError(f"Every slot needs a text and a code of 0..{n_codes - 1}, got {slot!r}.")
        texts = (template.prompt for template in templates)
        lm = None
        if config.decoder == "small":
            self.tokens_ = Tokens.learn(texts, config.pieces, config.min_count)
        else:
            loaded = load_lm(config.decoder)
            lm, self._lm = loaded.model, loaded.model.config.to_dict()
            most = getattr(lm.config, "max_position_embeddings", config.window)
            if config.window > most:
                raise ValueError(f"{config.decoder} reads {most} positions, got window={config.window}. Give {most} or less.")
            self.tokens_ = HubTokens.learn(texts, loaded.tokenizer.backend_tokenizer.to_str(), config.min_count)
        # a free gap takes four marks besides its pieces
        prompts, texts, dropped = marked(templates, self.tokens_, n_codes, config.window - 8)
        self.report_ = {"given": given, "read": len(prompts), **dropped}
        if not len(prompts.codes):
            raise ValueError(
                f"Nothing to learn from: of {given} templates {dropped['empty']} hold no word and {dropped['too_long']} are "
                f"longer than the window of {config.window} positions. Give other templates, or a larger window."
            )
        features = embed(texts) if texts else np.zeros((1, embed(["a"]).shape[1]), np.float32)
        self._mean, self._scale = features.mean(0), np.float32(max(float(features.std()), 1e-6))
        self._n_codes = n_codes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network_ = Network(config, self.tokens_.size, n_codes + 2, features.shape[1], lm)
        if torch.cuda.is_available():
            self.network_.cuda()
        fillers = [self._spell(text) for text in texts], self._standard(features)
        chosen = [lexicon[i] for i in np.random.default_rng(seed).permutation(len(lexicon))[:_LEXICON]]
        spelt = self._standard(embed(chosen)) if chosen else features
        words = Words([self.tokens_.spell(SPACE + word) for word in chosen], spelt)
        trainer = Trainer(self.network_, config, prompts, fillers, n_codes, words, seed)
        self.history_ = trainer.run(folder, progress)
        self.seconds_ = trainer.seconds
        halved(self.network_)
        self.network_.eval()
        if config.content == "slots":
            self._keep_exemplars(prompts.codes, prompts.fillers, texts, features)
        return self

    def _keep_exemplars(self, codes, fillers, texts, features):
        slots = fillers >= 0
        rows, of, counts = frequent(codes[slots], fillers[slots], self._n_codes)
        found, dims = self._posterior([texts[i] for i in rows], features[rows]), self.config.content_dims
        mean, scale = (x[:, :dims] for x in found)
        self.exemplars_ = Exemplars(of, counts, mean.astype(np.float16), scale.astype(np.float16))

    def _spell(self, text):
        return tuple(i for piece in self.tokens_.split(text) for i in piece.ids)

    def _standard(self, features):
        return ((features - self._mean) / self._scale).astype(np.float32)

    # ---- writing --------------------------------------------------------------------------------------------------------

    def fits(self, template):
        """Whether a template with masked slots is short enough for the writer's window."""
        try:
            self._layout(template, None, [])
        except TemplateError:
            return False
        return True

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
            blend: float 0..1, share of given content; the rest is drawn. 1 takes it as it is, and so is content that tells a
                spelling: that is one filler and no other.
            seed: int.
            words: texts whose words may be written though the corpus has them too seldom to be known.

        Returns:
            list of b tuples of str, one for each masked slot; float64 (b,), their log-probability in nats under this decoding.

        Raises:
            NotFittedError: before `fit`.
            TemplateError: nothing to fill, a code this writer has not, or a template longer than its window.
        """
        layouts, rows = self._layouts(templates, content)
        tokens = self.tokens_.knowing(words)
        found = Decoder(self._network(), tokens, decoding, self.exemplars_).fill(layouts, rows, blend, seed)
        texts = [
            tuple(_text(tokens, ids, gap.spaced) for ids, gap in zip(fills, layout.gaps, strict=True))
            for layout, fills in zip(layouts, found.fills, strict=True)
        ]
        return texts, found.log_probs

    def score(self, templates, fillers, owner=None, content=None, decoding=Decoding()):  # noqa: B008 - frozen
        """Log-probability of fillers for the masked slots of templates, exactly as `fill` draws them.

        Args:
            templates: list of b `Template` with masked slots.
            fillers: list of c tuples of str, one for each masked slot.
            owner: int (c,), which template each fills; None: one each, in order.
            content: as in `fill`, without "noise".
            decoding: `Decoding`.

        Returns:
            float64 (c,), nats; -inf for what this decoding cannot write, such as words that are not known.
        """
        layouts, rows = self._layouts(templates, content)
        if any(gap.slot == NOISE for layout in layouts for gap in layout.gaps):
            raise ValueError("Content cannot be 'noise' here, as what was drawn is not known: give vectors, or None for absent.")
        owner = np.arange(len(templates)) if owner is None else np.asarray(owner)
        if len(owner) != len(fillers):
            raise ValueError(f"{len(fillers)} tuples of fillers need as many owners, got {len(owner)}.")
        pieces = [
            [self._pieces(text, gap.spaced) for text, gap in zip(one, layouts[o].gaps, strict=True)]
            for one, o in zip(fillers, owner, strict=True)
        ]
        return Decoder(self._network(), self.tokens_, decoding).score(layouts, pieces, owner, rows)

    def content(self, fillers, features, seed=None, spelled=True):
        """Content of fillers: their meaning and their spelling.

        Args:
            fillers: list of n str.
            features: float32 (n, f), as `embed` gave them in `fit`.
            seed: int to draw from the posterior; None takes its mean.
            spelled: bool. False leaves the spelling out: what is written is like the filler, not the filler itself.

        Returns:
            float32 (n, c).
        """
        content, scale = self._posterior(fillers, features)
        if seed is not None:
            content = content + np.exp(scale) * np.random.default_rng(seed).standard_normal(content.shape, np.float32)
        if not spelled:
            content[:, self.config.content_dims :] = 0
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

    def _pieces(self, text, spaced):
        found = self.tokens_.split(text)
        if found and not spaced and text[found[0].start :]:
            first = text[found[0].start : found[0].end]
            found[0] = found[0]._replace(ids=self.tokens_.glued(first))
        return tuple(i for piece in found for i in piece.ids)

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
            glued = bool(parts)  # what follows a gap is glued to it unless a blank stands there
            parts += self._visible(text, stretch, glued)
            if part is None:
                break
            if part.code is not None and not 0 <= part.code < k:
                raise TemplateError(
                    f"{part} has code {part.code}; this writer knows 0..{k - 1}. Is the template from another DSL?"
                )
            given = content if content is None or isinstance(content, str) else content[masks]
            slot = -1
            if isinstance(given, str):
                if given != "noise":
                    raise ValueError(f"content of a slot is None, 'noise' or a vector, got {given!r}.")
                slot = NOISE
            elif given is not None:
                slot = len(rows)
                rows.append(np.asarray(given))
            code = k + 1 if part.code is None else part.code
            parts.append(Gap(code, not text and not parts or text[-1:].isspace(), (), -1, slot))
            stretch, masks = [], masks + 1
        if not masks:
            raise TemplateError("Nothing to write: no slot of this template is masked. Mask some with open(), or write <?>.")
        layout = lay(parts, k)
        if len(layout.ids) + _LEAST * masks > self.config.window:
            raise TemplateError(
                f"This prompt takes {len(layout.ids)} positions and has {masks} gaps; the writer's window is "
                f"{self.config.window} with {_LEAST} or more for each gap. Shorten the prompt, or train with a larger window."
            )
        return layout

    def _visible(self, text, stretch, glued):
        found, at, end = [], 0, 0
        pieces = self.tokens_.split(text)
        if glued and pieces and pieces[0].start == 0:
            first = text[: pieces[0].end]
            pieces[0] = pieces[0]._replace(ids=self.tokens_.glued(first))
        for part in stretch:
            slot = isinstance(part, Slot)
            end += len(part.text if slot else part)
            code = self._n_codes if not slot else self._n_codes + 1 if part.code is None else part.code
            while at < len(pieces) and pieces[at].start < end:
                found.append(Visible(pieces[at].ids, code))
                at += 1
        return found

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays, weights as float16) that `from_state` reads."""
        network = self._network()
        tensors = {name: p.detach().cpu().numpy().astype(np.float16) for name, p in network.state_dict().items()}
        config = {
            "options": asdict(self.config),
            "n_codes": self._n_codes,
            "scale": float(self._scale),
            "tokens": self.tokens_.to_config(),
            "lm": _plain(self._lm),
            "history": self.history_,
            "report": self.report_,
            "seconds": round(self.seconds_, 1),
        }
        kept = {} if self.exemplars_ is None else {f"exemplars.{n}": t for n, t in self.exemplars_._asdict().items()}
        return config, {"mean": self._mean.astype(np.float32), **kept, **{f"network.{n}": t for n, t in tensors.items()}}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Writer` that `to_state` described.

        Raises:
            ArtifactError: something is missing or does not fit.
        """
        try:
            writer = cls(WriterConfig(**config["options"]))
            writer._n_codes, writer._scale, writer._mean = config["n_codes"], np.float32(config["scale"]), tensors["mean"]
            writer.history_, writer.seconds_, writer.report_ = config["history"], config["seconds"], config["report"]
            writer.tokens_ = Tokens.from_config(config["tokens"])
            if "exemplars.codes" in tensors:
                writer.exemplars_ = Exemplars(*(tensors[f"exemplars.{name}"] for name in Exemplars._fields))
            with torch.random.fork_rng(devices=[]):
                lm, writer._lm = None, config.get("lm")
                if writer._lm:
                    known = transformers.AutoConfig.for_model(**writer._lm)
                    lm = transformers.AutoModelForCausalLM.from_config(known, trust_remote_code=False)
                network = Network(writer.config, writer.tokens_.size, writer._n_codes + 2, len(writer._mean), lm)
            weights = {
                name.removeprefix("network."): torch.from_numpy(np.asarray(t, np.float32))
                for name, t in tensors.items()
                if name.startswith("network.")
            }
            network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as err:
            raise ArtifactError(f"This is no saved writer ({err!r}): expected what to_state gives.") from err
        if torch.cuda.is_available():
            network.cuda()
        writer.network_ = network.eval()
        return writer


def _text(tokens, ids, spaced):
    """Pieces as text in its usual casing, without the blank that stands before the gap."""
    text = tokens.dress(tokens.text(ids))
    return text[1:] if spaced and text.startswith(" ") else text


def _plain(values):
    """JSON values of a language model's options."""
    return None if values is None else json.loads(json.dumps(values, default=str))


def _sampled(templates, config, seed):
    """At most `config.sample` templates, drawn by seed."""
    if len(templates) <= config.sample:
        return templates
    chosen = np.random.default_rng(seed).choice(len(templates), config.sample, replace=False)
    return [templates[i] for i in np.sort(chosen)]
