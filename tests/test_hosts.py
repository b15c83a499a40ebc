"""The token goes to the host that gave it, over TLS, and nowhere else: links, redirects, proxies and certificates."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from command_line import REPOSITORY, Desk
from connecting import TOKEN_CALL, Bench
from exact_road import DIVISION, road
from exact_source import odata
from exact_source.clock import ManualClock
from exact_source.errors import ConfigurationError, Maintenance, Unreadable
from exact_source.settings import load_settings
from recording_server import Recorder, recording
from strict_exact import Canned, StrictExact

ACCOUNTS = "sync/CRM/Accounts"
# {port} and {path} lead to the thief, {own} is the real host with its port.
AWAY = [
    "http://127.0.0.1:{port}{path}",
    "http://localhost:{port}{path}",
    "HTTP://127.0.0.1:{port}{path}",
    "//127.0.0.1:{port}{path}",
    "http://{own}@127.0.0.1:{port}{path}",
    "http://{own}:x@127.0.0.1:{port}{path}",
    "http://127.0.0.1:{port}\\@{own}{path}",
    "http://{own}\\@127.0.0.1:{port}{path}",
    "http:\\\\127.0.0.1:{port}{path}",
    "http:/\\127.0.0.1:{port}{path}",
    "http:////127.0.0.1:{port}{path}",
    "http:127.0.0.1:{port}{path}",
    "https://{own}{path}",
    "ftp://{own}{path}",
    "javascript:alert(1)",
    " http://127.0.0.1:{port}{path}",
    "\thttp://127.0.0.1:{port}{path}",
    "http://127.0.0.1:{port}\r\nX: y{path}",
    "ht\ntp://127.0.0.1:{port}{path}",
    "http://127.0.0.1.:{port}{path}",
    "http://{own}.127.0.0.1.nip.example{path}",
    "http://①②⑦.0.0.1:{port}{path}",
    "http://127。0。0。1:{port}{path}",
    "http://127.0.0.1%2f@{own}{path}",
    "http://2130706433:{port}{path}",
    "http://[::ffff:127.0.0.1]:{port}{path}",
    "http://[::1{path}",
    "http://{own}\x00@127.0.0.1:{port}{path}",
    "http://user:password@{own}{path}",
    "?{path}",
    "",
]


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


@pytest.fixture
def thief() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


def test_the_recorder_does_record(thief: Recorder) -> None:
    for host in ("127.0.0.1", "localhost"):
        reply = httpx.get(f"http://{host}:{thief.port}/x", headers={"Authorization": "Bearer z"}, trust_env=False)
        assert reply.json() == {"d": []}
    assert [b"Bearer z" in received for received in thief.received] == [True, True]


def away(thief: Recorder, base_url: str) -> list[str]:
    own = base_url.removeprefix("http://")
    return [link.format(port=thief.port, path="/api/v1/1/crm/Accounts", own=own) for link in AWAY]


def test_a_link_that_leads_away_is_never_followed(thief: Recorder) -> None:
    with road() as way:
        client = way.client()
        for link in away(thief, way.server.base_url):
            with pytest.raises(Unreadable, match="not followed"):
                client.get(link, bytes, division=DIVISION)
        assert client.calls == 0
    assert thief.received == []


def test_a_link_that_leads_away_is_not_followed_after_consent_either(tmp_path: Path, thief: Recorder) -> None:
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        bench = Bench(exact, tmp_path, clock)
        bench.connect()
        asked = len(exact.requests)
        with bench.authorizer() as authorizer:
            for link in away(thief, exact.base_url):
                with pytest.raises(ConfigurationError, match="leads away"):
                    authorizer.get(link)
        assert len(exact.requests) == asked
    assert thief.received == []


@pytest.mark.parametrize(
    "link",
    [
        "https://start.exactonline.nl/api/v1/1/crm/Accounts?$skiptoken=guid'0'",
        "HTTPS://START.exactonline.nl:443/x",
        "https://start.exactonline.nl?x",
        "https://start.exactonline.nl",
        "https://start.exactonline.nl/@evil.example/http://evil.example/",
    ],
)
def test_links_on_the_same_host_are_followed(link: str) -> None:
    assert odata.is_of(link, "https://start.exactonline.nl")


@pytest.mark.parametrize(
    "link",
    [
        "https://start.exactonline.nl@evil.example/",
        "https://start.exactonline.nl:443@evil.example/",
        "https://start.exactonline.nl.evil.example/",
        "https://start.exactonline.nl./",
        "https://start.exactonline.be/",
        "https://start.exactonline.nl:444/",
        "https://start.exactonline.nl:/",
        "https://start.exactonline.nl:99999/",
        "http://start.exactonline.nl/",
        "https://\uff53tart.exactonline.nl/",
        "https://start.exactonl\u0131ne.nl/",
        "https://evil.example\\@start.exactonline.nl/",
        "https://start.exactonline.nl\\.evil.example/",
        "https://start.exactonline.nl\u2044.evil.example/",
        "https://start.exactonline.nl\t/",
        "https:///start.exactonline.nl/",
        "//start.exactonline.nl/",
    ],
)
def test_what_only_looks_like_the_same_host_is_not(link: str) -> None:
    assert not odata.is_of(link, "https://start.exactonline.nl")


def test_a_run_whose_next_page_lies_elsewhere_ends_unreadable_and_says_so(desk: Desk, thief: Recorder) -> None:
    desk.connect()
    page = {"d": {"results": [], "__next": f"http://localhost:{thief.port}/api/v1/124132/{ACCOUNTS}?$skiptoken=1L"}}
    desk.exact.fail_next(9, ACCOUNTS, Canned(200, json.dumps(page), {"Content-Type": "application/json"}))
    done = desk.load("--entity", "accounts")
    assert done.exit_code == 7
    assert "links to another host" in done.stderr
    assert thief.received == []


def test_a_run_that_is_redirected_ends_unreadable_and_says_so(desk: Desk, thief: Recorder) -> None:
    desk.connect()
    location = {"Location": f"http://127.0.0.1:{thief.port}/api/v1/124132/{ACCOUNTS}"}
    desk.exact.fail_next(9, ACCOUNTS, Canned(307, "", location))
    done = desk.load("--entity", "accounts", "--division", "124132")
    assert done.exit_code == 7
    assert "was redirected" in done.stderr
    assert thief.received == []


def test_no_kind_of_redirect_is_followed(tmp_path: Path, thief: Recorder) -> None:
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        bench = Bench(exact, tmp_path, clock)
        bench.connect()
        for status in (301, 302, 303, 307, 308):
            there = Canned(status, "", {"Location": f"http://127.0.0.1:{thief.port}{TOKEN_CALL}"})
            exact.fail_next(1, "/current/Me", there)
            with bench.authorizer() as authorizer:
                assert authorizer.get("/api/v1/current/Me").status == status
            clock.advance(minutes=11)
            exact.fail_next(5, TOKEN_CALL, there)
            with pytest.raises(Maintenance):
                bench.access_token()
            bench.access_token()
    assert thief.received == []


def test_plain_http_to_this_machine_never_goes_through_a_proxy(desk: Desk, thief: Recorder) -> None:
    desk.connect()
    proxy = f"http://127.0.0.1:{thief.port}"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"), proxy)
    assert desk.load("--entity", "accounts", NO_PROXY="", no_proxy="", **proxies).exit_code == 0
    assert thief.received == []


@pytest.mark.parametrize("name", ["base_url", "redirect_uri"])
def test_plain_http_is_for_this_machine_only(name: str) -> None:
    for url in ("http://start.exactonline.nl", "http://127.0.0.1.example", "http://localhost.example"):
        with pytest.raises(ConfigurationError, match="must start with https"):
            load_settings("default", **{name: url})


@pytest.mark.parametrize(
    "url", ["https://a@start.exactonline.nl", "https://\uff53tart.exactonline.nl", "https://a%2eb"]
)
def test_a_host_that_can_be_read_in_two_ways_is_no_base_url(url: str) -> None:
    with pytest.raises(ConfigurationError):
        load_settings("default", base_url=url)


# TLS


class Silent(BaseHTTPRequestHandler):
    """An Exact that knows one call."""

    def do_GET(self) -> None:
        body = b'{"d":{"results":[]}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def certificate(folder: Path, host: str, days: int) -> Path:
    """A certificate that nobody signed but itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exact-source test")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    at = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - datetime.timedelta(days=3650))
        .not_valid_after(start + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([at]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{host}-{days}.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


class Served:
    """A TLS server with a certificate of its own making."""

    def __init__(self, path: Path) -> None:
        self._http = HTTPServer(("127.0.0.1", 0), Silent)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Served:
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


# One call to each URL, in a process with an environment of its own.
PROGRAM = """
import sys
from exact_source.client import Client
from exact_source.clock import ManualClock
from exact_source.errors import ExactError

class Tokens:
    def access_token(self):
        return "stampNL001.a token for the right host"

for url in sys.argv[1:]:
    client = Client(url, Tokens(), ManualClock())
    try:
        client.get("/api/v1/current/Me", bytes, division=None)
        print("answered")
    except ExactError as error:
        print(type(error).__name__)
    client.close()
"""


def asked(*urls: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *urls],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_certificate_is_always_verified_and_only_the_system_says_who_may_sign_it(tmp_path: Path) -> None:
    good = certificate(tmp_path, "127.0.0.1", 36_500)
    expired = certificate(tmp_path, "127.0.0.1", 1)
    other = certificate(tmp_path, "start.exactonline.nl", 36_500)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text("".join(path.read_text() for path in (good, expired, other)))
    with Served(good) as served, Served(expired) as stale, Served(other) as strange:
        urls = (served.url, stale.url, strange.url)
        turned_off = {"PYTHONHTTPSVERIFY": "0", "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": ""}
        assert asked(*urls, **turned_off) == ["Unreachable"] * 3
        assert asked(*urls, SSL_CERT_FILE=str(trusted)) == ["answered", "Unreachable", "Unreachable"]


def test_a_proxy_sees_the_name_of_the_host_and_nothing_else(thief: Recorder) -> None:
    proxy = f"http://127.0.0.1:{thief.port}"
    assert asked("https://start.exactonline.nl", HTTPS_PROXY=proxy) == ["Unreachable"]
    assert {received.splitlines()[0] for received in thief.received} == {b"CONNECT start.exactonline.nl:443 HTTP/1.1"}
    assert not [received for received in thief.received if b"token" in received or b"Bearer" in received]
