"""A pretrained decoder: learns, resumes, writes known words without loops, scores as it writes, and is kept without its base."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_llama import tiny_llama

from workbench import DeepDSL, corpus, training
from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DSLConfig, WriterConfig, writing
from workbench.language.prior import PriorConfig
from workbench.language.writer import Decoder, DecoderConfig, Decoding, adapter, decoder
from workbench.language.writer.mixing import GRAM, Law, Walk
from workbench.language.writer.pieces import END, Pieces, tokens
from workbench.models import smollm2
from workbench.values import ArtifactError, ModelError, NotFittedError

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def texts():
    return list(corpus.load("world", n=120, progress=False))


@pytest.fixture(scope="module")
def base(tmp_path_factory, texts):
    return tiny_llama(tmp_path_factory.mktemp("base"), texts)


@pytest.fixture(scope="module")
def learned(base, texts):
    known = {token.strip() for text in texts for token in tokens(text)} - {"portrait"}
    return Decoder(DecoderConfig(base, steps=30)).fit(texts, known, progress=False)


@pytest.fixture(scope="module")
def samples(learned):
    return learned.sample(16, seed=1)


def test_prompts_are_read_as_words_and_single_separators():
    read = [" a", " red", " fox", ",", " sci", " -", " fi", ",", " h.", " r.", " giger"]
    assert tokens("(A red fox:1.2),, sci - fi, H. R. Giger - <lora:ink:1> , ") == read
    assert tokens("...") == []


def test_pieces_spell_and_tell_words_apart(base, texts):
    lm = adapter.load_base(base)
    vocabulary = sorted({token for text in texts for token in tokens(text)})
    pieces = Pieces(lm.tokenizer, vocabulary)
    for text in texts[:50]:
        some = tokens(text)
        assert pieces.text([*pieces.spell(some), END]) == "".join(some).removeprefix(" ")
    for row, spelt in enumerate(pieces.words):
        node = pieces.root
        for piece in spelt:
            node = node.children[piece]
            assert node.low <= row < node.high
        assert node.word == row


def test_a_walk_says_the_law_of_words(learned):
    """The probability of a word, over its pieces, is the share of the model's plus the rest of the n-grams'."""
    pieces, rng, law = learned._pieces, np.random.default_rng(0), None
    text = "a red fox, oil painting"
    some = [token for token in tokens(text) if token in pieces]
    for share in (0.0, 0.3, 1.0):
        law = Law(pieces, learned._ngram, np.ones(len(pieces.words), bool), share, loops=True)
        walk, total = Walk(law), 0.0
        for piece in [*pieces.spell(some), END]:
            p = walk.prob(rng.normal(size=pieces.size))
            assert p.sum() == pytest.approx(1)
            total += np.log(p[piece])
            assert walk.push(piece)
        parts = np.array(walk.words)
        with np.errstate(divide="ignore"):
            expected = np.logaddexp(np.log(share) + parts[:, 0], np.log1p(-share) + parts[:, 1]).sum()
        assert total == pytest.approx(expected)
    found = [learned._ngram.next_prob(some[:i]) for i in range(len(some))]
    index = {word: i for i, word in enumerate(learned._ngram.vocabulary_)}
    # after a word everything may follow, so that the n-grams are as they are
    assert parts[1, 1] == pytest.approx(np.log(found[1][index[some[1]]]))


def test_learning_lowers_the_nats_and_weighs_the_model(learned, base, texts):
    assert learned.history_[-1]["nats"] < learned.history_[0]["nats"] - 0.3
    report = {"given": 120, "read": 114, "empty": 0, "held_out": 6}
    assert report.items() <= learned.report_.items() and learned.report_["positions"] > 8_000
    assert learned.nats_["mixed"] < learned.nats_["model"] and 0 < learned.share_ < 1


def test_a_stopped_run_goes_on_bit_equal(base, texts, tmp_path, monkeypatch):
    def fit(folder, steps=6):
        return Decoder(DecoderConfig(base, steps)).fit(texts[:40], folder=folder, progress=False, seed=3)

    whole, real = fit(None), training._update
    monkeypatch.setattr(decoder, "_SAVE_EVERY", 2)

    def stops(loss, step, *rest):
        if step == 4:
            raise KeyboardInterrupt
        return real(loss, step, *rest)

    monkeypatch.setattr(training, "_update", stops)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run")
    monkeypatch.setattr(training, "_update", real)
    again = fit(tmp_path / "run")
    assert whole._weights.keys() == again._weights.keys()
    assert all(np.array_equal(whole._weights[name], again._weights[name]) for name in whole._weights)
    assert whole.history_ == again.history_
    with pytest.raises(ArtifactError, match=r"another run: options\.steps"):
        fit(tmp_path / "run", 7)
    next((tmp_path / "run").glob("*.safetensors")).write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="damaged checkpoint is now .*run.damaged-1"):
        assert fit(tmp_path / "run").history_ == whole.history_


def test_texts_are_compared_by_the_model_alone(learned, texts):
    some = [text for text in map(str.lower, texts) if all(token in learned._pieces for token in tokens(text))][:3]
    found = learned.log_prob([some[0].upper(), *some[1:]])
    assert found == pytest.approx([learned.parts([text])[:, 0].sum() for text in some], abs=1e-3)
    assert learned.log_prob([f"zzyzx {some[0]}", ""]) == pytest.approx([found[0] + decoder._NEW, 0], abs=1e-3)
    assert learned.log_prob([]).shape == (0,)
    word, other = some[0].split()[:2]
    known, unknown = learned.log_prob([f"{word}, {other}", f"{word}, zzyzx, qwxq, {other},"])
    assert unknown == pytest.approx(known + 2 * decoder._NEW, abs=1e-3)


def test_samples_hold_known_words_and_no_loops(learned, samples):
    words = set(learned._ngram.vocabulary_)
    for one in samples:
        some = learned._read(one.text)
        assert some and set(some) <= words and " portrait" not in some
        grams = [tuple(some[i : i + GRAM]) for i in range(len(some) - GRAM + 1)]
        assert len(set(grams)) == len(grams)
    assert len({one.text for one in samples}) > 12
    assert [one.text for one in learned.sample(16, seed=1)] == [one.text for one in samples]
    assert any(" portrait" in tokens(one) for one in learned.sample(16, Decoding(known=False), seed=1))


def test_scoring_agrees_with_writing(learned, samples):
    written = np.array([one.log_prob for one in samples])
    assert np.abs(learned.log_score(samples) - written).max() < 1e-4
    assert np.abs(learned.log_score([one.text for one in samples]) - written).max() < 1e-4
    for cut in (Decoding(temperature=0.7, top_k=5), Decoding(top_p=0.5)):
        some = learned.sample(6, cut, seed=2)
        assert np.abs(learned.log_score(some, cut) - [one.log_prob for one in some]).max() < 1e-4
    never = ["a qwertyuiop fox", "portrait", "a fox (red:1.2)", "", ", fox", "a fox in a fox in a fox in"]
    assert (learned.log_score(never) == -np.inf).all()


def test_it_is_kept_without_its_base(learned, samples, base, texts, tmp_path):
    learned.save(tmp_path / "kept")
    size = sum(file.stat().st_size for file in (tmp_path / "kept").iterdir())
    assert size < 600_000
    again = Decoder.load(tmp_path / "kept")
    assert [one.text for one in again.sample(16, seed=1)] == [one.text for one in samples]
    assert np.array_equal(again.log_score(samples), learned.log_score(samples))
    assert (again.share_, again.nats_, again.report_) == (learned.share_, learned.nats_, learned.report_)
    moved = tmp_path / "elsewhere"
    shutil.copytree(base, moved)
    other = Decoder.load(tmp_path / "kept")
    other.config = replace(other.config, base=str(moved))
    assert other.sample(1, seed=0) == again.sample(1, seed=0)
    shutil.rmtree(moved)
    tiny_llama(moved, texts, seed=1)
    other = Decoder.load(tmp_path / "kept")
    other.config = replace(other.config, base=str(moved))
    with pytest.raises(ArtifactError, match=r"another model than the one .* sha256 .* expected"):
        other.sample(1)
    (moved / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelError, match="missing or damaged"):
        other.sample(1)
    shutil.rmtree(moved)
    with pytest.raises(ArtifactError, match="not on this machine.*downloads nothing"):
        other.sample(1)
    other.save(tmp_path / "copied")  # which needs no base
    assert Decoder.load(tmp_path / "copied").nats_ == learned.nats_


def test_what_cannot_work_is_said_before_any_work(base, texts, monkeypatch):
    def fit(*some, name=base):
        return Decoder(DecoderConfig(name, 1)).fit(*some, progress=False)

    with pytest.raises(ModelError, match="no folder"):
        fit(texts, name="/no/such/model")
    with pytest.raises(ValueError, match="2 or more; 1 of 3 do"):
        fit(["...", "", "a fox"])
    with pytest.raises(NotFittedError, match="call fit first"):
        Decoder().sample(1)
    with pytest.raises(TypeError, match="name of a language model"):
        WriterConfig(decoder=3)
    with pytest.raises(ValueError, match="decoder_steps"):
        WriterConfig(decoder_steps=0)
    monkeypatch.setattr(smollm2, "free_memory", lambda: 10**9)
    with pytest.raises(ModelError, match=r"takes about 1\.\d GB of memory, and 1\.0 GB are free"):
        fit(texts)
    monkeypatch.setattr(adapter, "import_peft", lambda: (_ for _ in ()).throw(ImportError("pip install peft")))
    with pytest.raises(ImportError, match="pip install peft"):
        DeepDSL.fit(texts, DSLConfig(writer=WriterConfig(decoder=base)), progress=False)


def test_a_language_writes_from_nothing_with_it_and_it_judges_tries(minilm, base, texts, tmp_path):
    options = WriterConfig(width=20, layers=1, heads=1, pieces=300, min_count=1, steps=2, decoder=base, decoder_steps=3)
    config = DSLConfig(writer=options, prior=PriorConfig(width=8, epochs=1), codebook=CodebookConfig(n_codes=8))
    with pytest.warns(UserWarning, match="few"):
        dsl = DeepDSL.fit(texts[:60], config, minilm, tmp_path, progress=False)
    some = dsl.sample(6, seed=1)
    assert all(one.template.prompt == one.text for one in some)
    assert np.abs(dsl.log_score(some) - [one.log_prob for one in some]).max() < 1e-4
    filled = dsl.sample(2, template=some[0].template, seed=1)
    assert np.isfinite(dsl.log_score(filled, some[0].template)).all()
    dsl.save(tmp_path / "dsl")
    again = DeepDSL.load(tmp_path / "dsl", minilm)
    assert again.config.writer == options and again.decoder_.report_ == dsl.decoder_.report_
    assert [one.text for one in again.sample(6, seed=1)] == [one.text for one in some]
    once, best = (dsl.sample(4, template=some[0].template, seed=2, tries=tries) for tries in (1, 4))
    better = writing._liking(dsl._author, best) - writing._liking(dsl._author, once)
    assert (better >= 0).all() and (better > 0).any()
