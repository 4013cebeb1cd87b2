"""What all loaders share."""

import logging
import shutil

import pytest
import transformers
from tiny_encoder import write_bert

from workbench.models import load_clip, load_encoder, load_lm, load_pipeline, loading, sums
from workbench.models.loading import printable
from workbench.values import ModelError

SHIPPED = loading.FOLDER


@pytest.mark.parametrize("load", [load_clip, load_pipeline, load_lm])
def test_a_name_that_is_nowhere_is_an_error_that_names_the_ways(load):
    with pytest.raises(ModelError, match="no folder 'no/such-model'.*a hub id, or 'world'"):
        load("no/such-model")


@pytest.mark.parametrize("load", [load_pipeline, load_lm])
def test_there_is_a_second_one_of_clips_only(load):
    with pytest.raises(ModelError, match="no folder 'world-small'"):
        load("world-small")


def test_a_built_in_model_that_is_missing_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match="python -m tools.world train"):
        load_clip("world")


def test_loading_is_quiet_and_leaves_the_settings_of_transformers_alone(tmp_path, capfd):
    bert = write_bert(tmp_path)
    settings = transformers.utils.logging
    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity(logging.INFO)
    settings.enable_progress_bar()
    try:
        capfd.readouterr()
        with loading.quiet():
            assert settings.get_verbosity() == logging.ERROR and not settings.is_progress_bar_enabled()
        assert settings.get_verbosity() == logging.INFO and settings.is_progress_bar_enabled()
        settings.set_verbosity(logging.WARNING)
        load_encoder(bert, layer=1)
        captured = capfd.readouterr()
        assert captured.out + captured.err == ""
    finally:
        settings.set_verbosity(verbosity)
        if not bars:
            settings.disable_progress_bar()


def test_half_a_surrogate_pair_becomes_a_question_mark_and_all_else_stays():
    assert printable("a\ud83dz 👩‍🎨 塔 \x00") == "a?z 👩‍🎨 塔 \x00"


@pytest.mark.parametrize("part", ["clip", "clip_small", "lm", "pipeline"])
def test_a_built_in_model_with_a_changed_file_is_named(part, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    name, kind = ("world-small", "clip") if part == "clip_small" else ("world", part)
    shutil.copytree(SHIPPED / part, tmp_path / part)
    shutil.copy(SHIPPED / sums.NAME, tmp_path)
    for path in sorted(p for p in (tmp_path / part).rglob("*") if p.is_file() and p.name != "README.md"):
        sums.check.cache_clear()
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=f"{path.name} is missing or was changed"):
            loading.source(name, kind)
        path.write_bytes(whole)
    assert loading.source(name, kind) == str(tmp_path / part)
    (tmp_path / sums.NAME).unlink()
    sums.check.cache_clear()
    with pytest.raises(ModelError, match="The sums of the built-in models cannot be read"):
        loading.source(name, kind)
    sums.write(tmp_path, part)
    (tmp_path / part / "more.json").touch()
    sums.check.cache_clear()
    with pytest.raises(ModelError, match="more.json"):
        loading.source(name, kind)
    sums.check.cache_clear()
