"""The server of the studio: who is let in, and how many kernels there are. No test here starts a kernel."""

import asyncio
import http.client
import shutil
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

pytest.importorskip("voila")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

STATIC = "/voila/static/voila-style.js"
KERNEL = "/api/kernels/00000000-0000-0000-0000-000000000000"
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a" * 22 + "=="}
# pages, static files, files, API, socket, goodbye, login, what is not there
DOORS = [
    ("GET", "/", {}),
    ("GET", STATIC, {}),
    ("GET", "/voila/templates/studio/static/x", {}),
    ("GET", "/voila/files/studio.ipynb", {}),
    ("GET", "/voila/api/themes/@jupyterlab/theme-light-extension/index.css", {}),
    ("GET", KERNEL, {}),
    ("DELETE", KERNEL, {}),
    ("GET", f"{KERNEL}/channels", SOCKET),
    ("POST", f"/voila/api/shutdown{KERNEL[12:]}", {}),
    ("GET", "/login", {}),
    ("HEAD", "/", {}),
    ("GET", "//", {}),
    ("GET", "/nothing", {}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Port and token of a studio as `make studio` serves it, and `ask`."""
    from browser_studio import serving_studio

    with serving_studio(tmp_path_factory.mktemp("server") / "voila.log") as address:
        port, token = urlsplit(address).port, address.partition("=")[2]
        own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}", "Cookie": f"studio-{port}={token}"}

        def ask(method, path, headers=(), **changes):
            """(status, headers, text) for a request of the studio's own page, with changed headers; None leaves one out."""
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**own, **dict(headers), **changes}.items():
                if value is not None:
                    link.putheader(name, *([value] if isinstance(value, (str, bytes)) else value))
            link.endheaders()
            answer = link.getresponse()
            text = "" if answer.status == 101 else answer.read().decode()
            link.close()
            return answer.status, dict(answer.getheaders()), text

        yield SimpleNamespace(port=port, token=token, ask=ask)


def hosts(port):
    """Values of Host that are not those of a studio at this port."""
    names = (
        "evil.example",
        "localhost.",
        "localhost.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "[::]",
        "::1",
        "[::1%lo]",
        "2130706433",
    )
    wrong_port = (f"localhost:{port + 1}", "localhost", "127.0.0.1", "localhost:", f"localhost:0{port}", f"user@localhost:{port}")
    return [f"{name}:{port}" for name in names] + [*wrong_port, "", f"localhost:{port},evil.example", "é", None]


@pytest.mark.parametrize(("method", "path", "headers"), DOORS)
def test_no_door_is_open_to_another_host_or_origin_or_without_the_token(server, method, path, headers):
    origins = (
        "http://evil.example",
        "null",
        "file://",
        f"https://localhost:{server.port}",
        f"http://localhost:{server.port + 1}",
    )
    cookies = (None, "", f"studio-{server.port}=", f"studio-{server.port}={server.token}x", f"studio-1={server.token}", '=;\0é;"')
    for host in (f"evil.example:{server.port}", f"localhost:{server.port + 1}"):
        assert server.ask(method, path, headers, Host=host, Origin=None)[0] == 403
        assert server.ask(method, path, headers, Host=host, Origin=f"http://{host}")[0] == 403
    for origin in (*origins, f"http://127.0.0.1:{server.port}"):
        assert server.ask(method, path, headers, Origin=origin)[0] == 403
    for cookie in cookies:
        assert server.ask(method, path, headers, Cookie=cookie)[0] in (403, 400)  # what is no header at all is not even read


def test_every_other_host_is_refused(server):
    for host in hosts(server.port):
        status = server.ask("GET", STATIC, Host=host, Origin=None)[0]
        assert status in (403, 400), host


def test_the_names_of_this_machine_are_served(server):
    for host in ("localhost", "127.0.0.1", "[::1]", "LocalHost"):
        whole = f"{host}:{server.port}"
        assert server.ask("GET", STATIC, Host=whole, Origin=f"http://{whole.lower()}")[0] == 200
        assert server.ask("GET", STATIC, Host=whole, Origin=None)[0] == 200
    assert server.ask("GET", KERNEL)[0] == 404  # the gate lets it pass: there is no such kernel
    assert server.ask("GET", f"{KERNEL}/channels", SOCKET)[0] == 404
    assert server.ask("POST", f"/voila/api/shutdown{KERNEL[12:]}")[0] == 404
    assert server.ask("POST", f"/voila/api/shutdown{KERNEL[12:]}", Origin=None)[0] == 403  # a browser says whose page posts


def test_the_printed_address_gives_a_cookie_and_leads_to_the_page(server):
    status, headers, _ = server.ask("GET", f"/?token={server.token}", Cookie=None, Origin=None)
    assert (status, headers["Location"]) == (302, "/")
    assert headers["Set-Cookie"] == f"studio-{server.port}={server.token}; HttpOnly; Path=/; SameSite=Lax"
    # with a cookie an old address does too, and none leads elsewhere
    for path in ("/?token=old", f"//evil.example/?token={server.token}", "/x?token"):
        status, headers, _ = server.ask("GET", path)
        assert (status, headers["Location"]) == (302, "/")


@pytest.mark.parametrize(
    "token", ["", "x", "%ff%fe", "%00", "%F0%9F%98%80", "'\"><script>", "a&token=b", "x" * 5000, "None", "*"]
)
def test_another_token_is_refused_in_words(server, token):
    status, headers, text = server.ask("GET", f"/?token={token}", Cookie=f"studio-{server.port}=of-a-studio-before")
    assert status == 403 and "Set-Cookie" not in headers and "the whole address that make studio printed" in text
    assert server.token not in text and "script" not in text
    # nor does the right one from elsewhere
    assert server.ask("GET", f"/?token={server.token}", Cookie=None, Host=f"evil.example:{server.port}", Origin=None)[0] == 403
    assert server.ask("POST", f"/?token={server.token}", Cookie=None)[0] == 403


# ---- kernels -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kernels(monkeypatch):
    """`Kernels` whose kernels are only records; `opens()` is a new page, `page.over` whether it is complete."""
    from workbench.show.widgets.app import serve

    base = serve.AsyncMappingKernelManager
    monkeypatch.setattr(serve, "_LOOKS", 2)
    long_ago = serve._now() - serve.timedelta(hours=1)

    async def start(self, *, kernel_id="spare", **_):
        await asyncio.sleep(0)
        self._kernels[kernel_id] = SimpleNamespace(last_activity=long_ago)
        self._kernel_connections[kernel_id] = 0
        return kernel_id

    async def shut(self, kernel_id, now=False, restart=False):
        await asyncio.sleep(0.01)
        del self._kernels[kernel_id], self._kernel_connections[kernel_id]

    monkeypatch.setattr(base, "start_kernel", start)
    monkeypatch.setattr(base, "shutdown_kernel", shut)
    made = serve.Kernels()

    async def opens(over=False, seen=False):
        page = SimpleNamespace(over=over)
        serve.CallContext.set(serve.CallContext.JUPYTER_HANDLER, page)
        kernel_id = await made.start_kernel()
        if seen:
            page.over = True
            made.notify_connect(kernel_id)
        return kernel_id

    return SimpleNamespace(made=made, opens=opens, serve=serve)


def test_there_are_four_kernels_at_most_and_pages_that_come_at_once_count(kernels):
    async def come():
        return await asyncio.gather(*(kernels.opens() for _ in range(7)), return_exceptions=True)

    found = asyncio.run(come())
    assert sorted(getattr(one, "status_code", 200) for one in found) == [200] * 4 + [503] * 3
    assert len(kernels.made.list_kernel_ids()) == 4 and not kernels.made._coming


def test_the_kernel_of_a_page_that_is_gone_makes_room_and_no_other_does(kernels):
    async def come():
        ids = [await kernels.opens(seen=True) for _ in range(4)]
        with pytest.raises(kernels.serve.HTTPError):
            await kernels.opens()
        kernels.made.notify_disconnect(ids[2])
        new = await kernels.opens()
        return ids, new

    ids, new = asyncio.run(come())
    assert set(kernels.made.list_kernel_ids()) == {ids[0], ids[1], ids[3], new}


def test_a_page_that_is_left_while_its_kernel_starts_ends_it(kernels):
    with pytest.raises(kernels.serve.HTTPError):
        asyncio.run(kernels.opens(over=True))
    assert not kernels.made.list_kernel_ids()


def test_the_first_page_takes_the_kernel_that_started_with_the_server(kernels):
    async def come():
        await kernels.made.warm()
        return [await kernels.opens(seen=True) for _ in range(4)]

    ids = asyncio.run(come())
    assert ids[0] == "spare" and "spare" not in ids[1:] and set(kernels.made.list_kernel_ids()) == set(ids)


def test_a_kernel_that_waited_too_long_is_no_loss(kernels):
    async def come():
        await kernels.made.warm()
        await kernels.made.shutdown_kernel("spare")  # as the cull of idle kernels does
        return await kernels.opens()

    assert asyncio.run(come()) != "spare" and len(kernels.made.list_kernel_ids()) == 1
