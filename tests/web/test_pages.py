from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import httpx
import pytest

from steelyard.web.pages import pages

PAGES = ("/", "/sign-in", "/docs", "/problems", "/problems/not_entitled")
HTML = {"accept": "text/html"}
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


class Found(HTMLParser):
    """The tags of a page, with what could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if (tag == "script" and "src" not in found) or tag == "style" or "style" in found:
            self.inline.append(tag)
        self.inline += [name for name in found if name.startswith("on")]

    def links(self) -> list[str]:
        return [v for _, a in self.tags for k, v in a.items() if k in ("src", "href") and v]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_asks_nothing_of_strangers(toy_client: httpx.Client, path: str) -> None:
    for language, other in (("en", "zh-CN"), ("zh-CN", "en")):
        shown = toy_client.get(path, headers={**HTML, "accept-language": language})
        assert shown.status_code == 200
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert shown.headers["content-language"] == language
        assert "Accept-Language" in shown.headers["vary"]
        assert f'<html lang="{language}">' in shown.text
        assert f'data-language="{other}"' in shown.text
        assert "{{" not in shown.text
        page = Found(shown.text)
        assert page.inline == [], "the policy forbids what is written into the page"
        for link in page.links():
            assert link.startswith(("/", "#", "?")), link
            if link.startswith("/assets/"):
                assert toy_client.get(link).status_code == 200, link


def test_the_choice_of_the_reader_goes_before_that_of_the_browser(toy_client: httpx.Client) -> None:
    headers = {**HTML, "accept-language": "en", "cookie": "steelyard_language=zh-CN"}
    assert '<html lang="zh-CN">' in toy_client.get("/", headers=headers).text
    headers["cookie"] = "steelyard_language=<script>"
    assert '<html lang="en">' in toy_client.get("/", headers=headers).text


def test_assets_are_kept_for_ever_under_the_name_of_their_content(toy_client: httpx.Client) -> None:
    digest = pages().digest
    kept = toy_client.get(f"/assets/{digest}/live.js")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    old = toy_client.get("/assets/0123456789abcdef/live.js")
    assert old.status_code == 200, "a page of the release before goes on"
    assert old.headers["cache-control"] == "no-cache"
    for name in ("nothing.js", "..%2fframe.html", "%2e%2e%2f__init__.py"):
        assert toy_client.get(f"/assets/{digest}/{name}").status_code == 404


@pytest.mark.parametrize("name", [*SWAGGER, "steelyard.css"])
def test_assets_are_sent_compressed_to_who_takes_it(toy_client: httpx.Client, name: str) -> None:
    path = f"/assets/{pages().digest}/{name}"
    plain = toy_client.get(path, headers={"accept-encoding": "identity"})
    small = toy_client.get(path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content
    assert int(small.headers["content-length"]) < len(plain.content) / 2


def test_only_the_docs_may_have_styles_of_their_own(toy_client: httpx.Client) -> None:
    policies = {
        path: toy_client.get(path, headers=HTML).headers["content-security-policy"]
        for path in PAGES
    }
    docs = policies.pop("/docs")
    assert "style-src 'self' 'unsafe-inline'" in docs
    assert "script-src 'self';" in docs
    assert all("unsafe" not in policy for policy in policies.values())


def test_our_own_files_ask_nothing_of_strangers() -> None:
    for name, asset in pages().assets.items():
        if name in SWAGGER:
            continue
        text = asset.plain.decode()
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"')]*", text)
        assert set(found) <= {"http://www.w3.org/2000/svg"}, name
        assert "innerHTML" not in text, f"{name}: text is never taken for HTML"
        assert "eval(" not in text, name


def test_every_text_stands_in_both_languages_and_is_used() -> None:
    written = json.loads(pages().assets["texts.json"].plain)
    sources = "".join(pages().templates.values()) + "".join(
        asset.plain.decode()
        for name, asset in pages().assets.items()
        if name.endswith(".js") and name not in SWAGGER
    )
    built = ("state_", "kind_", "_rate", "notice_", "outcome_", "scene_", "application_")
    built += ("breaker_",)
    for key, both in written.items():
        assert set(both) == {"en", "zh-CN"}, key
        assert all(both.values()), key
        slots = [set(re.findall(r"\{(\w+)\}", text)) for text in both.values()]
        assert slots[0] == slots[1], key
        word = re.search(rf"\b{key}\b", sources)
        assert word or key.startswith(built) or key in ("own", "client", "debit", "credit"), key
    for slot in re.findall(r'\bt\("(\w+)"', sources):
        assert slot in written, slot


def test_a_refusal_is_shown_with_its_sentences_escaped(toy_client: httpx.Client) -> None:
    shown = toy_client.get("/problems/request_is_malformed", headers=HTML).text
    assert "The request is malformed at {where}: {what}." in shown
    assert "请求格式有误" in shown
    assert "<code>request_is_malformed</code>" in shown
    listed = toy_client.get("/problems", headers={**HTML, "accept-language": "zh"}).text
    assert listed.count("<tr>") > 100
    hostile = toy_client.get("/problems/<script>alert(1)<%2Fscript>", headers=HTML)
    assert hostile.status_code == 404
    assert hostile.headers["content-type"] == "application/problem+json"


# ---------------------------------------------------------------- for everybody


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme: int) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    sheet = pages().assets["steelyard.css"].plain.decode()
    root = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", root))
    for ground in ("paper", "card", "raised"):
        for ink in ("ink", "muted", "jade", "brass", "slate", "red"):
            light, dark = sorted((luminance(colours[ground]), luminance(colours[ink])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, ink)


@pytest.mark.parametrize("path", PAGES)
def test_every_field_is_labelled_and_every_picture_said(
    toy_client: httpx.Client, path: str
) -> None:
    tags = Found(toy_client.get(path, headers=HTML).text).tags
    labels = {found.get("for") for tag, found in tags if tag == "label"}
    for tag, found in tags:
        if tag == "input":
            assert found["id"] in labels
        if tag == "img":
            assert "alt" in found
        if tag == "svg":
            assert "aria-hidden" in found or found.get("role") == "img"
    ids = [found["id"] for _, found in tags if "id" in found]
    assert len(ids) == len(set(ids))
    for _, found in tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((found.get(name) or "").split()) <= set(ids)
