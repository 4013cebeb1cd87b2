import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from workbench import artifacts, files
from workbench.values import ArtifactError

ROOT = Path(artifacts.__file__).parents[1]
CONFIG = {"k": 3, "names": ["subject", "مشهد", "😀"], "rate": 0.5, "none": None, "nested": {"a": [1, True]}}


def tensors(value=1.0):
    return {"vectors": np.full((3, 4), value, "float32"), "ids": np.array([5, 7, 9]), "empty": np.zeros((0, 2), "float16")}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(tmp_path):
    artifacts.save(tmp_path / "book", "codebook", CONFIG, tensors())
    return tmp_path / "book"


def edit_head(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def only_tensors(folder):
    (path,) = folder.glob("tensors-*.safetensors")
    return path


# --- round trip ---


def test_load_gives_back_the_config_and_equal_tensors_of_equal_type(saved):
    config, arrays = artifacts.load(saved, "codebook")
    assert config == CONFIG
    assert arrays.keys() == tensors().keys()
    for name, array in tensors().items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, "float32"),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.array([True, False]),
        np.array([1.5, 2.5], ">f4"),
    ],
    ids=["zero dimensions", "column order", "strided", "bool", "big-endian"],
)
def test_the_layout_of_an_array_in_memory_does_not_matter(tmp_path, array):
    artifacts.save(tmp_path / "x", "toy", {}, {"a": array})
    back = artifacts.load(tmp_path / "x", "toy")[1]["a"]
    assert back.shape == array.shape and np.array_equal(back, array)


def test_the_config_on_disk_says_format_kind_and_version(saved):
    head = json.loads((saved / "config.json").read_text("utf-8"))
    assert (head["format"], head["kind"], head["workbench"]) == (2, "codebook", artifacts.__version__)


def test_equal_saves_are_equal_bytes(saved, tmp_path):
    artifacts.save(tmp_path / "again", "codebook", CONFIG, dict(reversed(tensors().items())))
    assert names(saved) == names(tmp_path / "again")
    assert all((saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names(saved))


# --- saving over ---


def test_saving_over_an_older_save_leaves_only_the_new_one(saved):
    artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
    config, arrays = artifacts.load(saved, "codebook")
    assert config == {"k": 4} and arrays["vectors"][0, 0] == 2.0
    assert len(names(saved)) == 2


@pytest.mark.parametrize("failing", [0, 1], ids=["rename of the tensors", "rename of the config"])
def test_a_stop_in_the_middle_of_saving_over_leaves_the_old_save_loadable(saved, monkeypatch, failing):
    calls, real = [], os.replace

    def replace(source, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
    monkeypatch.undo()
    config, arrays = artifacts.load(saved, "codebook")
    assert config == CONFIG and arrays["vectors"][0, 0] == 1.0
    artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))  # and what was left over goes with the next save
    assert artifacts.load(saved, "codebook")[0] == {"k": 4} and len(names(saved)) == 2


def test_a_first_save_that_was_cut_off_is_named_as_such_and_can_be_repeated(saved):
    (saved / "config.json").unlink()
    with pytest.raises(ArtifactError, match="cut off before its end. Save again"):
        artifacts.load(saved, "codebook")
    artifacts.save(saved, "codebook", CONFIG, tensors())
    assert artifacts.load(saved, "codebook")[0] == CONFIG


def test_a_process_killed_while_saving_over_and_over_always_leaves_a_whole_save(saved):
    code = (
        "import sys, numpy as np; from workbench import artifacts\n"
        "for i in range(2, 100000):\n"
        "    artifacts.save(sys.argv[1], 'codebook', {'i': i}, {'x': np.full(50000, i)})\n"
        "    print(i, flush=True)"
    )
    for wait in (0.0, 0.003, 0.008):
        process = subprocess.Popen([sys.executable, "-c", code, str(saved)], stdout=subprocess.PIPE, cwd=ROOT)
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        config, arrays = artifacts.load(saved, "codebook")
        assert (arrays["x"] == config["i"]).all()


def test_what_a_killed_process_left_goes_with_the_next_save_and_nothing_else_does(saved):
    (saved / ".notes.part.json").touch()
    code = (
        "import os, sys; from workbench import files; blocks = [files.atomic_path(path) for path in sys.argv[1:]]\n"
        "for block in blocks: block.__enter__()\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, saved / "config.json", only_tensors(saved)], cwd=ROOT)
    with files.atomic_path(saved / "mine.json") as living:
        assert len(names(saved)) == 4  # the process that lives swept already
        artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
        assert names(saved) == sorted([".notes.part.json", living.name, "config.json", only_tensors(saved).name])


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"holds thesis.txt and no config.json of a 'codebook'. .* new or empty folder"):
        artifacts.save(tmp_path, "codebook", CONFIG, tensors())
    assert names(tmp_path) == ["thesis.txt"]


def test_a_config_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ArtifactError, match="Cannot save a 'codebook'.* nothing was changed.* not written by the workbench"):
        artifacts.save(tmp_path, "codebook", CONFIG, tensors())
    assert (tmp_path / "config.json").read_text() == '{"model_type": "bert"}' and names(tmp_path) == ["config.json"]


def test_a_save_of_another_kind_is_not_written_over(saved):
    before = (saved / "config.json").read_bytes()
    with pytest.raises(ArtifactError, match="holds a 'codebook', expected a 'dsl'. Give another folder"):
        artifacts.save(saved, "dsl", {}, {})
    assert (saved / "config.json").read_bytes() == before


def test_saving_to_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="it is a file. Give a folder"):
        artifacts.save(tmp_path / "file", "codebook", {}, {})
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("config", "arrays", "error", "text"),
    [
        ({"a": {"b": [np.int64(3)]}}, {}, TypeError, r"config\['a'\]\['b'\]\[0\] is a int64"),
        ({"a": np.float64(3)}, {}, TypeError, "is a float64"),
        ({3: "x"}, {}, TypeError, r"Only str keys can be saved, but config has the key 3 \(int\)"),
        ({"a": float("nan")}, {}, ValueError, r"config\['a'\] is nan"),
        ({}, {"a": [1, 2]}, TypeError, "Tensor 'a' is not a numpy array of bool, int or float, got list"),
        ({}, {"a": np.array(["x"])}, TypeError, "got dtype <U1"),
        ({}, {"a": np.array([object()])}, TypeError, "got dtype object"),
    ],
)
def test_what_cannot_be_saved_is_named_before_anything_is_written(tmp_path, config, arrays, error, text):
    with pytest.raises(error, match=text):
        artifacts.save(tmp_path / "x", "toy", config, arrays)
    assert not (tmp_path / "x").exists()


# --- damage ---


def test_loading_from_nowhere_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        artifacts.load(tmp_path / "nowhere", "codebook")


def test_loading_from_a_file_says_that_a_folder_is_expected(saved):
    with pytest.raises(ArtifactError, match="it is a file. Give the folder that was saved"):
        artifacts.load(only_tensors(saved), "codebook")


def test_a_folder_without_config_is_described(tmp_path):
    with pytest.raises(ArtifactError, match="It holds: nothing"):
        artifacts.load(tmp_path, "codebook")
    for number in range(7):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(ArtifactError, match="not a saved 'codebook'. It holds: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more"):
        artifacts.load(tmp_path, "codebook")


@pytest.mark.parametrize("name", ["model.pkl", "pytorch_model.bin", "weights.PT"])
def test_pickles_are_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(ArtifactError, match=rf"{name}. Such files can run any code .* never opened"):
        artifacts.load(tmp_path, "codebook")


def test_a_save_of_another_kind_is_not_loaded(saved):
    with pytest.raises(ArtifactError, match="holds a 'codebook', expected a 'writer'"):
        artifacts.load(saved, "writer")


def test_a_newer_format_asks_for_an_upgrade_whatever_else_changed(saved):
    edit_head(saved, format=3, workbench="9.1", kind="something new", sha256=None)
    with pytest.raises(ArtifactError, match=r"newer workbench \(9.1, format 3\); this one \(.*\) reads format 2. Upgrade"):
        artifacts.load(saved, "codebook")


@pytest.mark.parametrize("changes", [{"sha256": "../../etc/passwd"}, {"sha256": None}, {"bytes": "many"}, {"config": [1]}])
def test_a_config_that_does_not_name_its_tensors_is_damaged(saved, changes):
    edit_head(saved, **changes)
    with pytest.raises(ArtifactError, match="config.json is damaged: it does not name its tensors"):
        artifacts.load(saved, "codebook")


def test_a_damaged_config_gives_line_and_column(saved):
    (saved / "config.json").write_text('{\n "format": 1,\n "kind" "codebook"\n}')
    with pytest.raises(ArtifactError, match="config.json is damaged: .* at line 3, column 9"):
        artifacts.load(saved, "codebook")


def test_missing_tensors_are_named(saved):
    only_tensors(saved).unlink()
    with pytest.raises(ArtifactError, match=r"tensors-\w+.safetensors is missing"):
        artifacts.load(saved, "codebook")


@pytest.mark.parametrize("kept", [0, 5, 100])
def test_truncated_tensors_are_named_with_their_sizes(saved, kept):
    path = only_tensors(saved)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match=f"truncated: {kept} of {size} bytes"):
        artifacts.load(saved, "codebook")


def test_one_changed_bit_in_the_tensors_is_found(saved):
    path = only_tensors(saved)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged: its sha256 is not the one"):
        artifacts.load(saved, "codebook")


def test_tensors_of_another_save_are_found(saved, tmp_path):
    artifacts.save(tmp_path / "other", "codebook", CONFIG, tensors(2.0))
    only_tensors(saved).write_bytes(only_tensors(tmp_path / "other").read_bytes())
    with pytest.raises(ArtifactError, match="damaged: its sha256"):
        artifacts.load(saved, "codebook")


def test_bytes_that_are_no_safetensors_are_an_error_of_ours_even_with_a_right_sha256(saved):
    data = b"\x80\x04 not safetensors"
    digest = artifacts.hashlib.sha256(data).hexdigest()
    (saved / f"tensors-{digest[:16]}.safetensors").write_bytes(data)
    edit_head(saved, sha256=digest, bytes=len(data))
    head = json.loads((saved / "config.json").read_text("utf-8"))
    edit_head(saved, checksum=artifacts._checksum(head))
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        artifacts.load(saved, "codebook")


def test_any_changed_bit_in_the_config_is_found(saved):
    whole = (saved / "config.json").read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        (saved / "config.json").write_bytes(data)
        if json_equal(data, whole):  # a blank became a tab, say
            continue
        with pytest.raises(ArtifactError):
            artifacts.load(saved, "codebook")


def json_equal(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_an_older_format_is_refused_with_the_version_that_wrote_it(saved):
    edit_head(saved, format=1, workbench="0.1.0")
    with pytest.raises(ArtifactError, match=r"written by workbench 0.1.0 \(format 1\).* reads format 2 only. Make it anew"):
        artifacts.load(saved, "codebook")


def test_a_disk_that_fills_up_while_saving_over_keeps_the_old_save(saved, monkeypatch):
    before = {name: (saved / name).read_bytes() for name in names(saved)}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="The disk is full: .*safetensors could not be written"):
        artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
    assert {name: (saved / name).read_bytes() for name in names(saved)} == before


# --- two at once ---

WRITER = (
    "import sys, numpy as np; from workbench import artifacts\n"
    "for i in range(40):\n"
    "    artifacts.save(sys.argv[1], 'toy', {'who': sys.argv[2], 'i': i}, {'x': np.full(5000, int(sys.argv[2]) + i)})"
)


def test_of_two_processes_that_save_to_one_folder_the_last_wins_whole_and_a_reader_sees_whole_saves(tmp_path):
    folder = tmp_path / "toy"
    artifacts.save(folder, "toy", {"who": "0", "i": 0}, {"x": np.zeros(5000, int)})
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, folder, who], cwd=ROOT) for who in ("1000", "2000")]
    while any(process.poll() is None for process in processes):
        config, arrays = artifacts.load(folder, "toy")
        assert (arrays["x"] == int(config["who"]) + config["i"]).all()
    assert [process.returncode for process in processes] == [0, 0]
    assert artifacts.load(folder, "toy")[0]["i"] == 39 and len(names(folder)) == 2


def test_five_hundred_flipped_bits_are_all_named(saved):
    """Over both files; a flip may leave the JSON equal (a digit of an exponent's e), which then loads to equal values."""
    rng = np.random.default_rng(0)
    for path in (saved / "config.json", only_tensors(saved)):
        whole = path.read_bytes()
        for _ in range(250):
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes(data)
            with pytest.raises(ArtifactError):
                artifacts.load(saved, "codebook")
        path.write_bytes(whole)
    assert artifacts.load(saved, "codebook")[0] == CONFIG


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_tensors_and_config_that_are_no_plain_files_do_not_hang(saved):
    for path in (only_tensors(saved), saved / "config.json"):
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ArtifactError, match="is a pipe or a device"):
            artifacts.load(saved, "codebook")
        path.unlink()
        path.symlink_to("/dev/zero")
        with pytest.raises(ArtifactError, match="is a pipe or a device"):
            artifacts.load(saved, "codebook")
        path.unlink()
        path.write_bytes(data)


def test_a_checkpoint_under_a_valid_checksum_that_names_no_run_is_put_aside(tmp_path):
    artifacts.save(tmp_path / "part", "toy", {"state": {}}, {})
    with pytest.warns(UserWarning, match="does not say of which run.* is now .*part.damaged-1"):
        assert artifacts.Checkpoint(tmp_path / "part", "toy", {}).load() is None
