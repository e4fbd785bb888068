"""Web pages: read politely, from the public internet only, and not again when they have not changed."""

import gzip
import time

import pytest
from local_web import fake_internet, serving

from memagent.errors import NotFound, UserError
from memagent.sources import Unreadable
from memagent.sources.webpage import WebPages

HTML = {"content-type": "text/html; charset=utf-8"}
PUBLIC = "93.184.216.34"


def page(words):
    return f"<html><title>T</title><body><nav>menu</nav><p>{words}, and many more of them.</p></body></html>".encode()


@pytest.fixture
def web():
    pages = {
        "/a": (200, {**HTML, "etag": '"one"'}, page("Words")),
        "/b": (200, {**HTML, "last-modified": "Tue, 02 Jan 2024 10:00:00 GMT"}, page("Others")),
        "/plain": (200, {"content-type": "text/plain; charset=iso-8859-1"}, "Grüße".encode("latin-1")),
        "/cyrillic": (
            200,
            {"content-type": "text/html; charset=windows-1251"},
            page("Привет").decode().encode("cp1251"),
        ),
        "/image": (200, {"content-type": "image/png"}, b"\x89PNG"),
        "/moved": (301, {"location": "/a"}, b""),
    }
    with serving(pages) as server:
        yield server


@pytest.fixture
def reads(web):
    made = []

    def reads(*paths, **options):
        options = {"allowed_hosts": [web.host], "delay": 0.0, **options}
        made.append(WebPages([f"{web.url}{path}" for path in paths], **options))
        return list(made[-1].items())

    yield reads
    for reader in made:
        reader.close()


def text(item):
    return "\n".join(part.text for part in item.read().parts)


def test_pages_are_read_once_each(web, reads):
    one, other = reads("/a", "/b", "/a#part")
    assert (one.place, one.stamp, text(one)) == (f"{web.url}/a", 'etag "one"', "Words, and many more of them.")
    assert (other.stamp, text(other)) == ("modified Tue, 02 Jan 2024 10:00:00 GMT", "Others, and many more of them.")
    assert [asked.path for asked in web.asked] == ["/robots.txt", "/a", "/b"]
    assert web.asked[1].headers["user-agent"].startswith("memagent/")


@pytest.mark.parametrize(("path", "known", "header"), [
    ("/a", 'etag "one"', "if-none-match"),
    ("/b", "modified Tue, 02 Jan 2024 10:00:00 GMT", "if-modified-since"),
])  # fmt: skip
def test_a_page_that_has_not_changed_is_not_sent_again(web, reads, path, known, header):
    def unless_known(asked):
        status = 304 if asked.headers[header] else 200
        asked.send_response(status)
        asked.send_header("content-type", "text/html")
        asked.end_headers()
        if status == 200:
            asked.wfile.write(page("Words"))

    web.pages[path] = unless_known
    (item,) = reads(path, known={f"{web.url}{path}": known})
    assert item.stamp == known
    assert web.asked[-1].headers[header] == known.partition(" ")[2]
    assert "Words" in text(item)  # it can be read all the same


def test_the_server_says_in_which_letters_a_page_is(reads):
    plain, cyrillic = reads("/plain", "/cyrillic")
    assert text(plain) == "Grüße" and text(cyrillic).startswith("Привет")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/image", "is not text, but image/png"),
        ("/none", "the server answers 404"),
        ("/large", "larger than 20 MB"),
        ("/bomb", "larger than 20 MB"),
        ("/loop", "more than 5 times"),
        ("/inside", "not on the public internet"),
    ],
)
def test_what_can_t_be_read_says_why(web, reads, path, why):
    large = b"<p>" + b"x" * 21_000_000
    web.pages |= {
        "/large": (200, HTML, large),
        "/bomb": (200, {**HTML, "content-encoding": "gzip"}, gzip.compress(large, 1)),
        "/loop": (302, {"location": "/loop"}, b""),
        "/inside": (302, {"location": "http://10.0.0.1/"}, b""),
    }
    (item,) = reads(path)
    assert item.stamp == ""
    with pytest.raises(Unreadable, match=why):
        item.read()


def test_no_page_of_this_machine_is_asked_for_unless_its_host_is_allowed(web, reads):
    (item,) = reads("/a", allowed_hosts=[])
    with pytest.raises(Unreadable, match="not on the public internet"):
        item.read()
    assert web.asked == []


def test_a_redirect_is_followed(reads):
    (item,) = reads("/moved")
    assert "Words" in text(item) and item.place.endswith("/moved")


def test_robots_txt_is_obeyed(web, reads):
    web.pages["/robots.txt"] = (200, {"content-type": "text/plain"}, b"User-agent: *\nDisallow: /a\n")
    shut, moved, open_ = reads("/a", "/moved", "/b")
    for item in (shut, moved):
        with pytest.raises(Unreadable, match=r"robots\.txt does not allow"):
            item.read()
    assert "Others" in text(open_)
    assert [asked.path for asked in web.asked] == ["/robots.txt", "/moved", "/a", "/b"]  # /a: where /moved leads
    assert "Words" in text(reads("/a", robots=False)[0])


def test_a_site_whose_rules_can_t_be_had_is_left_alone(web, reads, monkeypatch):
    monkeypatch.setattr("memagent.sources.polite.TRIES", 1)
    web.pages["/robots.txt"] = (503, {}, b"")
    (item,) = reads("/a")
    with pytest.raises(Unreadable, match=r"robots\.txt can't be had"):
        item.read()


def test_a_server_is_asked_again_when_it_says_so(web, reads):
    answers = [(503, {"retry-after": "0"}, b""), (429, {}, b""), (200, HTML, page("At last"))]

    def busy(asked):
        status, headers, body = answers.pop(0)
        asked.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            asked.send_header(name, value)
        asked.end_headers()
        asked.wfile.write(body)

    web.pages["/busy"] = busy
    waits = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memagent.sources.polite.time.sleep", waits.append)
        (item,) = reads("/busy")
        assert "At last" in text(item)
    assert len(waits) == 2 and 0.5 < waits[0] < 1.1 and 1.5 < waits[1] < 2.1


def test_a_server_that_asks_for_too_much_patience_is_left(web, reads):
    web.pages["/busy"] = (429, {"retry-after": "3600"}, b"")
    (item,) = reads("/busy")
    with pytest.raises(Unreadable, match="429"):
        item.read()


def test_one_host_is_not_asked_too_often(web, reads):
    started = time.monotonic()
    for item in reads("/a", "/b", delay=0.15):
        item.read()
    assert time.monotonic() - started >= 0.3  # robots.txt was asked for too


def test_a_site_s_own_delay_is_kept(web, reads):
    web.pages["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 7\n")
    waits = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memagent.sources.polite.time.sleep", waits.append)
        for item in reads("/a", "/b"):
            item.read()
    assert 6 < waits[-1] <= 7


def sitemap(*entries, kind="urlset", each="url"):
    inner = "".join(
        f"<{each}><loc>{url}</loc>{f'<lastmod>{when}</lastmod>' if when else ''}</{each}>" for url, when in entries
    )
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inner}</{kind}>'.encode()


def test_a_site_s_map_names_its_pages(web, reads):
    maps = [(f"{web.url}/one.xml.gz", ""), (f"{web.url}/gone.xml", "")]
    pages = [(f"{web.url}/a", "2024-01-02"), ("https://other.example/x", ""), (f"{web.url}/b", "")]
    web.pages |= {
        "/index.xml": (200, {}, sitemap(*maps, kind="sitemapindex", each="sitemap")),
        "/one.xml.gz": (200, {"content-type": "application/gzip"}, gzip.compress(sitemap(*pages))),
    }
    one, other, gone = reads(sitemaps=[f"{web.url}/index.xml"])
    assert (one.place, one.stamp) == (f"{web.url}/a", "changed 2024-01-02")
    assert (other.place, other.stamp) == (f"{web.url}/b", "modified Tue, 02 Jan 2024 10:00:00 GMT")
    assert "Words" in text(one)
    assert gone.place.endswith("/gone.xml") and gone.broken == "can't be had: the server answers 404"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><urlset>&a;</urlset>', "document type"),
        (gzip.compress(b" " * 61_000_000, 1), "unpacks to more than 60 MB"),
        (gzip.compress(b"<urlset/>", mtime=0)[:9] + b"xxxx", "broken"),
        (b"<html></html>", "no map of a site"),
        (b"<urlset><url>", "broken XML"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_hostile_map_is_told_of(web, reads, data, why):
    web.pages["/map"] = (200, {"content-type": "application/octet-stream"}, data)
    (item,) = reads(sitemaps=[f"{web.url}/map"])
    with pytest.raises(Unreadable, match=why):
        item.read()


def test_maps_that_name_each_other_end(web, reads):
    web.pages |= {
        f"/{n}.xml": (200, {}, sitemap((f"{web.url}/{1 - n}.xml", ""), kind="sitemapindex", each="sitemap"))
        for n in (0, 1)
    }
    assert reads(sitemaps=[f"{web.url}/0.xml"]) == []


def test_addresses_in_a_file(web, tmp_path, reads):
    (tmp_path / "urls.txt").write_text(f"# mine\n{web.url}/a  the first\n\n{web.url}/b\n")
    assert [item.place for item in reads(files=[tmp_path / "urls.txt"])] == [f"{web.url}/a", f"{web.url}/b"]
    with pytest.raises(NotFound):
        reads(files=[tmp_path / "none.txt"])
    with pytest.raises(UserError):
        reads()


def test_an_address_without_its_beginning_is_https():
    with fake_internet() as net:
        net.names = {"shop.example": [[PUBLIC]]}
        reader = WebPages(["shop.example/x?token=1"], delay=0)
        (item,) = reader.items()
        assert item.place == "https://shop.example/x?token=1" and "token" not in reader.about
