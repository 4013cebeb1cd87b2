"""DeepDSL: the language of a pile of prompts as one object: learn it, read and write with it, save it.

`fitting` learns a `Learned`, the record of a language. A `Reader` reads with it, an `Author` writes with it (`writing`,
`varying`, `infilling`), and `saving` keeps it. `DeepDSL` is their front.
"""

from functools import cached_property

from workbench import artifacts, checks
from workbench.language.dsl import fitting, infilling, learned, saving, varying, writing
from workbench.language.dsl.learned import Code, DSLConfig, Fillers, Learned, TemplateCount
from workbench.language.dsl.reader import Reader
from workbench.language.dsl.saving import BUILT_IN
from workbench.language.dsl.weighing import Ranking
from workbench.language.dsl.writing import DECODING, Author
from workbench.language.ngram import NgramConfig
from workbench.language.prior import PriorConfig
from workbench.language.writer import Decoding, WriterConfig
from workbench.values import NotFittedError

__all__ = [
    "BUILT_IN",
    "DECODING",
    "Code",
    "DSLConfig",
    "Decoding",
    "DeepDSL",
    "Fillers",
    "Learned",
    "NgramConfig",
    "PriorConfig",
    "Ranking",
    "TemplateCount",
    "WriterConfig",
]


def _of(name, doc):
    """A property: an attribute of what was learned."""
    return property(lambda self: getattr(self.learned, name), doc=doc)


class DeepDSL:
    """The learned language of a corpus. Made by `DeepDSL.fit` or `DeepDSL.load`.

    Args:
        learned: `Learned`, or None for a language that has learned nothing yet.
    """

    def __init__(self, learned=None):
        self._learned = learned

    def __repr__(self):
        if self._learned is None:
            return "DeepDSL(nothing learned yet)"
        verbs = "reads" if self.writer_ is None else "reads and writes"
        return f"DeepDSL({self.stats['prompts']:,} prompts, {len(self.codes)} codes, {verbs})"

    @property
    def learned(self):
        """The `Learned` record. Raises NotFittedError if there is none."""
        if self._learned is None:
            raise NotFittedError("This DeepDSL has learned nothing yet: use DeepDSL.fit(prompts) or DeepDSL.load(folder).")
        return self._learned

    config = _of("config", "`DSLConfig`.")
    encoder = _of("encoder", "`models.Encoder`.")
    codes = _of("codes", "Tuple of k `Code`.")
    fillers = _of("fillers", "`Fillers`, at most 4,000.")
    transitions = _of("transitions", "float32 (k + 1, k + 1): share of code i before code j; last row start, last column end.")
    templates = _of("templates", "Tuple of `TemplateCount`: the most common templates of whole prompts in the sample.")
    segments = _of("segments", "Tuple of `TemplateCount`: the same for the stretches between separators, which repeat far more.")
    stats = _of("stats", "Dict of JSON values: figures of the fit, see `Learned`.")
    writer_ = _of("writer", "`Writer`, or None for a language that only reads.")
    decoder_ = _of("decoder", "`Decoder`, or None: what writes prompts from nothing, where `WriterConfig` names one.")
    prior_ = _of("prior", "`TemplatePrior`, or None.")
    ngram_ = _of("ngram", "`KneserNey`, or None.")
    ranking_ = _of("ranking", "`Ranking`: how candidates of `infill` are ranked.")

    @cached_property
    def _reader(self):
        return Reader(self.learned)

    @cached_property
    def _author(self):
        return Author(self.learned, self._reader)

    # ---- learn, load, save ----------------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, prompts, config=DSLConfig(), encoder=None, folder=None, progress=True, codes=None):  # noqa: B008 - frozen
        """Learn a language from prompts. Takes minutes; after a stop at any time, the same call goes on where it was.

        Args:
            prompts: list of str, or a `Corpus`.
            config: `DSLConfig`.
            encoder: name of a language model, or an `Encoder` of any layer; None is all-MiniLM-L6-v2.
            folder: where features and finished stages are kept; default `$WORKBENCH_CACHE` or `~/.cache/deep-dsl-workbench`.
            progress: bool, show progress bars.
            codes: dict of name to fillers, a list of str, of codes that you know already, such as `wildcards.fillers(folder)`;
                or "lexicon" for the English lists of the package (people, animals, artists, lighting, ...); or None: nothing
                is known. They are the first codes of the language, under their names. Fillers that are one phrase are nearly
                always read as theirs (of two lists, the first: a warning counts them), and so are other spellings ("8 k" for
                "8k", a plural); all others find their code as ever. `stats["given"]` counts the fillers that could be used.
                The lists of the lexicon grow by phrases that are surely like theirs (`language.growing`). Kinds of the
                lexicon that these prompts hardly have get no code, and no more than .85 of all codes are its own, the
                most frequent kinds: all 27 of 32 codes. `stats["lexicon"]` says what was left out.

        Returns:
            `DeepDSL`.

        Raises:
            CorpusError: no prompt is usable.
            TypeError: `codes` is neither "lexicon" nor a dict of lists of str.
            ValueError: `codes` has as many names as the language has codes, or a code without fillers, or one whose fillers
                never occur or all stand under other names; or too few different phrases for the codes.
            ModelError: the encoder cannot be found.
            ArtifactError: the folder cannot be used, or the disk is full; finished parts stay.
        """
        return cls(fitting.fit(prompts, config, encoder, folder, progress, codes))

    @classmethod
    def load(cls, folder, encoder=None):
        """Read a language that `save` wrote.

        Args:
            folder: str or Path; "world" is the DSL that comes with the package, learned from the built-in grammar.
            encoder: name or `Encoder`; None is the one it was learned with. Only all-MiniLM-L6-v2 is then downloaded if need be:
                any other that a folder names must be on this machine, or be given here by its name.

        Returns:
            `DeepDSL`.

        Raises:
            ArtifactError: no such folder, damaged, written by another version, learned with another encoder, or with one that is
                not on this machine.
        """
        return cls(saving.load(folder, encoder))

    def save(self, folder):
        """Write the language to a folder: config.json and safetensors. The encoder is named, not stored.

        Raises:
            ArtifactError: the folder holds something else, or the disk is full.
        """
        artifacts.save(folder, saving.KIND, *saving.to_state(self.learned))

    @property
    def decoding(self):
        """How words are chosen where nothing else is asked for: `Decoding`."""
        return DECODING

    # ---- read -----------------------------------------------------------------------------------------------------------

    def tag(self, prompt):
        """The units of a prompt with their codes, like a part-of-speech tagger.

        Args:
            prompt: str, or a list of str.

        Returns:
            list of `Unit` (text, start, end, code, name); a list of such lists for a list. `[]` for a prompt without words.

        Raises:
            TypeError: not a str or list of str.
            ValueError: a prompt of more than 20,000 characters.
        """
        return self._reader.tag(prompt)

    def read(self, prompt):
        r"""The template of a prompt: runs of equal codes as slots; function words and separators stay plain text.

        A function word between two units of one code in the same segment belongs to the slot ("castle on a hill").

        Args:
            prompt: str, or a list of str. `<?>` and `<artist:?>` are masks: they stay where they are, and the text around them
                is read. A template in its printed form, `<subject:a fox>, by <artist:?>`, is one; in both, `\<` is the character
                itself. `<lora:ink:0.8>` and other syntax of other programs is text, and in no slot. Or a `Template`: if none of
                its slots is filled, its text is read around them; otherwise it stays as it is, and its slots get the codes of
                this language.

        Returns:
            `Template`, whose `prompt` is the given text to the letter if it has no mask; a list of them for a list.

        Raises:
            TypeError: something else.
            TemplateError: nothing but masks, a slot name that this language does not have, or a template of another DSL.
            ValueError: a prompt of more than 20,000 characters.
        """
        return self._reader.read(prompt)

    def rename(self, names):
        """Give codes other names. This changes the language itself.

        Args:
            names: dict of code number or present name -> new name, a str.

        Returns:
            self.

        Raises:
            TypeError: not a dict.
            TemplateError: an unknown code (the error lists those there are), or a name that two codes would have. Nothing was
                changed then.
        """
        learned.rename(self.learned, names)
        return self

    # ---- write ----------------------------------------------------------------------------------------------------------

    def sample(self, n, template=None, *, lock=(), content=None, decoding=None, seed=0, tries=1):
        """Write prompts: from nothing, or new fillers for a template.

        Args:
            n: int, prompts to write.
            template: `Template` or prompt whose slots are filled anew, masked slots too. None draws a template from the prior
                for each prompt; or, in a language with a `decoder_` and without `content`, that writes the whole prompt, whose
                template is then read from it.
            lock: slots of the template that keep their text, by name or by number: 0 is the first slot.
            content: None leaves content absent; "noise" draws a content vector for each slot; a prompt or `Template` gives the
                content of its slots, by name and in order.
            decoding: `Decoding`, how words are chosen; None is `DECODING`, and for a `decoder_` temperature 1 and top-p .97.
            seed: int.
            tries: int, times a prompt is written at most until it reads as its template; the one that comes nearest is kept.
                It may not: "neon" may be read as a colour where lighting was meant. With a `decoder_` all tries are written, and
                what counts is also how likely it finds their words.

        Returns:
            list of n `Sample`; the same for the same n and seed, but `sample(2)` is not the beginning of `sample(6)`. Their
            `log_prob` is exact for absent content: that of the fillers,
            and of the template if it was drawn. With content it is that of the fillers given the content. With `tries` above 1
            it is still that of the writing alone, not of the choice.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: n or tries below 1, or content of another kind.
            TemplateError: a slot name that is not there, or a template of another DSL.
        """
        return writing.sample(self._author, n, template, lock, content, decoding, checks.seed(seed), tries)

    def vary(self, prompt, n, proximity=0.8, *, by="slots", lock=(), decoding=DECODING, seed=0):
        """Write prompts near a prompt.

        Args:
            prompt: str or `Template` without masks. Syntax of other programs in it stays to the letter.
            n: int.
            proximity: float 0..1. 0 keeps the template only, 1 changes one slot to something near.
            by: "slots" keeps a share `proximity` of the slots as text and writes the others anew, near their meaning. "noise"
                writes all slots anew: a random share `proximity` of them with the content of the prompt, the others with a
                meaning near it.
            lock: slots that keep their text whatever the proximity, as in `sample`.
            decoding: `Decoding`.
            seed: int.

        Returns:
            list of n `Sample`, different from the prompt and from each other where the language has that many.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: n below 1, proximity outside 0..1, or an unknown `by`.
            TemplateError: no slot to vary, a masked one, or a slot to lock that is not there.
        """
        return varying.vary(self._author, prompt, n, proximity, by, lock, decoding, checks.seed(seed))

    def infill(self, prompt, n, *, like=None, decoding=DECODING, seed=0):
        """Fill the masks of a prompt.

        `<?>` stands for words of any number, `<artist:?>` for a filler of that code. No filler that is written, here and by the
        other verbs, holds separators, brackets, quotes or other markup. Candidates come from the writer and
        from the n-grams of the corpus. They are ranked by both log-probabilities of the whole prompt, by length, and by words
        that the prompt already has; the weights were learned with the language (`ranking_`).

        Args:
            prompt: str with masks, or `Template` with masked slots.
            n: int, prompts to return.
            like: dict of slot name -> filler: masks of that name are filled with something near it. "?" names the masks `<?>`.
            decoding: `Decoding` that candidates are drawn with.
            seed: int.

        Returns:
            list of at most n `Sample`, best first, all different. Text that was given stays to the letter. Their `log_prob` is
            that of the writer alone, without any cut of `decoding`, so that fillers can be compared.

        Raises:
            NotFittedError: this DSL only reads.
            TemplateError: no mask, nothing but masks, an unknown slot name, or `like` for a name without a mask.
            ValueError: n below 1.
        """
        return infilling.infill(self._author, prompt, n, like, decoding, checks.seed(seed))

    def rank_fillers(self, prompt, fillers):
        """Rank your own fillers for the masks of a prompt, as `infill` ranks its candidates.

        Args:
            prompt: str with masks, or `Template` with masked slots.
            fillers: list of str for one mask; for several masks a list of tuples with a str for each. A filler may hold words
                that the corpus does not have.

        Returns:
            list of `Sample`, best first, one for each different text. Their `log_prob` (nats) is that of the writer alone,
            which may not fall in this order.

        Raises:
            NotFittedError: this DSL only reads.
            TemplateError: no mask, nothing but masks, an unknown slot name, a filler without a word, or another number of
                fillers than of masks.
            ValueError: no filler.
            TypeError: a str instead of a list, or fillers that are not str.
        """
        return infilling.rank_fillers(self._author, prompt, fillers)

    def fit_ranking(self, prompts, seed=0):
        """Learn again how candidates of `infill` are ranked: the weights of writer, n-grams, length and repetition.

        `fit` does so on prompts that it holds out. This is for other prompts, and for languages of fewer than 1,000 prompts.
        It changes the language itself.

        Args:
            prompts: list of str that this language has not learned: on others a model would be trusted too much. At most 240
                are used, drawn by seed; takes some 10 seconds.
            seed: int.

        Returns:
            self.

        Raises:
            NotFittedError: this DSL only reads.
            ValueError: fewer than 20 prompts.
            TypeError: not a list of str.
        """
        self.learned.ranking = infilling.fit_ranking(self._author, prompts, checks.seed(seed))
        return self

    def log_score(self, samples, template=None, *, lock=(), decoding=None):
        """Log-probability of prompts under this language, as `sample` with absent content draws them.

        Args:
            samples: list of `Sample`, or of str, which are read first.
            template: as it was given to `sample`; None if templates were drawn.
            lock: as it was given to `sample`.
            decoding: as it was given to `sample`.

        Returns:
            float64 (n,), nats: of template and fillers together, or of the text where a `decoder_` writes it; -inf for what
            could not have been written, such as fillers with separators, brackets or other markup.

        Raises:
            NotFittedError: this DSL only reads.
            TypeError: neither samples nor texts.
        """
        return writing.log_score(self._author, samples, template, lock, decoding)
