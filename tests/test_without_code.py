"""Model folders that bring code: refused before transformers or diffusers see them, whatever their versions do."""

import json
import os
import pickle
import shutil

import pytest
from tiny_encoder import write_bert

from workbench.models import load_clip, load_encoder, load_lm, load_pipeline, loading
from workbench.models.without_code import check_folder
from workbench.values import ModelError

LOADERS = {"pipeline": load_pipeline, "clip": load_clip, "lm": load_lm}


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def copied(kind, tmp_path):
    return shutil.copytree(loading.FOLDER / kind, tmp_path / kind)


def edit(path, **changes):
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | changes), "utf-8")


def program(path, marker):
    path.write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from diffusers import DiffusionPipeline, UNet2DConditionModel\n"
        "class Evil(DiffusionPipeline): pass\nclass EvilUNet(UNet2DConditionModel): pass\n"
    )


PIPELINES = [
    {"_class_name": ["evil", "Evil"]},
    {"_class_name": "evil.Evil"},
    {"_class_name": None},
    {"_class_name": {"evil": "Evil"}},
    {"unet": ["evil", "EvilUNet"]},
    {"unet": ["unet.evil", "EvilUNet"]},
    {"unet": ["os", "system"]},
    {"unet": ["diffusers", "utils.EvilUNet"]},
    {"unet": ["diffusers", ["EvilUNet"]]},
    {"unet": ["diffusers", "EvilUNet", "more"]},
    {"unet": {"library": "evil"}},
    {"unet": [None, "EvilUNet"]},
    {"vae": ["transformers.dynamic_module_utils", "get_class_from_dynamic_module"]},
    {"custom_pipeline": "evil"},
    {"auto_map": {"DiffusionPipeline": "evil.Evil"}},
]


@pytest.mark.parametrize("changes", PIPELINES, ids=json.dumps)
@pytest.mark.parametrize("with_program", [True, False])
def test_a_pipeline_that_names_code_of_its_own_is_refused_and_nothing_runs(tmp_path, marker, changes, with_program):
    folder = copied("pipeline", tmp_path)
    edit(folder / "model_index.json", **changes)
    if with_program:
        program(folder / "evil.py", marker)
        program(folder / "unet" / "evil.py", marker)
    with pytest.raises(ModelError, match="is not loaded: it (names code of its own|holds the program evil.py)"):
        load_pipeline(folder)
    assert not marker.exists()


@pytest.mark.parametrize("place", ["evil.py", "deep/er/evil.PY", "deep/__pycache__/evil.cpython-311.pyc", "evil.so"])
def test_a_program_anywhere_in_a_pipeline_is_refused(tmp_path, marker, place):
    folder = copied("pipeline", tmp_path)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    program(folder / place, marker)
    with pytest.raises(ModelError, match="holds the program .*evil"):
        load_pipeline(folder)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["clip", "lm"])
def test_a_program_beside_a_single_model_is_never_run(tmp_path, marker, kind):
    folder = copied(kind, tmp_path)
    for place in ("train_script.py", "modeling.py", "custom_generate/generate.py"):  # published models hold such files
        (folder / place).parent.mkdir(exist_ok=True)
        program(folder / place, marker)
    LOADERS[kind](folder)
    assert not marker.exists()


def test_a_program_behind_a_link_is_refused_and_a_circle_of_links_ends(tmp_path, marker):
    folder = copied("pipeline", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    program(tmp_path / "elsewhere" / "evil.py", marker)
    (folder / "safety_checker").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="holds the program safety_checker/evil.py"):
        load_pipeline(folder)
    (folder / "safety_checker").unlink()
    for name in "abcd":
        (folder / name).symlink_to(folder)
    with pytest.raises(ModelError, match="holds more than 10,000 files|Too many levels of symbolic links"):
        load_pipeline(folder)


@pytest.mark.parametrize("kind", ["clip", "lm"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json"])
def test_a_config_that_names_code_is_refused_at_any_depth(tmp_path, kind, file):
    folder = copied(kind, tmp_path)
    edit(folder / file, deep={"er": [{"auto_map": {"AutoModel": "evil--evil.Evil"}}]})
    with pytest.raises(ModelError, match=f"names code of its own: auto_map in {file}"):
        LOADERS[kind](folder)


def test_an_encoder_with_code_or_an_adapter_is_refused(tmp_path, marker):
    folder = write_bert(tmp_path)
    load_encoder(folder, layer=1)
    edit(folder / "adapter_config.json", base_model_name_or_path="somebody/else")
    with pytest.raises(ModelError, match="is an adapter"):
        load_encoder(folder, layer=1)
    (folder / "adapter_config.json").unlink()
    program(folder / "modeling.py", marker)
    load_encoder(str(folder), layer=1)
    assert not marker.exists()
    edit(folder / "config.json", auto_map={"AutoModel": "modeling.Evil"})
    with pytest.raises(ModelError, match="names code of its own: auto_map in config.json"):
        load_encoder(str(folder), layer=1)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("kind", "weights", "pickled"),
    [
        ("clip", "model.safetensors", "pytorch_model.bin"),
        ("lm", "model.safetensors", "pytorch_model.bin"),
        ("pipeline", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
        ("pipeline", "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"),
    ],
)
def test_a_pickle_is_never_opened(tmp_path, marker, kind, weights, pickled):
    folder = copied(kind, tmp_path)
    (folder / weights).unlink()
    (folder / pickled).write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(ModelError, match="pickle|missing or damaged"):
        LOADERS[kind](folder)
    assert not marker.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_an_error_and_does_not_hang(tmp_path, file):
    folder = copied("clip", tmp_path)
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(ModelError, match=f"{file} is a pipe or a device"):
        load_clip(folder)
    (folder / file).unlink()
    (folder / file).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=f"{file} is a pipe or a device"):
        load_clip(folder)


@pytest.mark.parametrize("text", ["[" * 5000, '{"a": ' + "1" * 5000 + "}", "{", '"\\ud800', '{"a": NaN}'])
def test_a_config_that_cannot_be_read_is_named(tmp_path, text):
    folder = copied("lm", tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match="config.json is damaged"):
        load_lm(folder)


def test_the_models_that_come_with_the_package_pass():
    for kind in (*LOADERS, "clip_small"):
        check_folder(loading.FOLDER / kind)
