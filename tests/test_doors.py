"""One rule for each kind of argument, at every door of the package: seeds and paths. A new door has to be written down here."""

import inspect
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tiny_clip import tiny_clip
from tiny_lm import tiny_lm

import workbench
from workbench import (
    adapt,
    artifacts,
    atlas,
    client,
    concepts,
    corpus,
    decode,
    editor,
    encode,
    ensemble,
    export,
    files,
    genetic,
    guide,
    library,
    meta,
    models,
    ngram,
    pez,
    picture_guidance,
    preference,
    report,
    score,
    site,
    soft,
    speaker,
    visual,
    wildcards,
)
from workbench.control import proposals
from workbench.language.codebook import Codebook
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.language.prior import TemplatePrior
from workbench.language.writer import Writer
from workbench.models.encoder import load_encoder
from workbench.show import widgets
from workbench.show.widgets.app import page
from workbench.values import ArtifactError, ModelError, Sample
from workbench.world import (
    captions,
    completions,
    games,
    grammar,
    judging,
    newcomers,
    permuted,
    questions,
    render,
    scenes,
    shifts,
    visitors,
)

STAR = scenes.Scene("star", "red", "snow", "photo")
GREY = np.full((2, 8, 8, 3), 128, np.uint8)
RED = [Sample("red star", context="red")]
PROMPT = "portrait of a samurai, oil on canvas, 8k"
LAW, COIN = stats.poisson(3), proposals.FromDistribution(lambda n, seed: [seed] * n, None)
TARGET = guide.EBM((proposals.of(LAW),))


@pytest.fixture(scope="module")
def dsl(minilm):
    return DeepDSL.load("world", minilm)


@pytest.fixture(scope="module")
def pipeline():
    return models.load_pipeline("world")


# ---- seeds ------------------------------------------------------------------------------------------------------------------


def at_the_seed(seed, dsl, pipeline):
    """Calls by the name of the door: what each gives for a seed, as something that can be compared."""
    grams = ngram.KneserNey().fit([["a", "red", "fox"], ["a", "cat"]] * 9)
    return {
        "constraints.constrain": lambda: guide.constrain(LAW, {np.abs: 3.2}, n=200, seed=seed).weights,
        "guide.draws.quasi_rejection": lambda: guide.quasi_rejection(TARGET, beta=1, n=5, seed=seed, pool=9).samples,
        "guide.draws.importance_resample": lambda: guide.importance_resample(TARGET, n=5, seed=seed, pool=9).samples,
        "guide.pool.pool": lambda: guide.pool(TARGET, n=5, seed=seed).samples,
        "guide.tuning.TuneConfig": lambda: guide.TuneConfig(seed=seed),
        "proposals.causal.LMProposal.sample": lambda: proposals.LMProposal(tiny(), max_tokens=4).sample(3, seed),
        "proposals.FromDSL.sample": lambda: proposals.FromDSL(dsl, "a <person:?>").sample(1, seed),
        "proposals.FromDistribution.sample": lambda: COIN.sample(2, seed),
        "proposals.FromScipy.sample": lambda: proposals.of(LAW).sample(5, seed),
        "scorers.of_pictures.of_picture": lambda: score.of_picture(pipeline, shade, steps=1, seed=seed)(["red"]).tolist(),
        "models.pipeline.Pipeline.draw": lambda: pipeline.draw("red", steps=1, seed=seed)[0].tobytes(),
        "corpus.load": lambda: [*corpus.load("world", n=5, seed=seed, progress=False)],
        "dsl.learned.DSLConfig": lambda: DSLConfig(seed=seed),
        "search.config.PEZConfig": lambda: pez.PEZConfig(seed=seed),
        "soft.config.SoftConfig": lambda: soft.SoftConfig(seed=seed),
        "meta.config.MetaConfig": lambda: meta.MetaConfig(seed=seed),
        "adapt.config.AdaptConfig": lambda: adapt.AdaptConfig(seed=seed),
        "adapt.config.RewriterConfig": lambda: adapt.RewriterConfig(seed=seed),
        "adapt.rewriter.Rewriter.write": lambda: adapt.Rewriter(tiny(), 4).write(["red"], 3, seed),
        "adapt.rewards.promptist": lambda: adapt.promptist(pipeline, models.load_clip(), seed=seed)(RED).tolist(),
        "visual.config.VisualConfig": lambda: visual.VisualConfig(seed=seed),
        "concepts.config.ConceptConfig": lambda: concepts.ConceptConfig(seed=seed),
        "picture_guidance.GuidanceConfig": lambda: picture_guidance.GuidanceConfig(seed=seed),
        "preference.config.PreferenceConfig": lambda: preference.PreferenceConfig(seed=seed),
        "preference.config.LongTermConfig": lambda: preference.LongTermConfig(seed=seed),
        "editor.config.AgentConfig": lambda: editor.AgentConfig(seed=seed),
        "editor.config.FollowConfig": lambda: editor.FollowConfig(seed=seed),
        "decode.critic.CriticConfig": lambda: decode.CriticConfig(seed=seed),
        "decode.inverse.InverseConfig": lambda: decode.InverseConfig(seed=seed),
        "decode.inverse.Ranked.sample": lambda: decode.Ranked(tuple("abcdefgh"), np.zeros(8)).sample(9, seed),
        "decode.inverse.rerank": lambda: decode.rerank(LAW, np.abs, 5, seed).texts,
        "client.tuning.TuneConfig": lambda: client.TuneConfig(seed=seed),
        "genetic.config.VoteConfig": lambda: genetic.VoteConfig(seed=seed),
        "genetic.voters.Voter": lambda: genetic.Voter(lambda texts: [0] * len(texts), seed=seed).marks("abcdefghij", 9, 0),
        "speaker.config.SpeakerConfig": lambda: speaker.SpeakerConfig(seed=seed),
        "speaking.Speaker.sample": lambda: of_pictures()[0].sample(tiny(), of_pictures()[1], GREY, seed),
        "soft_prompt.SoftPrompt.sample": lambda: of_texts().sample(tiny(), 5, seed, max_tokens=5),
        "meta.dialogs.reply": lambda: meta.reply(tiny(), of_dialogs(), ["red"], 5, seed, max_tokens=5),
        "DeepDSL.sample": lambda: dsl.sample(1, seed=seed),
        "DeepDSL.vary": lambda: dsl.vary(PROMPT, 3, 0, seed=seed),
        "DeepDSL.infill": lambda: dsl.infill("a castle, <?>", 1, seed=seed),
        "ngram.KneserNey.sample": lambda: grams.sample(3, seed),
        "ngram.KneserNey.propose": lambda: grams.propose(["a"], [], 2, seed),
        "widgets.session.Session": lambda: widgets.Session(dsl, seed=seed).seed,
        "world.grammar.prompt": lambda: grammar.prompt(3, seed),
        "world.grammar.generate": lambda: [*grammar.generate(3, seed)],
        "world.captions.sample": lambda: captions.sample(3, seed),
        "world.completions.pairs": lambda: completions.pairs(3, seed),
        "world.scenes.scenes": lambda: scenes.scenes(3, seed),
        "world.scenes.caption": lambda: scenes.caption(STAR, "prompt", seed),
        "world.games.games": lambda: games.games(3, seed=seed)[1].tolist() + games.games(3, seed=seed)[0],
        "world.newcomers.sample": lambda: newcomers.sample(3, "lava", seed),
        "world.newcomers.caption": lambda: newcomers.caption(STAR, seed),
        "world.newcomers.examples": lambda: newcomers.examples(2, "lava", seed)[0].tobytes(),
        "world.newcomers.render_all": lambda: newcomers.render_all([STAR] * 2, seed).tobytes(),
        "world.permuted.orders": lambda: permuted.orders(3, seed),
        "world.permuted.rows": lambda: permuted.rows(9, permuted.LABELS, seed),
        "world.questions.rows": lambda: questions.rows("artist", "prompt", 5, seed),
        "world.shifts.shifted": lambda: shifts.shifted(GREY, "noise", seed).tobytes(),
        "world.visitors.tastes": lambda: visitors.tastes(seed).tolist(),
        "world.visitors.chances": lambda: visitors.chances(seed).tolist(),
        "world.visitors.log": lambda: visitors.log(3, seed).actions.tolist(),
        "world.render.render": lambda: render.render(STAR, seed).tobytes(),
        "world.render.render_all": lambda: render.render_all([STAR] * 2, [seed, 0]).tobytes(),
        "Writer.fillers": lambda: dsl.writer_.fillers([dsl.read(PROMPT).open()], seed=seed),
        "writer.Writer.fill": lambda: dsl.writer_.fill([dsl.read(PROMPT).open()], seed=seed),
        "prior.TemplatePrior.sample": lambda: dsl.prior_.sample(2, seed),
    }


def too_long_to_run(seed, dsl):
    """Calls that would take a while, by the name of the door; a bad seed ends them before the work."""
    return {
        "codebook.Codebook.fit": lambda: Codebook().fit(None, None, None, None, seed=seed),
        "prior.TemplatePrior.fit": lambda: TemplatePrior().fit([dsl.read(PROMPT)] * 3, seed=seed),
        "writer.Writer.fit": lambda: Writer().fit([], None, 3, seed=seed),
        "DeepDSL.fit_ranking": lambda: dsl.fit_ranking([PROMPT] * 30, seed=seed),
        "atlas.projection.fit": lambda: atlas.fit(np.eye(9), seed=seed),
        "remote.Client.choose": lambda: client.Client(print).choose(np.eye(2, dtype="f"), ["red"], ["fox"], seed=seed),
        "meta.canonical.choose": lambda: meta.choose(None, None, ["red"], ["fox"], seed=seed),
        "editor.agent.Agent.run": lambda: editor.Agent({}, editor.AgentConfig()).run(None, [], [], seed),
        "library.standing.atlas": lambda: library.atlas(None, seed=seed),
        "widgets.studio": lambda: widgets.studio(dsl, seed=seed),
        "widgets.atlas_view": lambda: widgets.atlas_view(dsl, seed=seed, draw=True),
        "render.render_all": lambda: render.render_all([], seed),
        "render.draw_all": lambda: render.draw_all([], seed, 32, []),
        "judging.judge": lambda: judging.judge(["lava"], seed=seed),
        "ensemble.draw_best": lambda: ensemble.draw_best(pipeline_of_none, "red", ["red"], seed=seed),
    }


@cache
def kept_in(dsl):
    session = widgets.Session(dsl, PROMPT)
    session.keep()
    return session


@cache
def tiny():
    made = tiny_lm()
    return models.LM("t", made.model, made.tokenizer)


@cache
def of_texts():
    config = soft.SoftConfig(layout="prefix", start="red old", vectors=2, steps=0)
    return soft.tune(tiny(), ["red fox"], None, config)


@cache
def of_dialogs():
    config = meta.MetaConfig(prompt=soft.SoftConfig(layout="prefix", start="red old", vectors=2), steps=0)
    return meta.learn_replies(tiny(), [["red"]], ["fox"], config)


@cache
def of_pictures():
    """A speaker that has learned next to nothing, and its eyes."""
    clip = tiny_clip()
    return speaker.learn(tiny(), clip, GREY, ["red", "old fox"], speaker.SpeakerConfig(steps=1, longest=9), progress=False), clip


pipeline_of_none = models.Pipeline("none", "", None)
pipeline_of_none = models.Pipeline("none", "", None)


def seen():
    """What a tiny CLIP sees of two scenes."""
    two = editor.SceneEditor({"object": ["red", "fox"]}, lambda row, _: row[0], lambda rows, _: np.repeat(GREY[:1], len(rows), 0))
    return editor.View(tiny_clip(), two)


def shade(pictures):
    return [float(np.asarray(picture).mean()) for picture in pictures]


def test_any_integer_is_a_seed_at_every_door(dsl, pipeline):
    plain, numpys, below, large, other = (at_the_seed(seed, dsl, pipeline) for seed in (3, np.int64(3), -1, 2**70, 6))
    same = []
    for name, call in plain.items():
        found = call()
        assert repr(found) == repr(numpys[name]()), name
        assert below[name]() is not None and large[name]() is not None, name
        if repr(found) == repr(other[name]()):
            same.append(name)
    assert len(same) < 6, f"the same for two seeds: {same}"  # a short list of candidates may be


@pytest.mark.parametrize("seed", [None, 3.0, "3", True, np.bool_(True), {3}, b"3"], ids=repr)
def test_one_error_for_what_is_no_integer(seed, dsl, pipeline):
    for name, call in (at_the_seed(seed, dsl, pipeline) | too_long_to_run(seed, dsl)).items():
        with pytest.raises(ValueError, match="seed must be an int, got .* Any will do; equal ones give equal results"):
            print(name, call())


# ---- paths ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder, and a folder to work in that must stay empty."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.fixture
def no_map(monkeypatch):
    """Pages without their map, which takes a while."""
    monkeypatch.setattr("workbench.show.pages.report._map", lambda *_: (None, None))
    monkeypatch.setattr("workbench.show.pages.report._written", lambda *_: None)
    monkeypatch.setattr("workbench.show.pages.report.render", lambda *_, **__: "<p>a page</p>")
    monkeypatch.setattr("workbench.show.pages.language_map.chart", lambda dsl: None)


def put(writing):
    with writing as part:
        (part / "a").touch() if part.is_dir() else part.write_text("a")


def writes(place, dsl):
    """Calls that write to a place, by the name of the door."""
    session = kept_in(dsl)
    kept, tuned = widgets.Favourites(session.kept), guide.tuning.Tuned(proposals.of(tiny()), [], "kl")
    return {
        "artifacts.save": lambda: artifacts.save(place, "thing", {}, {}),
        "artifacts.Saved.save": lambda: dsl.learned.codebook.save(place),
        "artifacts.Checkpoint": lambda: artifacts.Checkpoint(place, "thing", {}).save({}, {}),
        "DeepDSL.save": lambda: dsl.save(place),
        "guide.tuning.Tuned.save": lambda: tuned.save(place),
        "adapt.rewriter.Rewriter.save": lambda: adapt.Rewriter(tiny(), 4).save(place),
        "export.write_json": lambda: export.write_json(dsl, place),
        "export.write_csv": lambda: export.write_csv(dsl, place),
        "export.write_wildcards": lambda: export.write_wildcards(dsl, place),
        "files.replacing_folder": lambda: put(files.replacing_folder(place)),
        "files.atomic_path": lambda: put(files.atomic_path(place)),
        "files.write_json": lambda: files.write_json(place, {}),
        "wildcards.write": lambda: wildcards.write(place, {"a.txt": "oak"}),
        "encode.encode": lambda: encode.encode(["a fox"], dsl.encoder, place, progress=False),
        "pages.site.write": lambda: site.write(dsl, place, ["a fox"], n=1),
        "pages.report.write": lambda: report.write(dsl, place),
        "favourites.Favourites.save": lambda: kept.save(place),
        "widgets.gallery": lambda: widgets.gallery(session, place).save(".csv"),
    }


def reads(place, minilm):
    """Calls that read from a place that is not there, by the name of the door."""
    return {
        "artifacts.load": lambda: artifacts.load(place, "thing"),
        "artifacts.Saved.load": lambda: Codebook.load(place),
        "DeepDSL.load": lambda: DeepDSL.load(place, minilm),
        "files.read_json": lambda: files.read_json(place),
        "wildcards.read": lambda: wildcards.read(place),
        "wildcards.fillers": lambda: wildcards.fillers(place),
        "models.load_clip": lambda: models.load_clip(place),
        "models.load_lm": lambda: models.load_lm(place),
        "models.load_pipeline": lambda: models.load_pipeline(place),
        "models.load_encoder": lambda: load_encoder(place),
    }


def test_a_tilde_is_the_home_folder_wherever_something_is_written(home, dsl, no_map):
    for number, name in enumerate(writes("x", dsl)):
        ending = ".csv" if "Favourites" in name else ""
        for way in (str, Path):
            writes(way(f"~/{number}-{way.__name__}{ending}"), dsl)[name]()
        a, b = home / f"{number}-str{ending}", home / f"{number}-Path{ending}"
        assert a.exists() and a.is_dir() == b.is_dir(), name
    assert not os.listdir("."), "something was written where the work is done"
    done = export.write_wildcards(dsl, "~/wl")
    assert done.folder == home / "wl" and done.folder.is_dir()
    assert report.write(dsl, "~/r.html") == home / "r.html"


def test_a_tilde_is_the_home_folder_wherever_something_is_read(home, dsl, minilm):
    for way in (str, Path):
        for name, call in reads(way("~/nowhere"), minilm).items():
            with pytest.raises((ArtifactError, ModelError), match=str(home)):
                print(name, call())
    dsl.save("~/dsl")
    assert [code.name for code in DeepDSL.load("~/dsl", minilm).codes] == [code.name for code in dsl.codes]
    (home / "p.txt").write_text("a red fox\nan old ship\n")
    assert (
        [*corpus.load("~/p.txt", progress=False)]
        == [*corpus.load(home / "p.txt", progress=False)]
        == ["a red fox", "an old ship"]
    )
    lm = tiny()
    lm.model.save_pretrained(home / "lm"), lm.tokenizer.save_pretrained(home / "lm")
    assert models.load_lm("~/lm").name == "~/lm" and models.load_lm(Path("~/lm")).model.config.vocab_size
    assert "cannot be loaded" in page("~/nowhere").children[0].value


@pytest.mark.parametrize("place", ["", " ", b"out", 3, 0.5, True, ["out"], "a\0b"], ids=repr)
def test_one_error_for_what_is_no_path(place, home, dsl, minilm, no_map):
    for name, call in (writes(place, dsl) | reads(place, minilm)).items():
        with pytest.raises((ValueError, TypeError), match="must be a str or Path with something in it, such as|a dict"):
            print(name, call())
    search = {"resume": place, "config": pez.PEZConfig(length=1, steps=1)}
    for name, call in {
        "DeepDSL.fit": lambda: DeepDSL.fit(["a fox"], folder=place),
        "Writer.fit": lambda: Writer().fit([dsl.read(PROMPT)] * 3, dsl.encoder.embed_words, 32, folder=place),
        "pez.search": lambda: pez.search(tiny_clip(), "red", **search),
        "guide.tune": lambda: guide.tune(proposals.LMProposal(tiny(), max_tokens=4), TARGET, folder=place),
        "library.Library.open": lambda: library.Library.open(place),
        "library.world": lambda: library.world(place),
        "library.load": lambda: library.load(place, "x"),
        "soft.distil": lambda: soft.distil(tiny(), "a red", ["fox"], soft.SoftConfig(layout="prefix", start="red"), folder=place),
        "decode.critic.Critic.fit": lambda: decode.Critic(decode.CriticConfig(texts=20)).fit(
            proposals.LMProposal(tiny(), max_tokens=3), score.contains("red"), folder=place
        ),
        "soft.tune": lambda: soft.tune(tiny(), ["red", "old"], ["fox", "ship"], soft.SoftConfig(start="red"), folder=place),
        "genetic.voting.Voting": lambda: genetic.Voting(genetic.Genes.mask(["red", "old"]), folder=place),
        "speaking.learn": lambda: speaker.learn(tiny(), tiny_clip(), GREY, ["red", "fox"], folder=place),
        "speaking.play": lambda: speaker.play(
            of_pictures()[0],
            tiny(),
            of_pictures()[1],
            speaker.Games(GREY, [[0, 1]]),
            speaker.Listener(of_pictures()[1]),
            folder=place,
        ),
        "concepts.learn": lambda: concepts.learn(models.load_pipeline(), GREY, ["<a>", "<a>"], folder=place),
        "world.judge": lambda: judging.judge(["lava"], folder=place),
        "adapt.rewriter.rewriter": lambda: adapt.rewriter(tiny(), [("red", "red fox")], folder=place),
        "adapt.reinforcing.reinforce": lambda: adapt.reinforce(adapt.Rewriter(tiny(), 4), len, ["red"], folder=place),
        "adapt.on_trl.grpo": lambda: adapt.grpo(adapt.Rewriter(tiny(), 4), len, ["red"], folder=place),
        "visual.learning.tune": lambda: visual.tune(tiny_clip(), GREY, ["red", "fox"], folder=place),
        "reward_model.learn": lambda: preference.learn(np.eye(3), np.zeros((3, 3)), folder=place),
        "long_term.learn_policy": lambda: preference.learn_policy(
            np.zeros((1, 3, 2)), np.array([[0, 1]]), [[0.0, 1]], 2, folder=place
        ),
        "editor.agent.learn": lambda: editor.learn(seen(), np.array([[0]]), folder=place),
        "demonstrations.learn_to_follow": lambda: editor.learn_to_follow(seen().editor, np.array([[0]]), folder=place),
        "visual.questions.learn_questions": lambda: visual.learn_questions(
            tiny_clip(), tiny(), GREY, ["red", "red"], ["fox", "ship"], folder=place
        ),
    }.items():
        with pytest.raises(ValueError, match="must be a str or Path with something in it"):
            print(name, call())
    assert not os.listdir(".") and not os.listdir(home)


# ---- no door is left out ----------------------------------------------------------------------------------------------------

# Parts inside, which get what a door has checked, and records.
INSIDE = {
    "seed": "guide.pool.first_draws guide.scoring.draw corpus.readers.open_source context.learn_context session.Moment "
    "session.Result ensemble.Kept values.Proposal.sample filling.GapFiller.fill gru.learn training.train",
    "folder": "artifacts.restored descent.Descent shards.Features export.Export files.check_ours files.replacing_ours "
    "files.make_folder locks.lock_of pages.site.check folders.lists app.page guide.tuning.tune writer.Writer.fit "
    "soft.learning.tune soft.learning.tune_many soft.context.distil meta.tasks.learn prompt_library.Library.open "
    "meta.dialogs.learn_replies speaking.learn speaking.play visual.learning.tune visual.questions.learn_questions "
    "concepts.inversion.learn concepts.concept.Concept.export world.judging.judge adapt.rewriter.rewriter "
    "adapt.reinforcing.reinforce adapt.on_trl.grpo library.shipped.load library.shipped.save library.shipped.world "
    "preference.reward_model.learn preference.long_term.learn_policy editor.agent.learn "
    "editor.demonstrations.learn_to_follow decode.critic.Critic.fit",
}


def doors(argument):
    """Names of all public callables of the package, by the table of its front, that take an argument of this name."""
    for name in workbench._LAZY:
        front = getattr(workbench, name)
        members = [getattr(front, one) for one in dir(front) if one[0] != "_"] if inspect.ismodule(front) else [front]
        for one in members:
            deep = inspect.ismodule(one) and name == "world"  # its modules are its doors
            inner = [getattr(one, n) for n in dir(one) if n[0] != "_"] if deep else [one]
            for thing in inner:
                if not str(getattr(thing, "__module__", "")).startswith("workbench"):
                    continue
                methods = [v for n, v in vars(thing).items() if n[0] != "_"] if inspect.isclass(thing) else []
                for found in (thing, *(getattr(method, "__func__", method) for method in methods)):
                    if inspect.isfunction(found) or inspect.isclass(found):
                        with_it = argument in getattr(found, "__annotations__", ()) if inspect.isclass(found) else False
                        if with_it or (inspect.isfunction(found) and argument in inspect.signature(found).parameters):
                            yield f"{found.__module__}.{found.__qualname__}"


@pytest.mark.parametrize("argument", ["seed", "folder"])
def test_every_door_with_such_an_argument_is_in_the_tables(argument, dsl, pipeline, minilm):
    if argument == "seed":
        tables = {**at_the_seed(0, dsl, pipeline), **too_long_to_run(0, dsl)}
    else:
        tables = {**writes("x", dsl), **reads("x", minilm), "DeepDSL.fit": None, "data.wildcards.read": None}
    found = set(doors(argument))
    assert len(found) > 10
    known = (*tables, *INSIDE[argument].split())
    assert not [one for one in found if not any(one.endswith(name) for name in known)]
