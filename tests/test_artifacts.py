import contextlib
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
import safetensors

from workbench import artifacts
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
    (path,) = folder.glob("*.safetensors")
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
    blocks = [artifacts.atomic_path(path) for path in (saved / "config.json", only_tensors(saved))]
    for block in blocks:
        block.__enter__().touch()  # never left, as in a process that is killed
    assert len(names(saved)) == 5
    artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
    assert names(saved) == [".notes.part.json", "config.json", only_tensors(saved).name]


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


# --- json ---


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "ü😀\0\n"]}, [], "x", {"half": "\ud83d"}])
def test_json_round_trip(tmp_path, value):
    artifacts.write_json(tmp_path / "new" / "x.json", value)
    assert artifacts.read_json(tmp_path / "new" / "x.json") == value


def test_json_is_utf8_that_people_can_read(tmp_path):
    artifacts.write_json(tmp_path / "x.json", {"name": "été"})
    assert "été" in (tmp_path / "x.json").read_text("utf-8")


def test_json_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(ArtifactError, match="There is no file .*x.json"):
        artifacts.read_json(tmp_path / "x.json")
    with pytest.raises(ArtifactError, match="is a folder"):
        artifacts.read_json(tmp_path)
    (tmp_path / "latin.json").write_bytes('{"é"'.encode("latin-1"))
    with pytest.raises(ArtifactError, match="byte 2 is not UTF-8"):
        artifacts.read_json(tmp_path / "latin.json")
    (tmp_path / "cut.json").write_text('{"a": [1,\n')
    with pytest.raises(ArtifactError, match="at line 2, column 1"):
        artifacts.read_json(tmp_path / "cut.json")


# --- atomic_path ---


def test_atomic_path_replaces_the_file_only_at_the_end(tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("old")
    with artifacts.atomic_path(path) as temporary:
        np.save(temporary, np.arange(3))  # np.save appends .npy to names without it
        assert path.read_text() == "old" and temporary.parent == path.parent
    assert np.load(path).tolist() == [0, 1, 2] and names(tmp_path) == ["x.npy"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, PermissionError])
def test_an_error_keeps_the_old_file_removes_the_new_one_and_is_passed_on(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "no errno", "safetensors"],
)
def test_a_full_disk_is_reported_with_file_bytes_and_advice_and_leaves_nothing(tmp_path, error):
    with pytest.raises(ArtifactError) as caught, artifacts.atomic_path(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"x" * 1234)
        raise error
    assert names(tmp_path) == []
    text = str(caught.value)
    assert str(tmp_path / "x.bin") in text and "1,234 bytes were" in text and "bytes are free in" in text
    assert "Free some space or choose a folder on another disk" in text
    assert caught.value.__cause__ is error


def test_a_disk_that_fills_up_while_saving_over_keeps_the_old_save(saved, monkeypatch):
    before = {name: (saved / name).read_bytes() for name in names(saved)}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="The disk is full: .*safetensors could not be written"):
        artifacts.save(saved, "codebook", {"k": 4}, tensors(2.0))
    assert {name: (saved / name).read_bytes() for name in names(saved)} == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is a device of Linux")
def test_a_real_full_device_is_a_full_disk(tmp_path):
    with pytest.raises(ArtifactError, match="The disk is full"), artifacts.atomic_path(tmp_path / "x.txt"):
        with open("/dev/full", "w") as file:
            file.write("x")
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_refused_before_the_work(tmp_path):
    with pytest.raises(ArtifactError, match="it is a folder"), artifacts.atomic_path(tmp_path):
        pytest.fail("the block must not run")


def test_a_long_file_name_still_fits(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")
    artifacts.write_json(path, 1)
    assert artifacts.read_json(path) == 1


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path):
    with artifacts.atomic_path(tmp_path / "x") as first, artifacts.atomic_path(tmp_path / "x") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "x").read_text() == "1"


# ---- folders that are replaced as a whole -----------------------------------------------------------------------------------


def replace(folder, text):
    with artifacts.replacing_folder(folder) as part:
        (part / "a.txt").write_text(text)
        (part / "b.txt").write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None


def test_a_folder_is_made_and_then_replaced_with_all_that_is_in_it(tmp_path):
    folder = tmp_path / "deep" / "er" / "folder"
    replace(folder, "old")
    (folder / "more.txt").write_text("old")
    replace(folder, "new")
    assert contents(folder) == {"a.txt": "new", "b.txt": "new"} and names(folder.parent) == ["folder"]


def test_an_error_in_the_block_leaves_the_old_folder_and_no_litter(tmp_path):
    replace(tmp_path / "folder", "old")
    with pytest.raises(RuntimeError), artifacts.replacing_folder(tmp_path / "folder") as part:
        (part / "a.txt").write_text("new")
        raise RuntimeError
    assert contents(tmp_path / "folder") == {"a.txt": "old", "b.txt": "old"} and names(tmp_path) == ["folder"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    replace(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    replace(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "real")["a.txt"] == "new"


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(ArtifactError, match="Cannot write .*Give (the path of a|another) folder"):
            replace(path, "new")
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupt_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path, there):
    """Ctrl-C at each bytecode instruction in turn, also those of contextlib around the block."""
    files = {artifacts.__file__, contextlib.__file__}
    old, new, seen = {"a.txt": "old", "b.txt": "old"} if there else None, {"a.txt": "new", "b.txt": "new"}, []

    def interrupt_at(moment):
        def trace(frame, event, _):
            nonlocal left
            frame.f_trace_opcodes = True
            if event == "opcode":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        left = moment
        before = sys.gettrace()
        sys.settrace(lambda frame, *_: trace(frame, "call", None) if frame.f_code.co_filename in files else None)
        try:
            replace(folder, "new")
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    for moment in range(1, 2000):
        folder = tmp_path / str(moment) / "folder"
        folder.parent.mkdir()
        if there:
            replace(folder, "old")
        if not interrupt_at(moment):
            break
        seen.append(contents(folder))
        assert seen[-1] in (old, new), moment
    assert seen.count(old) > 50 and seen.count(new) > 5 and not interrupt_at(10**9)
