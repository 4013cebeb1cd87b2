import contextlib
import errno
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors

from workbench import files
from workbench.values import ArtifactError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- json ---


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "ü😀\0\n"]}, [], "x", {"half": "\ud83d"}])
def test_json_round_trip(tmp_path, value):
    files.write_json(tmp_path / "new" / "x.json", value)
    assert files.read_json(tmp_path / "new" / "x.json") == value


def test_json_is_utf8_that_people_can_read(tmp_path):
    files.write_json(tmp_path / "x.json", {"name": "été"})
    assert "été" in (tmp_path / "x.json").read_text("utf-8")


def test_json_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(ArtifactError, match="There is no file .*x.json"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(ArtifactError, match="is a folder"):
        files.read_json(tmp_path)
    (tmp_path / "latin.json").write_bytes('{"é"'.encode("latin-1"))
    with pytest.raises(ArtifactError, match="byte 2 is not UTF-8"):
        files.read_json(tmp_path / "latin.json")
    (tmp_path / "cut.json").write_text('{"a": [1,\n')
    with pytest.raises(ArtifactError, match="at line 2, column 1"):
        files.read_json(tmp_path / "cut.json")


# --- atomic_path ---


def test_atomic_path_replaces_the_file_only_at_the_end(tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("old")
    with files.atomic_path(path) as temporary:
        np.save(temporary, np.arange(3))  # np.save appends .npy to names without it
        assert path.read_text() == "old" and temporary.parent == path.parent
    assert np.load(path).tolist() == [0, 1, 2] and names(tmp_path) == ["x.npy"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, PermissionError])
def test_an_error_keeps_the_old_file_removes_the_new_one_and_is_passed_on(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), files.atomic_path(path) as temporary:
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
    with pytest.raises(ArtifactError) as caught, files.atomic_path(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"x" * 1234)
        raise error
    assert names(tmp_path) == []
    text = str(caught.value)
    assert str(tmp_path / "x.bin") in text and "1,234 bytes were" in text and "bytes are free in" in text
    assert "Free some space or choose a folder on another disk" in text
    assert caught.value.__cause__ is error


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is a device of Linux")
def test_a_real_full_device_is_a_full_disk(tmp_path):
    with pytest.raises(ArtifactError, match="The disk is full"), files.atomic_path(tmp_path / "x.txt"):
        with open("/dev/full", "w") as file:
            file.write("x")
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_refused_before_the_work(tmp_path):
    with pytest.raises(ArtifactError, match="it is a folder"), files.atomic_path(tmp_path):
        pytest.fail("the block must not run")


def test_a_long_file_name_still_fits(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")
    files.write_json(path, 1)
    assert files.read_json(path) == 1


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path):
    with files.atomic_path(tmp_path / "x") as first, files.atomic_path(tmp_path / "x") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "x").read_text() == "1"


# ---- folders that are replaced as a whole -----------------------------------------------------------------------------------


def replace(folder, text):
    with files.replacing_folder(folder) as part:
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
    with pytest.raises(RuntimeError), files.replacing_folder(tmp_path / "folder") as part:
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
    traced = {files.__file__, contextlib.__file__}
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
        sys.settrace(lambda frame, *_: trace(frame, "call", None) if frame.f_code.co_filename in traced else None)
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


class InAnObject:
    def __fspath__(self):
        return "~/a.txt"


def test_a_path_is_a_str_or_a_path_and_its_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("~/a.txt", Path("~/a.txt"), f"{tmp_path}/a.txt", tmp_path / "a.txt", InAnObject(), Path("~") / "a.txt"):
        assert files.path(value) == tmp_path / "a.txt"
    assert files.path("~") == tmp_path
    for name in ("a/~/b", "a~", ".", "..", " a", "é.txt"):
        assert files.path(name) == Path(name)


@pytest.mark.parametrize("value", ["", "  ", None, b"out", 3, 3.0, True, ["out"], "a\0b", np.array(["out"])])
def test_what_is_no_path_is_named_before_any_work(value):
    with pytest.raises(ValueError, match="^folder must be a str or Path with something in it, such as 'out/dsl'; got "):
        files.path(value, "folder")


def test_a_tilde_of_nobody_is_said():
    with pytest.raises(ValueError, match=r"'~no_such_user_here/x', but there is no such user"):
        files.path("~no_such_user_here/x")
