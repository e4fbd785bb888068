"""Nothing a model asks for gets `guard.request` to this machine or its network, and nothing it gets back drowns us."""

from __future__ import annotations

import gzip
import itertools
import re
import ssl
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_web import Internet, Web, fake_internet, serving

from memagent import guard
from memagent.errors import ToolError

PUBLIC, ELSEWHERE = "93.184.216.34", "151.101.1.69"

# A key and a certificate for shop.example, made for these tests and good for nothing else.
SHOP = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFkKyC1XJ+bWhMrrH
lbZ46mqANeKexdxjBybzaPYoCEmhRANCAARBg7mz8sCKVvITsFGT5/U62Rv9VWZO
5qlGygmXKSjk25mbZmTzknK3B+WhPoqW3Y+lEDmowinzlz7xBQ+xVX89
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkjCCATigAwIBAgIUApPdSHA2Kc7eeZECqSlhfpAiILYwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGYSB0ZXN0MCAXDTI2MTEyMTAyNTIyMloYDzIxMjYxMDI4MDI1
MjIyWjARMQ8wDQYDVQQDDAZhIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AARBg7mz8sCKVvITsFGT5/U62Rv9VWZO5qlGygmXKSjk25mbZmTzknK3B+WhPoqW
3Y+lEDmowinzlz7xBQ+xVX89o2wwajAdBgNVHQ4EFgQU10v2R0rYavfTNCdW2Ho2
D3RGI/IwHwYDVR0jBBgwFoAU10v2R0rYavfTNCdW2Ho2D3RGI/IwDwYDVR0TAQH/
BAUwAwEB/zAXBgNVHREEEDAOggxzaG9wLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAw
RQIhAJ1g/nnDEi+YBUQ9jkCX9PaaZ7wpmiqRrgC5RU/YraXLAiBQnwfRM/GGcSNf
zIKXiOc4RKrBdjFikFPsl94XMVPNJw==
-----END CERTIFICATE-----
"""


@pytest.fixture
def net():
    with fake_internet() as internet:
        internet.names = {"shop.example": [[PUBLIC]], "other.example": [[ELSEWHERE]], "localhost": [["127.0.0.1"]]}
        yield internet


@pytest.fixture
def web(net: Internet):
    pages = {
        "/": (200, {"content-type": "text/plain"}, b"hello"),
        "/json": (200, {"content-type": "application/json"}, b'{"a": "\xc3\xa9"}'),
        "/none": (204, {}, b""),
        "/fails": (500, {"content-type": "text/plain"}, b"out of order"),
    }
    with serving(pages) as server:
        net.routes = {PUBLIC: server.port, ELSEWHERE: server.port}
        yield server


def to(location: str, status: int = 302):
    return status, {"location": location}, b""


# What is asked, and what comes back


def test_an_allowed_host_of_this_machine_is_asked(web: Web) -> None:
    answer = guard.request("get", f"{web.url}/json?q=a%20b", allowed_hosts=[web.host])
    assert (answer.status, answer.text, answer.note) == (200, '{"a": "é"}', "")
    assert answer.body == b'{"a": "\xc3\xa9"}'
    assert answer.headers["content-type"] == "application/json"
    (asked,) = web.asked
    assert (asked.method, asked.path, asked.headers["host"]) == ("GET", "/json?q=a%20b", web.host)


def test_a_header_of_the_caller_takes_the_place_of_ours(web: Web) -> None:
    seen: list[list[str]] = []
    web.pages["/"] = lambda asked: seen.append(asked.headers.get_all("user-agent"))
    with pytest.raises(ToolError):
        guard.request("GET", web.url, headers={"user-agent": "somebody"}, allowed_hosts=[web.host])
    assert seen == [["somebody"]]


def test_a_body_and_headers_are_sent(web: Web) -> None:
    guard.request("POST", web.url, headers={"X-One": "1"}, body=b"{}" * 100_000, allowed_hosts=["127.0.0.1"])
    (asked,) = web.asked
    assert (asked.method, asked.headers["x-one"], len(asked.body)) == ("POST", "1", 200_000)


def test_a_public_name_is_asked_by_its_name_at_the_address_that_was_checked(web: Web, net: Internet) -> None:
    assert guard.request("GET", "http://shop.example/").text == "hello"
    assert net.dialled == [PUBLIC]
    assert web.asked[0].headers["host"] == "shop.example"


def test_an_error_of_the_server_is_an_answer_too(web: Web) -> None:
    answer = guard.request("GET", f"{web.url}/fails", allowed_hosts=[web.host])
    assert (answer.status, answer.text) == (500, "out of order")
    assert guard.request("HEAD", web.url, allowed_hosts=[web.host]).text == ""
    assert guard.request("DELETE", f"{web.url}/none", allowed_hosts=[web.host]).status == 204


def test_a_dead_address_leaves_time_for_the_next(web: Web, net: Internet) -> None:
    net.names["two.example"] = [["2606:4700::6810:1", "93.184.216.99", PUBLIC]]
    assert guard.request("GET", "http://two.example/").text == "hello"
    assert net.dialled == ["2606:4700::6810:1", "93.184.216.99", PUBLIC]


def test_https_is_checked_against_the_name_although_an_address_is_connected_to(
    net: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "shop.pem"
    pem.write_text(SHOP)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    asked_for: list[str] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    tls.sni_callback = lambda sock, name, context: asked_for.append(name)
    with serving({"/": (200, {}, b"secret")}, tls) as server:
        net.routes = {PUBLIC: server.port, ELSEWHERE: server.port}
        assert guard.request("GET", "https://shop.example/").text == "secret"
        assert asked_for == ["shop.example"]
        assert server.asked[0].headers["host"] == "shop.example"
        with pytest.raises(ToolError, match=r"(?i)certificate"):
            guard.request("GET", "https://other.example/")
        assert len(server.asked) == 1


def test_proxies_of_the_environment_are_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        assert guard.request("GET", "http://shop.example/").text == "hello"
        assert proxy.asked == []


# What is refused

INSIDE = [
    "http://127.0.0.1/", "http://127.0.0.1:{port}/", "http://127.8.8.8/", "http://localhost/", "http://LOCALHOST:{port}/",
    "https://127.0.0.1/", "http://0.0.0.0:{port}/", "http://[::1]:{port}/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/",
    "http://10.0.0.1/", "http://10.255.255.255/", "http://172.16.0.1/", "http://172.31.9.9/", "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/", "http://100.100.100.200/", "http://100.64.0.1/",
    "http://168.63.129.16/", "http://192.0.0.192/", "http://[fd00:ec2::254]/", "http://metadata.example/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:169.254.169.254]/", "http://[::127.0.0.1]/",
    "http://[::ffff:8.8.8.8]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::a00:1]/", "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/",
    "http://[fc00::1]/", "http://[fec0::1]/", "http://[ff02::1]/", "http://[2001:db8::1]/", "http://224.0.0.1/",
    "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/", "http://192.88.99.1/", "http://198.18.0.1/",
    "http://inside.example/", "http://inside6.example/", "http://127.0.0.1.nip.example/", "http://several.example/",
    "http://127。0。0。1/",
]  # fmt: skip
MISSPELT = [
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://127.1/", "http://0/",
    "http://127.0.1/", "http://00000177.0.0.1/", "http://127.0.0.01/", "http://1.0x7f/", "http://0x/", "http://256.1.1.1/",
    "http://[::1/", "http://::1/", "http://[127.0.0.1]/", "http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/",
    "http://127.0.0.%31/", "http://%31%32%37.0.0.1/", "http://local%68ost/", "http://localhost./", "http://127.0.0.1./",
    "http://a@127.0.0.1/", "http://shop.example@127.0.0.1/", "http://shop.example:80@127.0.0.1/", "http://@shop.example/",
    "http://shop.example#@127.0.0.1/\\",
    "http://127.0.0.1\\@shop.example/", "http:\\\\127.0.0.1\\", "http:/\\127.0.0.1/",
    "http://shop.example\\.127.0.0.1/", "http://shop.example\t/", "http://shop.example\r\nHost: x/", "http://shop\0.example/",
    " http://shop.example/", "http://shop.example /", "http://shop.example/a b", "http://shop\u200b.example/",
    "http://\u202eexample.shop/", "file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://shop.example/",
    "dict://shop.example/", "data:text/plain,hi", "javascript:alert(1)", "jar:http://shop.example!/", "unix:///run/docker.sock",
    "http+unix://%2Frun/", "ws://shop.example/", "//shop.example/", "shop.example", "/etc/passwd", "", "http:", "http://",
    "http:///", "http://:80/", "http://?", "http://.", "http://-a.example/", "http://a..example/", "http://shop.example:0/",
    "http://shop.example:99999/", "http://shop.example:-1/", "http://shop.example:x/", "http://shop.example:80:80/",
    "http://[::1]x/", f"http://{'a' * 64}.example/", f"http://{'a.' * 200}example/",
    "http://shop.example/" + "a" * 70_000,
    "http://nobody.example/",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    """One server for the long tables."""
    with serving({}) as server:
        yield server


@pytest.fixture
def traps(net: Internet, shop: Web) -> Internet:
    net.routes = {PUBLIC: shop.port, ELSEWHERE: shop.port}
    net.names |= {
        "metadata.example": [["169.254.169.254"]],
        "inside.example": [["10.0.0.5"]],
        "inside6.example": [["fd12::1"]],
        "127.0.0.1.nip.example": [["127.0.0.1"]],
        "several.example": [["10.0.0.5", "127.0.0.1", "::1", "::ffff:127.0.0.1"]],
    }
    return net


@pytest.mark.parametrize("url", INSIDE + MISSPELT)
def test_nothing_but_plain_public_addresses_is_even_dialled(url: str, traps: Internet, shop: Web) -> None:
    with pytest.raises(ToolError) as refused:
        guard.request("GET", url.replace("{port}", str(shop.port)))
    assert traps.dialled == []
    assert refused.value.message


# What names no host is a path of the same one in a redirect, and some characters can't be sent in a header.
SENDABLE = [url for url in INSIDE + MISSPELT if re.match(r"[\w+]+:(//|\\)[^/?:]", url) and not re.search("[\r\0]", url)]


@pytest.mark.parametrize("url", SENDABLE)
def test_every_redirect_is_checked_like_a_url(url: str, traps: Internet, shop: Web) -> None:
    shop.pages["/trap"] = to(url.replace("{port}", str(shop.port)).encode().decode("latin-1"))
    with pytest.raises(ToolError, match=r"shop\.example was asked and redirects"):
        guard.request("GET", "http://shop.example/trap")
    assert traps.dialled == [PUBLIC]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET /x", "GET\r\nX: y", "", "get it"])
def test_other_methods_are_refused(method: str, web: Web, net: Internet) -> None:
    with pytest.raises(ToolError, match="There is no method"):
        guard.request(method, "http://shop.example/")
    assert net.dialled == []


PIECES = st.sampled_from(
    ["http://", "https:", "xn--", "é", "\ud800", "..", "\x00", "//", "/", "\\", "@", ":", "#", "?", "%", "[", "]", ".",
     "127.0.0.1", "::1", "localhost", "0x7f", "1", "shop.example", "80", "\n", " ", "。"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=8).map("".join) | st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
def test_whatever_the_text_it_is_an_error_for_the_model(net: Internet, text: str) -> None:
    net.names = {"*": [["127.0.0.1"]]}
    for url in (text, f"http://{text}"):
        with pytest.raises(ToolError):
            guard.request("GET", url)
    assert net.dialled == []


def test_a_name_that_changes_its_mind_after_the_check_changes_nothing(web: Web, net: Internet) -> None:
    net.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert guard.request("GET", "http://rebind.example/").text == "hello"
    assert (net.looked_up, net.dialled) == (["rebind.example"], [PUBLIC])

    net.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]

    def again(handler) -> None:
        """A redirect on a connection that the server would keep open for the next request."""
        handler.protocol_version, handler.close_connection = "HTTP/1.1", False
        handler.send_response(302)
        handler.send_header("location", "/")
        handler.send_header("content-length", "0")
        handler.end_headers()

    web.pages["/again"] = again
    with pytest.raises(ToolError, match="not on the public internet"):
        guard.request("GET", "http://rebind.example/again")
    assert net.dialled == [PUBLIC, PUBLIC]
    assert [asked.path for asked in web.asked] == ["/", "/again"]


def test_of_several_addresses_only_public_ones_are_tried(web: Web, net: Internet) -> None:
    net.names["mixed.example"] = [["127.0.0.1", "10.0.0.1", PUBLIC, "::1"]]
    assert guard.request("GET", "http://mixed.example/").text == "hello"
    assert net.dialled == [PUBLIC]


def test_a_public_address_of_this_very_machine_is_refused(
    web: Web, net: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "is_public", lambda address: True)
    with pytest.raises(ToolError, match="not on the public internet"):
        guard.request("GET", web.url)
    assert net.dialled == ["127.0.0.1"]
    assert web.asked == []


def test_an_allowed_host_is_meant_exactly(web: Web, net: Internet) -> None:
    net.names["sub.localhost"] = [["127.0.0.1"]]
    for allowed in [
        "localhost",
        f"127.0.0.1:{web.port + 1}",
        "127.0.0.",
        "0.0.1",
        "*",
        "",
        "http://127.0.0.1",
        web.url,
    ]:
        with pytest.raises(ToolError, match="not on the public internet"):
            guard.request("GET", web.url, allowed_hosts=[allowed])
    with pytest.raises(ToolError):
        guard.request("GET", f"http://sub.localhost:{web.port}", allowed_hosts=["localhost"])
    assert web.asked == []
    for allowed in ["localhost", f" LocalHost:{web.port} "]:
        guard.request("GET", f"http://localhost:{web.port}", allowed_hosts=[allowed])
    assert len(web.asked) == 2


@pytest.mark.parametrize("allowed", ["::1", "[::1]", "[::1]:8080"])
def test_an_allowed_ipv6_address_can_be_written_as_in_the_url_or_bare(allowed: str, net: Internet) -> None:
    with pytest.raises(ToolError, match="No connection"):
        guard.request("GET", "http://[::1]:8080/", allowed_hosts=[allowed])
    assert net.dialled == ["::1"]


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1", "100.128.0.1"]
)
def test_the_public_internet_is_public(address: str) -> None:
    assert guard.is_public(address)


# Redirects


def test_redirects_are_followed_as_browsers_do(web: Web) -> None:
    web.pages |= {"/see": to("/", 303), "/moved": to("/", 301), "/same": to("/echo", 307)}
    for path in ("/see", "/moved", "/same"):
        answer = guard.request("POST", f"http://shop.example{path}", body=b"{}")
        assert answer.url.startswith("http://shop.example/")
    assert [(a.method, a.path, a.body) for a in web.asked] == [
        ("POST", "/see", b"{}"), ("GET", "/", b""),
        ("POST", "/moved", b"{}"), ("GET", "/", b""),
        ("POST", "/same", b"{}"), ("POST", "/echo", b"{}"),
    ]  # fmt: skip


def test_no_header_of_the_caller_follows_to_another_host(web: Web) -> None:
    secret = {
        "Authorization": "Bearer x",
        "X-Api-Key": "x",
        "Cookie": "x",
        "Idempotency-Key": "k",
        "Content-Type": "a/b",
    }
    web.pages |= {"/here": to("/"), "/there": to("http://other.example/"), "/port": to("http://shop.example:81/")}
    for path in ("/here", "/there", "/port"):
        guard.request("GET", f"http://shop.example{path}", headers=secret)
    here, there, port = (set(asked.headers) for asked in web.asked if asked.path == "/")
    assert {name.lower() for name in secret} <= here
    for other in (there, port):
        assert other & {name.lower() for name in secret} == {"content-type"}
    assert [asked.headers["host"] for asked in web.asked if asked.path == "/"][1] == "other.example"


def test_a_redirect_may_lead_to_an_allowed_host(web: Web) -> None:
    web.pages["/in"] = to(web.url)
    assert guard.request("GET", "http://shop.example/in", allowed_hosts=[web.host]).text == "hello"


def test_redirects_end(web: Web) -> None:
    web.pages["/round"] = to("/round")
    with pytest.raises(ToolError, match="redirects: more than 5 times"):
        guard.request("GET", "http://shop.example/round")
    assert len(web.asked) == 6


# Too much, too slow, not text


def test_a_huge_answer_is_cut_and_the_server_is_hung_up_on(web: Web) -> None:
    def endless(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not web.closing.is_set():
            handler.wfile.write(b"x" * 65536)

    web.pages["/endless"] = endless
    answer = guard.request("GET", f"{web.url}/endless", allowed_hosts=[web.host], size_limit=100_000)
    assert (answer.text, answer.note) == ("x" * 100_000, "cut after 100000 bytes")
    assert web.gone.wait(10)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compression_bomb_is_unpacked_no_further_than_the_limit(web: Web, encoding: str) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(b"a" * 1_000_000) for _ in range(40)) + packer.flush()
    web.pages["/bomb"] = (200, {"content-encoding": encoding, "content-type": "text/html"}, bomb)
    tracemalloc.start()
    try:
        answer = guard.request("GET", f"{web.url}/bomb", allowed_hosts=[web.host], size_limit=10_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.text, answer.note) == ("a" * 10_000, "cut after 10000 bytes")
    assert peak < 10_000_000


def test_layers_of_compression_are_not_unpacked(web: Web) -> None:
    twice = gzip.compress(gzip.compress(b"a" * 1000))
    for encoding in ("gzip, gzip", "br", "compress", "x"):
        web.pages["/"] = (200, {"content-encoding": encoding}, twice)
        answer = guard.request("GET", web.url, allowed_hosts=[web.host])
        assert (answer.text, answer.note) == ("", "not shown: it is compressed in a way that can't be read")


def test_garbage_that_calls_itself_compressed_is_no_crash(web: Web) -> None:
    web.pages["/"] = (200, {"content-encoding": "gzip"}, b"not gzip at all")
    answer = guard.request("GET", web.url, allowed_hosts=[web.host])
    assert (answer.status, answer.text, answer.note) == (200, "", "incomplete: broken off")


def drip(web: Web, before: bytes = b""):
    """A server that sends a byte now and then, and never ends."""

    def page(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + before)
        while not web.closing.wait(0.02):
            handler.wfile.write(b"x")

    return page


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a request is a second later each time that it is looked at, however fast or slow the machine is."""
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=itertools.count().__next__))


@pytest.mark.usefixtures("counted")
def test_an_answer_that_never_ends_is_shown_as_far_as_it_came(web: Web) -> None:
    web.pages["/drip"] = drip(web, b"\r\nso far")
    answer = guard.request("POST", f"{web.url}/drip", allowed_hosts=[web.host], time_limit=50)
    assert answer.text.startswith("so far")
    assert answer.note == "incomplete: it took too long"


@pytest.mark.usefixtures("counted")
def test_headers_that_never_end_are_a_time_out(web: Web) -> None:
    web.pages["/drip"] = drip(web, b"x-long: ")
    with pytest.raises(ToolError, match=r"did not answer within 50 seconds\.$"):
        guard.request("GET", f"{web.url}/drip", allowed_hosts=[web.host], time_limit=50)
    with pytest.raises(ToolError, match="may have arrived all the same"):
        guard.request("POST", f"{web.url}/drip", allowed_hosts=[web.host], time_limit=50)


def test_a_name_that_takes_for_ever_to_look_up_is_a_time_out(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: web.closing.wait(20) and [])
    with pytest.raises(ToolError, match="did not answer within"):
        guard.request("GET", "http://shop.example/", time_limit=0.2)


def test_redirects_share_one_time_limit(web: Web) -> None:
    def slow(handler) -> None:
        web.closing.wait(0.15)
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nlocation: /slow\r\n\r\n")

    web.pages["/slow"] = slow
    with pytest.raises(ToolError, match="did not answer within"):
        guard.request("GET", f"{web.url}/slow", allowed_hosts=[web.host], time_limit=0.4)
    assert len(web.asked) < 6


def test_a_broken_answer_says_so(web: Web) -> None:
    web.pages |= {
        "/half": lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf"),
        "/ssh": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n"),
        "/mute": lambda handler: None,
    }
    half = guard.request("GET", f"{web.url}/half", allowed_hosts=[web.host])
    assert (half.text, half.note) == ("half", "incomplete: broken off")
    for path in ("/ssh", "/mute"):
        with pytest.raises(ToolError, match=r"broke off.*may have arrived"):
            guard.request("PUT", web.url + path, allowed_hosts=[web.host])


def test_no_connection_says_so_and_nothing_arrived() -> None:
    with serving({}) as closed:
        pass
    with pytest.raises(ToolError, match="No connection to") as failure:
        guard.request("POST", closed.url, allowed_hosts=[closed.host], time_limit=5)
    assert failure.value.hint == ""


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=latin-1", b"caf\xe9", "café"),
        ("text/plain; charset=UTF-16", "café".encode("utf-16"), "café"),
        ("text/html", b"caf\xe9", "caf\ufffd"),
        ("text/plain; charset=nonsense", "café".encode(), "café"),
        ("text/plain; charset=hex", b"6869", "6869"),
        ("text/plain; charset=undefined", b"hi", "hi"),
        ("text/plain; charset=idna", b"hi", "hi"),
        ("text/plain; charset=punycode", b"Mnchen-3ya", "Mnchen-3ya"),
        ("", "\ufeffcafé".encode(), "café"),
        ("application/octet-stream", b"only text after all", "only text after all"),
        ("application/octet-stream", b"\x89PNG\r\n\x1a\n\xff", None),
        ("application/pdf", b"%PDF-1.7 \xe2\xe3\xcf\xd3", None),
        ("application/zip", b"PK\x03\x04\x00", None),
        ("text/plain", b"PK\x03\x04\x00", None),
        ("image/png", b"tiny", None),
        ("video/mp4", b"tiny", None),
    ],
)
def test_text_is_decoded_as_declared_and_the_rest_is_not_shown(
    web: Web, kind: str, body: bytes, text: str | None
) -> None:
    web.pages["/"] = (200, {"content-type": kind}, body)
    answer = guard.request("GET", web.url, allowed_hosts=[web.host])
    assert answer.status == 200
    assert answer.text == (text or "")
    assert answer.note.startswith("not shown") == (text is None)


def test_a_letter_cut_in_half_is_left_out(web: Web) -> None:
    web.pages["/"] = (200, {"content-type": "application/json"}, "éé".encode())
    assert guard.request("GET", web.url, allowed_hosts=[web.host], size_limit=3).text == "é"
