import contextlib
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors

from workbench import artifacts, files, locks
from workbench.values import ArtifactError, DamagedError

ROOT = Path(files.__file__).parents[1]


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


def interrupted(work, moment):
    """Press Ctrl-C at one bytecode instruction of `work`, also in contextlib; whether it came so far."""
    traced, left = {files.__file__, contextlib.__file__}, moment

    def trace(frame, event, _):
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: trace(frame, "call", None) if frame.f_code.co_filename in traced else None)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupt_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path, there):
    """Ctrl-C at each bytecode instruction in turn, also those of contextlib around the block."""
    old, new, seen = {"a.txt": "old", "b.txt": "old"} if there else None, {"a.txt": "new", "b.txt": "new"}, []
    for moment in range(1, 4000):
        folder = tmp_path / str(moment) / "folder"
        folder.parent.mkdir()
        if there:
            replace(folder, "old")
        if not interrupted(lambda folder=folder: replace(folder, "new"), moment):
            break
        seen.append(contents(folder))
        assert seen[-1] in (old, new), moment
    assert seen.count(old) > 50 and seen.count(new) > 5 and moment < 3999


def test_an_interrupt_stays_one_where_python_closes_a_folder_twice(tmp_path, monkeypatch):
    """`shutil.rmtree` of Python 3.11: Ctrl-C between the closing of a descriptor and the note that it is closed."""

    def rmtree(folder, ignore_errors):
        try:
            raise KeyboardInterrupt
        finally:
            os.close(10**6)

    monkeypatch.setattr(files.shutil, "rmtree", rmtree)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "folder", "new")
    assert contents(tmp_path / "folder") == {"a.txt": "new", "b.txt": "new"}


# ---- what cannot be read or written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 5000, "nested too deeply"),
        ('{"a":' * 5000, "nested too deeply"),
        ("1" * 5000, "4300 digits"),
        ("-" + "1" * 5000, "4300 digits"),
        ('{"a": [NaN]}', "number NaN"),
        ("-Infinity", "number -Infinity"),
        ("1e999", "number 1e999"),
        ("", "line 1, column 1"),
        ("\ufeff{}", "line 1, column 1"),
        ('{"a": 1}{', "line 1, column 9"),
        ("\0", "line 1, column 1"),
        ('"\x01"', "control character"),
    ],
    ids=range(12),
)
def test_json_that_is_no_json_or_no_number_is_damaged_and_named(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(DamagedError, match=f"x.json is damaged: .*{message}"):
        files.read_json(tmp_path / "x.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_only_plain_files_of_bounded_size_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "nowhere").symlink_to(tmp_path / "nobody")
    (tmp_path / "link").symlink_to(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": 1}')
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        server.bind("socket")
    for name in ("pipe", "zero", "socket"):
        with pytest.raises(ArtifactError, match=f"{name} is a pipe or a device"):
            files.read_json(tmp_path / name)
    for name in ("circle", "nowhere", "x.json/below", "n" * 300):
        with pytest.raises(ArtifactError, match="There is no file|Cannot read"):
            files.read_json(tmp_path / name)
    assert files.read_json(tmp_path / "link") == {"a": 1}
    with pytest.raises(ArtifactError, match="has 8 bytes, more than the 7 that"):
        files.read_json(tmp_path / "x.json", most=7)
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(ArtifactError, match="1,000,000,000,000 bytes, more than"):
        files.read_json(tmp_path / "huge.json")


DOORS = {
    "write_json": lambda place: files.write_json(place / "x.json", 1),
    "a folder": lambda place: replace(place / "x", "new"),
    "make_folder": lambda place: files.make_folder(place / "x"),
    "save": lambda place: artifacts.save(place / "x", "toy", {}, {}),
    "checkpoint": lambda place: artifacts.Checkpoint(place / "x", "toy", {}).save({}, {}),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_written_is_one_error_that_names_the_path(tmp_path, door):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "deep", tmp_path / ("n" * 300), *map(Path, ("/proc/x", "/dev/null/x"))):
        with pytest.raises(ArtifactError, match="(?s)Cannot write .*x.* Give"):
            DOORS[door](place)
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", ["EACCES", "EPERM", "EROFS", "EIO", "EFBIG", "ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("call", ["mkdir", "replace", "fsync"])
@pytest.mark.parametrize("door", ["write_json", "a folder", "save"])
def test_what_the_system_refuses_is_one_error_and_older_files_stay(tmp_path, monkeypatch, door, call, code):
    DOORS[door](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    if call == "fsync" and code in ("EACCES", "EPERM"):
        return  # it never says that

    def refuse(first, *more, **options):
        number = getattr(errno, code)
        raise OSError(number, os.strerror(number), *([] if call == "fsync" else [str(first)]))

    monkeypatch.setattr(os, call, refuse)
    try:
        DOORS[door](tmp_path)
    except ArtifactError as err:
        assert str(tmp_path) in str(err) and ("Cannot write" in str(err) or "disk is full" in str(err))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_that_may_not_be_that_large_is_an_error_of_ours(tmp_path):
    code = (
        "import resource, sys; from workbench import files; from workbench.values import ArtifactError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: files.write_json(sys.argv[1], 'x' * 100_000)\n"
        "except ArtifactError as err: print(err)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.json"], cwd=ROOT, capture_output=True, text=True)
    assert "Cannot write" in done.stdout and "x.json: File too large" in done.stdout and not names(tmp_path)


def test_devices_and_pipes_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(ArtifactError, match="no plain file"), files.atomic_path(path):
            pytest.fail("the block must not run")
    assert Path("/dev/null").is_char_device()


def test_a_link_to_a_file_stays_one(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "deep" / "real.json")
    for value in (1, 2):
        files.write_json(tmp_path / "link.json", value)
        assert (tmp_path / "link.json").is_symlink() and files.read_json(tmp_path / "deep" / "real.json") == value


@pytest.mark.parametrize("name", ["😀" * 60, "塔" * 80 + ".json", "a." + "b" * 240, "." + "c" * 250, "n" * 255])
def test_every_name_that_the_system_takes_can_be_written(tmp_path, name):
    files.write_json(tmp_path / name, 1)
    replace(tmp_path / "folder" / name, "new")
    assert names(tmp_path) == sorted(["folder", name]) and names(tmp_path / "folder") == [name]


# ---- leftovers and locks ----------------------------------------------------------------------------------------------------


def test_leftovers_of_the_dead_are_swept_and_nothing_of_the_living(tmp_path):
    code = (
        "import os, sys; from workbench import files\n"
        "a = files.atomic_path(sys.argv[1] + '/x.json'); a.__enter__()\n"
        "b = files.replacing_folder(sys.argv[1] + '/site'); (b.__enter__() / 'deep').mkdir()\n"
        "if sys.argv[2] == 'dies': os._exit(9)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    living = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path, "lives"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    living.stdout.readline()
    assert len(names(tmp_path)) == 2
    subprocess.run([sys.executable, "-c", code, tmp_path, "dies"], cwd=ROOT)
    assert len(names(tmp_path)) == 4
    foreign = [tmp_path / f".{name}.1-0123abcd.part.json" for name in ("old", "new")]
    mine = [tmp_path / name for name in (".x.part.json", ".a.1-2.part", ".12-01234567.part", "b.1-0123abcd.part", ".git")]
    for path in (*foreign, *mine):
        path.touch()
    os.utime(foreign[0], (0, 0))
    files.write_json(tmp_path / "x.json", 1)
    left = names(tmp_path)
    assert sum(f".{living.pid}-" in name for name in left) == 2
    assert {name for name in left if f".{living.pid}-" not in name} == {"x.json", *(p.name for p in (foreign[1], *mine))}
    living.communicate()
    assert living.returncode == 0
    replace(tmp_path / "site", "new")
    assert not any(f".{living.pid}-" in name for name in names(tmp_path))


def test_a_folder_whose_exchange_was_killed_is_put_back(tmp_path):
    replace(tmp_path / "site", "old")
    code = (
        "import os, sys; from workbench import files; real = os.replace\n"
        "def replace(*two): real(*two); os._exit(9)\n"
        "with files.replacing_folder(sys.argv[1]) as part: os.replace = replace"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "site"], cwd=ROOT)
    assert not (tmp_path / "site").exists() and len(names(tmp_path)) == 2
    files.write_json(tmp_path / "x.json", 1)
    assert names(tmp_path) == ["site", "x.json"] and contents(tmp_path / "site") == {"a.txt": "old", "b.txt": "old"}


LOCKED = (
    "import sys, time; from workbench import files, locks; locks._PATIENCE = 0.1\n"
    "with locks.locked(sys.argv[1], 'The cache'): print('in', flush=True); sys.stdin.read()"
)


def test_a_lock_lets_one_process_in_and_says_who_holds_it(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, "text": True}
    command = [sys.executable, "-c", LOCKED, tmp_path / ".lock"]
    holder = subprocess.Popen(command, **pipes)
    assert holder.stdout.readline() == "in\n"
    waiting = subprocess.Popen(command, **pipes)
    said = waiting.stderr.readline()
    assert f"The cache is in use by process {holder.pid}: waiting for it." in said
    holder.kill()  # a dead process holds nothing
    holder.communicate()
    assert waiting.stdout.readline() == "in\n"
    waiting.communicate()
    assert waiting.returncode == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lock_is_free_again_after_an_interrupt_at_any_moment(tmp_path, monkeypatch):
    """Ctrl-C at each bytecode instruction in turn: this very process never waits for itself."""

    def waited(seconds):
        raise AssertionError("the lock is still held")

    monkeypatch.setattr("workbench.locks.time.sleep", waited)

    def call(at):
        count = 0

        def trace(frame, event, arg):
            nonlocal count
            if "locks.py" not in frame.f_code.co_filename and "contextlib" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                count += 1
                if count == at:
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            with locks.locked(tmp_path / ".lock", "it"):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        return count

    for at in range(call(None) + 1):
        call(at)
        with locks.locked(tmp_path / ".lock", "it"):
            pass


def test_where_no_lock_can_be_made_nobody_waits(tmp_path):
    (tmp_path / "file").touch()
    with locks.locked(tmp_path / "file" / ".lock", "it"):
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("there", [False, True])
def test_an_interrupt_at_any_line_leaves_the_old_file_or_the_new_one(tmp_path, there):
    """Ctrl-C at each bytecode instruction in turn, as for folders."""

    def write(path, text):
        with files.atomic_path(path) as temporary:
            temporary.write_text(text)

    seen, path = [], tmp_path / "x.txt"
    for moment in range(1, 4000):
        write(path, "old") if there else path.unlink(missing_ok=True)
        if not interrupted(lambda: write(path, "new"), moment):
            break
        seen.append(path.read_text() if path.exists() else None)
        assert seen[-1] in ("old" if there else None, "new"), moment
    assert seen.count("new") > 5 and len(seen) > 100 and moment < 3999


def test_an_old_folder_goes_once_the_new_one_has_its_place(tmp_path):
    for name in ("site", f".site.{os.getpid()}-{files._HOST}-01234567.old", f".lost.{os.getpid()}-{files._HOST}-89abcdef.old"):
        (tmp_path / name).mkdir()
    files._IN_USE.update(("01234567", "89abcdef"))  # an interrupt came before they were crossed out
    try:
        files.sweep(tmp_path)
    finally:
        files._IN_USE.difference_update(("01234567", "89abcdef"))
    assert sorted(names(tmp_path)) == [f".lost.{os.getpid()}-{files._HOST}-89abcdef.old", "site"]
