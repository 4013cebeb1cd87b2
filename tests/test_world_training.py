"""Training of the tiny models: lessons, vocabulary, checkpoints, cards and the command. Trainings here are a few steps long."""

import shutil
import signal

import numpy as np
import pytest

from tools import world as training
from tools.world import aesthetic, autoencoder, cards, checker, clip, clip_small, lessons, lm, pipeline, vocabulary
from tools.world.__main__ import main
from workbench.models import load_clip
from workbench.models.loading import FOLDER
from workbench.training import Interrupted
from workbench.training import train as one_loop
from workbench.values import ArtifactError
from workbench.world.render import RGB
from workbench.world.scenes import COLORS, HELD_OUT, OBJECTS, VALUES, read

NAMES = lessons.NAMES


def stated(text):
    """Numbers of what `scenes.read` finds in a text."""
    return [lessons.SILENT if value is None else VALUES[name].index(value) for name, value in read(text).items()]


def test_lessons_depend_on_seed_and_step_alone_and_state_what_their_texts_say():
    a, b = lessons.lesson(32, 1, 7), lessons.lesson(32, 1, 7)
    assert (a.pictures == b.pictures).all() and a.texts == b.texts
    assert lessons.lesson(32, 1, 8).texts != a.texts != lessons.lesson(32, 2, 7).texts
    order = [list(VALUES).index(name) for name in NAMES]
    for text, says in zip(a.texts, a.stated, strict=True):
        found = np.array(stated(text))[order]
        assert (found[says != lessons.CONTRARY] == says[says != lessons.CONTRARY]).all(), text
        assert (found[says == lessons.CONTRARY] >= 0).all(), text


def test_lessons_never_show_a_held_out_pair_not_even_in_a_color_without_a_name():
    for step in range(40):
        lesson = lessons.lesson(64, 0, step)
        named = lesson.shown[lesson.shown[:, 1] != lessons.NAMELESS]
        assert not {(COLORS[color], OBJECTS[thing]) for thing, color, *_ in named} & HELD_OUT
    named, rng = np.array([RGB[color] for color in COLORS]), np.random.default_rng(0)
    for thing in OBJECTS:
        painted = np.array([lessons._paint(thing, rng) for _ in range(300)])
        nearest = np.linalg.norm(painted[:, None] - named, axis=-1).argmin(1)
        assert not {(COLORS[color], thing) for color in nearest} & HELD_OUT


def test_no_lesson_denies_a_held_out_pair_of_a_picture_and_no_text_says_one():
    for step in range(20):
        lesson = lessons.lesson(64, 0, step)
        says = {(COLORS[color], OBJECTS[thing]) for thing, color, *_ in lesson.stated if thing >= 0 and color >= 0}
        assert not says & HELD_OUT
        assert not lesson.unfair[np.arange(64), lesson.shown[:, 0]].any()
        for_pictures, for_texts = lessons.masks(lesson.shown, lesson.stated, lesson.unfair)
        for i, (thing, color, *_) in enumerate(lesson.shown):
            held_out = [k for k in range(6) if color >= 0 and (COLORS[color], OBJECTS[k]) in HELD_OUT]
            assert lesson.unfair[i, held_out].all()
            others = np.isin(lesson.stated[:, 0], held_out)
            assert for_texts[i, others].all() and for_pictures[i, others].all() and thing not in held_out


def test_masks_leave_out_pairs_that_are_right_by_chance_and_prefer_the_text_that_says_more():
    red_star, silent, nameless = [3, 0, 0, 0, 3], lessons.SILENT, lessons.NAMELESS
    shown = np.array([red_star, red_star, [3, nameless, 0, 0, 3]])
    own = [[3, 0, 0, 0, silent], [3, 0, silent, silent, silent], [3, silent, 0, 0, silent]]
    wrong = [[3, 1, 0, 0, silent], [3, silent, 0, 0, silent], [3, lessons.CONTRARY, silent, silent, silent]]
    for_pictures, for_texts = lessons.masks(shown, np.array(own + wrong), np.zeros((3, 6), bool))
    assert for_pictures.tolist() == [
        [False, False, False, False, False, False],  # what says less is wrong for the first picture
        [True, False, True, False, True, False],  # its own says "red star": others that are right do not count
        [True, True, False, True, True, False],  # a color without a name may be red, or another, but not two at once
    ]
    assert for_texts[0].tolist() == [False, True, True, False, True, False]


def test_the_vocabulary_reads_each_of_its_tokens_back():
    tokenizer = vocabulary.tokenizer()
    ids = list(range(2, tokenizer.vocab_size - 2))
    for chunk in np.array_split(np.random.default_rng(0).permutation(ids), 20):
        assert tokenizer(tokenizer.decode(chunk), add_special_tokens=False)["input_ids"] == chunk.tolist()
    assert tokenizer.eos_token_id == tokenizer.vocab_size - 1 and 300 < len(vocabulary.words()) < 1000
    assert set(vocabulary.MEANING) <= set(vocabulary.words()) and not set(vocabulary.surplus()) & vocabulary.MEANING
    assert tokenizer("A Red CIRCLE")["input_ids"] == tokenizer("a red circle")["input_ids"]
    assert tokenizer("xylophonist")["input_ids"][1] == tokenizer.unk_token_id


def test_gates_name_what_falls_short():
    gates = {"a": (">=", 0.9), "b": ("<=", 3), "c": (">=", 0)}
    assert training.failures({"a": 0.9, "b": 3.0, "c": 1}, gates) == []
    assert training.failures({"a": 0.8, "b": float("nan")}, gates) == [
        "a: 0.800, must be >= 0.9",
        "b: nan, must be <= 3",
        "c: not measured, must be >= 0",
    ]


def tiny(monkeypatch):
    """A CLIP of two steps, measured on eight pictures."""
    monkeypatch.setattr(clip, "STEPS", 2)
    monkeypatch.setattr(clip, "BATCH", 16)
    monkeypatch.setattr(clip, "check", lambda folder, seed=0, check=clip.check: check(folder, seed, n=8))


def test_the_command_trains_skips_what_is_done_and_fails_on_a_missed_gate(tmp_path, monkeypatch, capsys):
    tiny(monkeypatch)
    command = ["train", "--only", "clip", "--no-progress", "--out", str(tmp_path)]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "Will train clip" in out and "minutes on one core" in out and "clip: swap color: 0." in out
    assert cards.read(tmp_path / "clip")["seed"] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"clip", "sha256.json"}  # no checkpoint is left
    assert main(command) == 1 and "clip: already trained" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 2 and "was trained with seed 0, got --seed 1" in capsys.readouterr().err
    card = (tmp_path / "clip" / "README.md").read_text("utf-8")
    assert "must not be used" in card and "| swap color | 0." in card and "Seed 0, 2 steps" in card


def small(module, monkeypatch, folder):
    """Few pictures and few measurements; the CLIP and the checker that come with the package lie beside `folder`."""
    for name in {"clip", "checker"} - {folder.name}:
        shutil.copytree(FOLDER / name, folder.with_name(name), dirs_exist_ok=True)
    monkeypatch.setattr(autoencoder, "STEPS", 1)
    if hasattr(module, "PICTURES"):
        monkeypatch.setattr(module, "PICTURES", 200)
    if module is clip:
        monkeypatch.setattr(clip, "BATCH", 16)
    monkeypatch.setattr(module, "check", lambda folder, seed=0, check=module.check: check(folder, seed, n=4))


def stopped_after(step, monkeypatch):
    """Press Ctrl-C in a step of the trainings that have more than one."""

    def train(loss, modules, optimizer, steps, rate, **options):
        def pressed(now):
            if now == step:
                signal.raise_signal(signal.SIGINT)
            return loss(now)

        return one_loop(pressed, modules, optimizer, steps, rate, **options)

    monkeypatch.setattr("workbench.training.train", train)


@pytest.mark.parametrize("module", [clip, lm, checker, aesthetic, pipeline], ids=lambda module: module.__name__.split(".")[-1])
def test_each_part_writes_a_card_goes_on_where_it_was_stopped_and_refuses_another_training(module, tmp_path, monkeypatch):
    part = module.__name__.rsplit(".", 1)[1]
    whole, parts = tmp_path / "whole" / part, tmp_path / "parts" / part
    small(module, monkeypatch, whole)
    shutil.copytree(whole.parent, parts.parent)
    module.train(whole, seed=1, steps=4, progress=False)
    found = cards.read(whole)
    assert found["part"] == part and found["steps"] == 4 and set(module.GATES) <= set(found["figures"])
    with monkeypatch.context() as patch:
        stopped_after(1, patch)
        with pytest.raises(Interrupted, match="stopped after step 2"):
            module.train(parts, seed=1, steps=4, progress=False)
    with pytest.raises(ArtifactError, match="holds the checkpoint of another run: seed differs"):
        module.train(parts, seed=2, steps=4, progress=False)
    module.train(parts, seed=1, steps=4, progress=False)
    weights = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert weights and all((whole / path).read_bytes() == (parts / path).read_bytes() for path in weights)
    assert not [path.name for path in parts.parent.iterdir() if path.name.startswith(".")]  # no checkpoint is left


def test_the_second_clip_shares_neither_weights_nor_lessons_with_the_first(tmp_path, monkeypatch):
    tiny(monkeypatch)
    seeds, lesson = [], lessons.lesson
    monkeypatch.setattr(lessons, "lesson", lambda n, seed, step: seeds.append(seed) or lesson(n, seed, step))
    clip.train(tmp_path / "clip", steps=1, progress=False)
    clip_small.train(tmp_path / "clip_small", steps=1, progress=False)
    assert len(set(seeds)) == 2 and cards.read(tmp_path / "clip_small")["seed"] == 0
    first, second = (load_clip(str(tmp_path / name)) for name in ("clip", "clip_small"))
    assert (first.width, second.width) == (128, 96)


def test_the_command_says_what_is_wrong_before_it_works(tmp_path, capsys):
    assert main(["check", "--out", str(tmp_path)]) == 2
    assert "has no clip, lm" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["train", "--only", "clip", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be made" in capsys.readouterr().err
    assert main(["train", "--seed", "-1"]) == 2
    with pytest.raises(SystemExit):
        main(["train", "--only", "cat"])
    with pytest.raises(ValueError, match="no model 'cat' in the world. Choose one of: clip"):
        training.part("cat")
