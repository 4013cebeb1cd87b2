"""Serve: the studio as a page on this machine, for who has its address. `make studio` runs this file by its path.

Voila answers to any Host and to anybody, and keeps a kernel for each page it was ever asked for. Here Host, Origin and a token
are checked before anything is answered, sockets and static files included, and there are a few kernels at most: that of a page
ends with the page. The first kernel starts with the server, and loads the language while the reader opens the page. The server
loads nothing of the package, so that it stays small: its kernels do.
"""

import asyncio
import hmac
import os
import secrets
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

from jupyter_server import CallContext
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.routing import Matcher, Rule
from tornado.web import HTTPError, RequestHandler
from traitlets import Bool, Integer, Unicode
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler

HERE = Path(__file__).resolve().parent
MOST = 4  # kernels, of about 700 MB each
_SOON = timedelta(seconds=15)  # between a page that is there and its socket
_WARM = "--InteractiveShellApp.exec_lines=from workbench.show.widgets import app; app.warm()"
_LOOKS = 12  # at a full house in 3 seconds: a page that is loaded again says goodbye at the same time
_NAMES = ("localhost", "127.0.0.1", "[::1]")
_PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><h1>{0}</h1><p>{1}</p></html>'


def _now():
    return datetime.now(timezone.utc)


class Kernels(AsyncMappingKernelManager):
    """The kernels of the pages that are open, `MOST` at most. One whose page is gone makes room, and ends within minutes."""

    cull_idle_timeout, cull_interval = Integer(120, config=True), Integer(15, config=True)  # seconds

    def __init__(self, **options):
        """Options of Voila."""
        super().__init__(**options)
        self._coming, self._going = set(), set()  # ids of kernels that are started or ended just now
        self._spare = None  # id of a kernel that no page has yet

    async def warm(self):
        """Start the kernel of the first page. If nobody opens a page, it ends as one whose page is gone."""
        spare = await super().start_kernel(kernel_name="python3", path=str(HERE), extra_arguments=[_WARM])
        kernel = self.get_kernel(spare)
        kernel.page, kernel.was_seen, self._spare = None, True, spare

    async def start_kernel(self, **options):
        """Start the kernel of a page and return its id; HTTPError 503 when there are too many."""
        page, kernel_id = CallContext.get(CallContext.JUPYTER_HANDLER), self._take_spare() or str(uuid4())
        self._coming.add(kernel_id)  # before the first wait: pages that come at once count too
        try:
            if kernel_id not in self:
                await self._make_room()
                await super().start_kernel(kernel_id=kernel_id, **options)
            kernel = self.get_kernel(kernel_id)
            kernel.page, kernel.was_seen = page, False
        finally:
            self._coming.discard(kernel_id)
        if page.over:
            await self.shutdown_kernel(kernel_id, now=True)
            raise HTTPError(503)
        return kernel_id

    async def shutdown_kernel(self, kernel_id, now=False, restart=False):
        """End a kernel, once."""
        if kernel_id not in self._going:
            self._going.add(kernel_id)
            try:
                await super().shutdown_kernel(kernel_id, now=now, restart=restart)
            finally:
                self._going.discard(kernel_id)

    def notify_connect(self, kernel_id):
        """A page has opened its socket."""
        super().notify_connect(kernel_id)
        self.get_kernel(kernel_id).was_seen = True

    def notify_disconnect(self, kernel_id):
        """A page is gone: time runs from now."""
        super().notify_disconnect(kernel_id)
        if kernel_id in self:
            self.get_kernel(kernel_id).last_activity = _now()

    def _take_spare(self):
        spare, self._spare = self._spare, None
        return spare if spare in self and spare not in self._going else None

    async def _make_room(self):
        for _ in range(_LOOKS):
            there = set(self.list_kernel_ids()) - self._going
            if len(there | self._coming) <= MOST:
                return
            left = [(self.get_kernel(one).last_activity, one) for one in there - self._coming if self._is_left(one)]
            if left:
                IOLoop.current().add_callback(self.shutdown_kernel, min(left)[1], now=True)
            await asyncio.sleep(0.25)
        raise HTTPError(503)

    def _is_left(self, kernel_id):
        """Whether nobody looks at the page of a kernel any more."""
        kernel = self.get_kernel(kernel_id)
        waits = timedelta(0) if kernel.was_seen else _SOON
        over = kernel.page is None or kernel.page.over
        return over and not self._kernel_connections.get(kernel_id) and _now() - kernel.last_activity > waits


class Page(TornadoVoilaHandler):
    """The page of the studio."""

    over = False  # whether it is complete, or was left before

    def on_finish(self):
        """The page is complete: its socket comes next."""
        self.over = True
        super().on_finish()

    def on_connection_close(self):
        """The reader left while the page was made."""
        self.over = True
        super().on_connection_close()
        kernels = self.kernel_manager
        for one in kernels.list_kernel_ids():
            if getattr(kernels.get_kernel(one), "page", None) is self:
                IOLoop.current().add_callback(kernels.shutdown_kernel, one, now=True)

    def write_error(self, status_code, **_):
        """Say in words why there is no page."""
        many = f"This studio has {MOST} windows at most, as each takes about 700 MB. Close one, then load this page again."
        said = ("Too many windows are open", many) if status_code == 503 else (f"Error {status_code}", "The studio is at /.")
        self.finish(_PAGE.format(*said))


class Gate(RequestHandler):
    """What a request gets that `Studio.admits` does not: a cookie and the page if its token is right, otherwise 403."""

    def initialize(self, server):
        """`server` is the `Studio`."""
        self.server = server

    def prepare(self):
        """Answer; nothing else is done."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        server, given = self.server, self.request.query_arguments.get("token", [b""])[-1]
        right = hmac.compare_digest(given, server.own_token.encode()) or server.has_cookie(self.request)
        if server.is_local(self.request) and self.request.method == "GET" and right:
            self.set_cookie(server.cookie, server.own_token, path="/", httponly=True, samesite="Lax")
            self.redirect(server.base_url)
            return
        said = (
            "Open the whole address that make studio printed when it started, on the same machine and with the same port: "
            f"http://localhost:{server.port}{server.base_url}?token=… It holds until that studio ends: each one has a new token."
        )
        self.set_status(403)
        self.finish(_PAGE.format("This studio is for who started it", said))


class _Stopped(Matcher):
    def __init__(self, server):
        self.server = server

    def match(self, request):
        return None if self.server.admits(request) and "token" not in request.query_arguments else {}


class Studio(Voila):
    """Voila with the notebook of the studio, for one user of this machine."""

    ip, open_browser, port_retries = Unicode("localhost", config=True), Bool(False, config=True), Integer(0, config=True)
    cookie = property(lambda self: f"studio-{self.port}", doc="Cookies do not know of ports: each studio has its own.")

    def initialize(self, argv=None):
        """Make the token of this run. `Voila.token` is another matter: it would ask for a login."""
        super().initialize(argv)
        self.own_token = secrets.token_urlsafe(24)
        self.voila_configuration.multi_kernel_manager_class = Kernels

    @property
    def display_url(self):
        """The address to open, with the token."""
        return f"http://localhost:{self.port}{self.base_url}?token={self.own_token}"

    def is_local(self, request):
        """Whether a request was sent to this studio by its name, and by no page of another origin."""
        host, port = request.headers.get("Host", "").lower(), "" if self.port == 80 else f":{self.port}"
        reads = request.method in ("GET", "HEAD")  # browsers give the origin of all else
        origin = request.headers.get("Origin", f"http://{host}" if reads else None)
        return host in {name + port for name in _NAMES} and origin == f"http://{host}"

    def has_cookie(self, request):
        """Whether a request has the cookie that the right token gave."""
        cookie = request.cookies.get(self.cookie)
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.own_token.encode())

    def admits(self, request):
        """Whether a request is answered."""
        return self.is_local(request) and self.has_cookie(request)

    def listen(self):
        """Serve; the first kernel starts at once."""
        IOLoop.current().add_callback(self.kernel_manager.warm)
        super().listen()

    def init_settings(self):
        """Voila's settings. Its page says goodbye without the argument of Jupyter's own check; the gate has seen its origin."""
        return {**super().init_settings(), "disable_check_xsrf": True}

    def init_handlers(self):
        """Voila's handlers behind the gate."""
        rules = [(rule[0], Page, *rule[2:]) if rule[1] is TornadoVoilaHandler else rule for rule in super().init_handlers()]
        return [Rule(_Stopped(self), Gate, {"server": self}), *rules]


if __name__ == "__main__":
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (str(HERE / "share"), os.environ.get("JUPYTER_PATH"))))
    Studio.launch_instance([str(HERE / "studio.ipynb"), "--template=studio", "--strip_sources=True", *sys.argv[1:]])
