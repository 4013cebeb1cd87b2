"""A speaker before listeners that do not see all: what it should say is known."""

import numpy as np
import pytest
import torch
from tiny_lm import tiny_lm

from workbench import models, speaker
from workbench.artifacts import Checkpoint
from workbench.search.policy import RewardError
from workbench.search.speaker.adapter import Adapter, Voice
from workbench.values import ArtifactError, ModelError, PictureError
from workbench.world import games as world_games
from workbench.world import render, scenes

FEW = speaker.SpeakerConfig(steps=4, games=8, tries=2)


@pytest.fixture(scope="module")
def lm():
    return models.load_lm("world")


@pytest.fixture(scope="module")
def clip():
    return models.load_clip("world", device="cpu")


@pytest.fixture(scope="module")
def played():
    """Games, and their scenes."""
    shown, rows = world_games.games(40, seed=1)
    return speaker.Games(render.render_all(shown, 7), rows), [[shown[i] for i in row] for row in rows]


@pytest.fixture(scope="module")
def describer(lm, clip):
    """A speaker that says the color and the object, in either order."""
    some = scenes.scenes(400, 3, "any")
    texts = [f"{s.color}, {s.object}" if i % 2 else f"{s.object}, {s.color}" for i, s in enumerate(some)]
    config = speaker.SpeakerConfig(steps=90, games=48, hidden=64, longest=6)
    return speaker.learn(lm, clip, render.render_all(some, 3), texts, config, progress=False)


def test_in_a_game_only_the_first_has_its_color_and_its_object():
    shown, rows = world_games.games(30, 12, seed=5)
    for row in rows:
        first, *others = (shown[i] for i in row)
        assert {(one.background, one.style) for one in others} == {(first.background, first.style)}
        assert not any(one.color == first.color or one.object == first.object for one in others)
        assert len(set(row.tolist())) == 12


def test_listeners_see_what_their_sight_allows(clip, played):
    games, truth = played
    right = {}
    for sight in speaker.SIGHTS:
        listener = speaker.Listener(clip, sight)
        right[sight] = [np.mean(games.picks(listener, [getattr(g[0], what) for g in truth]) == 0) for what in ("color", "object")]
    assert min(right["all"]) > 0.9
    assert right["grey"][0] < 0.35 and right["grey"][1] > 0.7
    assert right["blurred"][0] > 0.9 and right["blurred"][1] < 0.45


def test_the_ceiling_is_the_best_of_all_captions_in_each_game(clip, played):
    games, _ = played
    friend, rival = speaker.Listener(clip), speaker.Listener(clip, "grey")
    captions = ["red", "circle", "snow", "blue heart"]
    best, said = games.ceiling(friend, rival, captions)
    every = np.stack([games.reward(friend, rival, [caption] * len(games)) for caption in captions])
    assert (best == every.max(0)).all() and (games.reward(friend, rival, said) == best).all()
    assert (games.reward(friend, None, captions * 10) == (games.picks(friend, captions * 10) == 0)).all()


def test_a_speaker_learns_to_describe_and_then_what_only_the_friend_understands(lm, clip, played, describer):
    games, truth = played
    friend = speaker.Listener(clip)
    named = {}
    for sight in ("grey", "blurred"):
        config = describer.config.replace(steps=16, games=20, tries=8, rate=5e-3, beta=0.05)
        found = speaker.play(describer, lm, clip, games, friend, speaker.Listener(clip, sight), config, progress=False)
        read = [scenes.read(text) for text in found.say(lm, clip, games.targets)]
        named[sight] = [
            np.mean([r[what] == getattr(g[0], what) for r, g in zip(read, truth, strict=True)]) for what in ("color", "object")
        ]
        assert {"reward", "kl", "friend", "rival"} <= set(found.history[-1])
    assert named["grey"][0] > 0.8 > 0.4 > named["grey"][1]
    assert named["blurred"][1] > 0.8 > 0.4 > named["blurred"][0]


def test_before_it_has_learned_a_speaker_is_the_language_model():
    lm = tiny_lm()
    voice = Voice(lm, Adapter(6, 32, speaker.SpeakerConfig()), 5)
    seen, (ids, taken) = torch.randn(3, 6), voice.tokens(["red fox", "old", ""])
    assert taken.sum(1).tolist() == [3, 2, 1] and voice.texts(ids) == ["red fox", "old", ""]
    with torch.no_grad():
        begin = torch.zeros(3, 1, dtype=torch.long)
        law = lm.model(torch.cat([begin, ids[:, :-1]], 1)).logits.log_softmax(-1).gather(2, ids[..., None])[..., 0]
        torch.testing.assert_close(voice.log_probs(seen, ids), law)


def test_texts_are_drawn_as_often_as_their_probability_says():
    lm = tiny_lm()
    adapter = Adapter(6, 32, speaker.SpeakerConfig())
    torch.nn.init.normal_(adapter.outer.weight, generator=torch.Generator().manual_seed(0))
    voice, seen = Voice(lm, adapter, 3), torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    ids, taken = voice.draw(seen.expand(4000, -1))
    with torch.no_grad():
        of = (voice.log_probs(seen.expand(4000, -1), ids) * taken).sum(1).exp()
    texts = np.array([tuple(row) for row in ids.tolist()])
    for row in np.unique(texts, axis=0)[:20]:
        here = (texts == row).all(1)
        assert abs(here.mean() - float(of[np.flatnonzero(here)[0]])) < 0.035


def test_a_stopped_run_goes_on_bit_equal_and_a_saved_speaker_says_the_same(lm, clip, played, describer, tmp_path):
    games, _ = played
    friend, rival = speaker.Listener(clip), speaker.Listener(clip, "grey")
    config = describer.config.replace(steps=13, games=6, tries=3, rate=3e-3, beta=0.05)
    whole = speaker.play(describer, lm, clip, games, friend, rival, config, progress=False)

    class Enough(Exception):
        pass

    class Leaving(speaker.Games):
        def picks(self, listener, texts, rows=None):
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked > 22:  # in the twelfth step; the checkpoint is of the tenth
                raise Enough
            return super().picks(listener, texts, rows)

    leaving = Leaving(games._pictures, games.rows)
    with pytest.raises(Enough):
        speaker.play(describer, lm, clip, leaving, friend, rival, config, folder=tmp_path / "run", progress=False)
    again = speaker.play(describer, lm, clip, games, friend, rival, config, folder=tmp_path / "run", progress=False)
    assert all((again.tensors[name] == whole.tensors[name]).all() for name in whole.tensors)
    with pytest.raises(ArtifactError, match="listeners differs"):
        speaker.play(describer, lm, clip, games, friend, None, config, folder=tmp_path / "run", progress=False)
    whole.save(tmp_path / "saved")
    loaded = speaker.Speaker.load(tmp_path / "saved")
    assert loaded.say(lm, clip, games.targets[:5]) == whole.say(lm, clip, games.targets[:5])
    assert loaded.sample(lm, clip, games.targets[:5], seed=3) == whole.sample(lm, clip, games.targets[:5], seed=3)


def test_texts_too_long_for_the_speaker_are_counted(lm, clip, played):
    config, texts = FEW.replace(longest=3), ["red", "a red circle in the snow"]
    with pytest.warns(UserWarning, match="1 of 2 texts .* cut to 3 tokens"):
        speaker.learn(lm, clip, played[0].targets[:2], texts, config, progress=False)


def test_a_picture_that_is_its_own_rival_is_no_game(played):
    with pytest.raises(ValueError, match="game 1 is among its others"):
        speaker.Games(played[0].targets[:3], [[0, 1, 2], [2, 0, 2]])


def test_a_speaker_lives_where_its_language_model_does():
    lm = tiny_lm()
    lm.model.to("meta")  # another device without another machine: it computes shapes alone
    voice = Voice(lm, Adapter(6, 32, speaker.SpeakerConfig()), 5)
    ids, taken = voice.tokens(["red fox", "old"])
    found = voice.log_probs_at(torch.zeros(2, 6), torch.zeros(2, 3, 32, device="meta"), ids)
    assert ids.device.type == taken.device.type == found.device.type == "meta"


def test_a_saved_speaker_whose_weights_do_not_fit_is_refused(describer, tmp_path):
    wrong = describer.tensors | {"centre": describer.tensors["centre"][:-1]}
    speaker.Speaker(wrong, describer.config, describer.models).save(tmp_path / "speaker")
    with pytest.raises(ArtifactError, match="centre"):
        speaker.Speaker.load(tmp_path / "speaker")


def test_other_models_are_refused(lm, describer, played):
    with pytest.raises(ModelError, match="another clip"):
        describer.say(lm, models.load_clip("world-small", device="cpu"), played[0].targets[:1])


def test_what_cannot_be_played_is_refused_before_any_work(lm, clip, played, describer):
    games, _ = played
    friend = speaker.Listener(clip)
    with pytest.raises(RewardError, match="earned the same"):
        speaker.play(
            describer, lm, clip, games, friend, friend, describer.config.replace(steps=20, tries=2, games=4), progress=False
        )
    with pytest.raises(ValueError, match="one of all, grey, blurred"):
        speaker.Listener(clip, "dark")
    for rows in ([], [[0]], [[0, 999]]):
        with pytest.raises(ValueError, match="Games"):
            speaker.Games(games.targets, rows)
    with pytest.raises(PictureError):
        speaker.Games(["no picture.png"], [[0, 0]])
    with pytest.raises(ValueError, match="39 texts for 40 games"):
        games.picks(friend, ["red"] * 39)
    with pytest.raises(ValueError, match="one text, got 2 pictures and 1 texts"):
        speaker.learn(lm, clip, games.targets[:2], ["red"], FEW, progress=False)
    with pytest.raises(ModelError, match="longest is 99"):
        speaker.learn(lm, clip, games.targets[:2], ["red", "blue"], FEW.replace(longest=99), progress=False)
    with pytest.raises(ValueError, match="tries must be an int of 2"):
        speaker.SpeakerConfig(tries=1)


def test_learning_to_describe_resumes_too(lm, clip, played, tmp_path):
    targets = played[0].targets[:12]
    whole = speaker.learn(lm, clip, targets, ["red"] * 12, FEW, folder=tmp_path / "a", progress=False)
    again = speaker.learn(lm, clip, targets, ["red"] * 12, FEW, folder=tmp_path / "a", progress=False)
    assert all((again.tensors[name] == whole.tensors[name]).all() for name in whole.tensors)
    with pytest.raises(ArtifactError, match="texts differs"):
        speaker.learn(lm, clip, targets, ["blue"] * 12, FEW, folder=tmp_path / "a", progress=False)
    assert isinstance(Checkpoint(tmp_path / "b", "x", {}).load(), type(None))
