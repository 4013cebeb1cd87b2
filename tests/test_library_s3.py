"""The library on object storage: the same code with an address, against a server that speaks S3 (moto, a package of its own).

Its requirements would pull other versions of what is here, so it is not in the extra `test`: install it anywhere, and say where:
WORKBENCH_MOTO=path/to/moto_server.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest
from test_library import START, card, names, sketch, some

from workbench import library
from workbench.values import ArtifactError, LibraryError

MOTO = os.environ.get("WORKBENCH_MOTO") or shutil.which("moto_server")
KEYS = {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
needs_moto = pytest.mark.skipif(MOTO is None, reason="needs moto_server: pip install moto flask flask-cors py-partiql-parser")


@pytest.fixture(scope="module")
def server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/shelves", method="PUT"))
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def bucket(server, monkeypatch):
    for name, value in (KEYS | {"AWS_ENDPOINT": server}).items():
        monkeypatch.setenv(name, value)
    return "s3://shelves"


@needs_moto
def test_a_library_on_object_storage_answers_as_one_in_a_folder(bucket, tmp_path):
    there, here = (library.Library.open(place, "anna") for place in (f"{bucket}/mine", tmp_path / "mine"))
    for shelf in (there, here):
        items = [(some(i), card(f"task {i}", access="restricted" if i == 3 else "free"), sketch(i), None) for i in range(8)]
        shelf.add_many(items)
        shelf.add(some(80), card("task 0"), sketch(80), rows=None)
        shelf.remove("task 5")
    for by in ("prompt", "gradient"):
        query = some(1) if by == "prompt" else sketch(1)
        found, wanted = (shelf.search(query, 5, by=by, start=START) for shelf in (there, here))
        assert names(found) == names(wanted) and [hit.score for hit in found] == [hit.score for hit in wanted]
    ben = library.Library.open(f"{bucket}/mine/", "ben")  # another process would see the same
    assert len(ben) == len(here.as_user("ben")) == 6 and len(there) == 7
    assert (ben.get("task 1").vectors == some(1).vectors).all()
    with pytest.raises(LibraryError, match="no entry 'task 3'"):
        ben.get("task 3")
    with pytest.raises(LibraryError, match="An exact copy is not added"):
        there.add(some(1), card("copy"), sketch(1))


@needs_moto
def test_writers_of_one_machine_take_turns_there_too(bucket):
    from concurrent.futures import ThreadPoolExecutor

    library.Library.open(f"{bucket}/turns", "anna")
    with ThreadPoolExecutor(4) as pool:
        add = lambda i: library.Library.open(f"{bucket}/turns", "anna").add(some(i), card("one name"), sketch(i)).version  # noqa: E731
        assert sorted(pool.map(add, range(6))) == [1, 2, 3, 4, 5, 6]


@needs_moto
def test_tables_of_somebody_else_and_a_bucket_that_is_not_there_are_refused(bucket):
    import lancedb

    lancedb.connect(f"{bucket}/other").create_table("cars", [{"wheels": 4}])
    with pytest.raises(ArtifactError, match="holds tables and is no library of prompts"):
        library.Library.open(f"{bucket}/other")
    with pytest.raises(ArtifactError, match="cannot be reached: .*The bucket must exist.*AWS_ENDPOINT"):
        library.Library.open("s3://nowhere/mine")


@pytest.mark.parametrize("address", ["ftp://a/b", "s3:///a", "s3://", "s3://bucket/../x y", "http://s3/bucket"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="s3://bucket/path"):
        library.Library.open(address)
