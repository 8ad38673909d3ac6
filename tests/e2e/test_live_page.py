"""The live page in a real browser, over a town whose clock is moved by hand."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from steelyard.base import Environment
from tests.e2e.conftest import Clock, Opener, Watched
from tests.web.fixture import BEARER, Town, compose, serve

pytestmark = pytest.mark.browser


def is_live(page: Page) -> None:
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def test_numbers_chart_and_table_come_alive(open_page: Opener, address: str, clock: Clock) -> None:
    page = open_page(address)
    is_live(page)
    expect(page.locator("#movements tr")).to_have_count(20)
    expect(page.locator("#balance")).to_have_text("0")
    expect(page.locator("#balance-aside")).to_have_text("debits = credits in 3 columns")
    expect(page.locator("#count-transfers")).to_have_text("1,800")
    expect(page.locator("#payments")).to_have_text("–", timeout=1)
    newest = page.locator("#movements tr").first
    before = newest.get_attribute("data-key")
    clock.now += 20
    expect(page.locator("#payments")).to_have_text("3")
    expect(page.locator("#payments-aside")).to_have_text("3/s over 20 s")
    expect(page.locator("#count-transfers")).to_have_text("1,860")
    expect(newest).not_to_have_attribute("data-key", before or "")
    expect(page.locator("#movements tr")).to_have_count(20)
    expect(page.locator("#speed")).to_have_text("×120")
    assert page.locator("#chart svg path.line").count() > 0
    assert page.locator("#chart svg rect.unknown").count() == 1, "the past was not observed"


def test_decisions_are_shown_with_their_reasons(
    open_page: Opener, address: str, clock: Clock
) -> None:
    page = open_page(address, locale="zh-CN")
    rows = page.locator("#decisions tr")
    expect(rows).to_have_count(10)
    expect(page.locator("#shares-said li").first).to_have_text("通过 92.4%")
    expect(page.locator("#shares span")).to_have_count(4)
    link = rows.first.locator("a")
    before = link.get_attribute("href") or ""
    assert re.fullmatch("/v1/decisions/[0-9a-f-]{36}", before)
    assert {"设备首次使用。"} <= set(page.locator("#decisions .reasons span").all_inner_texts())
    clock.now += 20
    expect(link).not_to_have_attribute("href", before)
    expect(rows).to_have_count(10)
    expect(page.locator("#decisions-aside")).to_contain_text("每秒 3 笔")


@pytest.mark.parametrize(
    ("locale", "title", "said"),
    [
        ("en-US", "Lending", ["signed 4", "with a person 1", "declined 2", "withdrawn, expired 1"]),
        ("zh-CN", "信贷", ["已签约 4", "人工审核 1", "已拒绝 2", "撤回或过期 1"]),
    ],
)
def test_what_is_lent_is_shown(
    open_page: Opener, address: str, locale: str, title: str, said: list[str]
) -> None:
    page = open_page(address, locale=locale)
    expect(page.locator("#credit-title")).to_have_text(title)
    expect(page.locator("#owed dd")).to_have_text(["300,541.48 CNY", "39", "4", "10.3%"])
    expect(page.locator("#applied-said li")).to_have_text(said)
    expect(page.locator("#applied span")).to_have_count(4)


@pytest.mark.parametrize(
    ("locale", "title", "states"),
    [
        ("en-US", "Payments", ["in use", "shut", "on trial"]),
        ("zh-CN", "支付", ["正常", "熔断", "试通"]),
    ],
)
def test_how_people_pay_is_shown(
    open_page: Opener, address: str, locale: str, title: str, states: list[str]
) -> None:
    page = open_page(address, locale=locale)
    expect(page.locator("#paying-title")).to_have_text(title)
    expect(page.locator("#paid dd")).to_have_text(["212", "94.8%", "3"])
    expect(page.locator("#channels li")).to_have_count(4)
    expect(page.locator("#channels .breaker")).to_have_text(states)
    expect(page.locator("#ties li")).to_contain_text(["2026-03-01 CNY"])


def test_money_has_the_decimals_of_its_currency(open_page: Opener, address: str) -> None:
    page = open_page(address)
    expect(page.locator("#movements tr")).to_have_count(20)
    shown = page.locator("#movements td[data-cell=amount]").all_inner_texts()
    places = {"CNY": r"[\d,]+\.\d{2} CNY", "JPY": r"[\d,]+ JPY", "KWD": r"[\d,]+\.\d{3} KWD"}
    assert {text[-3:] for text in shown} == set(places)
    for text in shown:
        assert re.fullmatch(places[text[-3:]], text.replace("\xa0", " ")), text


def test_the_language_follows_the_browser_and_the_choice_is_remembered(
    open_page: Opener, address: str
) -> None:
    page = open_page(address, locale="zh-CN")
    expect(page.locator("#state")).to_have_text("实时")
    expect(page.locator("h2").first).to_have_text("支付")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#state")).to_have_text("Live")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.goto(f"{address}/problems")
    expect(page.locator("h1")).to_contain_text("Refusals")


def test_a_movement_opens_its_entries_and_stands_in_the_address(
    open_page: Opener, address: str
) -> None:
    page = open_page(address)
    row = page.locator("#movements tr").nth(2)
    key = row.get_attribute("data-key") or ""
    amount = row.locator("[data-cell=amount] span").first.inner_text().split()[0]
    row.locator("[data-cell=from_account]").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_be_visible()
    expect(drawer.locator(".drawer-amount")).to_contain_text(amount)
    expect(drawer.locator(".entries tbody tr")).to_have_count(2)
    expect(drawer.locator(".entries tbody tr").first).to_contain_text("12,044.55")
    expect(page).to_have_url(re.compile(r"\?movement="))
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page).to_have_url(f"{address}/")
    page.go_back()
    expect(drawer).to_be_visible()
    page.go_forward()
    expect(drawer).to_be_hidden()
    page.goto(f"{address}/?movement={key}")
    expect(drawer.locator(".drawer-amount")).to_contain_text(amount)


def test_a_linked_movement_opens_from_the_drawer(open_page: Opener, address: str) -> None:
    page = open_page(address, "/?movement=client/0195556e-7a00-7cc3-98c4-000000000006")
    drawer = page.locator("#drawer")
    drawer.locator(".linked a").click()
    expect(page).to_have_url(re.compile(r"000000000005$"))
    expect(drawer.locator("dd code").first).to_have_text(re.compile(r"0005$"))
    page.go_back()
    expect(drawer.locator("dd code").first).to_have_text(re.compile(r"0006$"))


def test_an_unknown_movement_is_refused_in_words(
    open_page: Opener, watched: Watched, address: str
) -> None:
    watched.expected = ("404",)
    page = open_page(address, "/?movement=client/00000000-0000-0000-0000-000000000000")
    expect(page.locator("#drawer .notice")).to_contain_text("There is no movement")


def test_everything_is_reached_by_the_keyboard(open_page: Opener, address: str) -> None:
    page = open_page(address)
    is_live(page)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.locator("#movements tr a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    page.locator("#chart").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#chart-said")).to_contain_text("payments and")


def test_the_table_holds_still_under_the_pointer(
    open_page: Opener, address: str, clock: Clock
) -> None:
    page = open_page(address)
    is_live(page)
    first = page.locator("#movements tr").first
    before = first.get_attribute("data-key") or ""
    first.hover()
    clock.now += 5
    expect(page.locator("#count-transfers")).to_have_text("1,815")
    expect(page.locator("#movements-hint")).to_contain_text("Held")
    expect(first).to_have_attribute("data-key", before)
    page.locator("#clock").hover()
    expect(first).not_to_have_attribute("data-key", before)


def test_pause_stops_the_page_and_going_on_brings_what_was_missed(
    open_page: Opener, address: str, clock: Clock, town: Town
) -> None:
    page = open_page(address)
    is_live(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    clock.now += 3
    looked = town.looks
    assert httpx.get(f"{address}/v1/live/movements").status_code == 200
    expect(page.locator("#count-transfers")).to_have_text("1,800")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#count-transfers")).to_have_text("1,809")
    is_live(page)
    assert town.looks >= looked


def test_a_lost_connection_is_told_and_mended(
    open_page: Opener, watched: Watched, town: Town
) -> None:
    watched.expected = ("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "ERR_NETWORK")
    with serve(compose(town)) as address:
        page = open_page(address)
        is_live(page)
    expect(page.locator("#state")).to_have_attribute("data-state", "lost")
    expect(page.locator("#notice")).to_contain_text("The connection is lost")
    with serve(compose(town), port=int(address.rsplit(":", 1)[1])):
        is_live(page)
        expect(page.locator("#notice")).to_be_hidden()


def test_a_database_that_is_away_is_told(
    open_page: Opener, watched: Watched, address: str, town: Town
) -> None:
    watched.expected = ("503",)
    page = open_page(address)
    is_live(page)
    town.is_away = True
    expect(page.locator("#state")).to_have_attribute("data-state", "stale")
    expect(page.locator("#notice")).to_contain_text("cannot read the database")
    town.is_away = False
    is_live(page)


def test_an_empty_house_says_what_to_do(open_page: Opener, address: str, town: Town) -> None:
    town.is_empty = True
    page = open_page(address)
    is_live(page)
    expect(page.locator("#nothing")).to_be_visible()
    expect(page.locator("#balance-aside")).to_have_text("no books yet")
    expect(page.locator("#credit-card")).to_be_hidden()
    expect(page.locator("#paying-card")).to_be_hidden()
    expect(page.locator("#count-parties")).to_have_text("–")


def test_books_that_do_not_balance_are_seen_at_once(
    open_page: Opener, address: str, town: Town
) -> None:
    town.difference = 1
    page = open_page(address)
    expect(page.locator("#balance")).to_have_text("0.01")
    expect(page.locator("#balance-tile")).to_have_attribute("data-tone", "red")
    expect(page.locator("#beam")).to_have_attribute("transform", "rotate(-7 66 22)")
    expect(page.locator("#balance-aside")).to_contain_text("does not balance in client CNY")


def test_who_may_not_watch_is_led_to_the_sign_in(
    open_page: Opener, watched: Watched, town: Town
) -> None:
    watched.expected = ("401",)
    with serve(compose(town, environment=Environment.PRODUCTION)) as address:
        page = open_page(address)
        expect(page.locator("#state")).to_have_text("Not allowed")
        page.locator("#notice a").click()
        expect(page).to_have_url(f"{address}/sign-in?to=/")


def test_commands_are_copied(open_page: Opener, address: str) -> None:
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    is_live(page)
    button = page.locator("[data-copy]").first
    button.click()
    expect(button).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == ".venv/bin/steelyard import berka --sample"
    expect(button).to_have_text("Copy")


@pytest.mark.parametrize("path", ["/", "/sign-in", "/problems", "/problems/not_entitled"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_phone_needs_no_sideways_scrolling(
    open_page: Opener, address: str, path: str, locale: str
) -> None:
    page = open_page(
        address, path, viewport={"width": 360, "height": 780}, locale=locale, has_touch=True
    )
    if path == "/":
        expect(page.locator("#movements tr")).to_have_count(20)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


def test_dark_is_dark(open_page: Opener, address: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page = open_page(address, color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(n) for n in re.findall(r"\d+", colour)[:3]))
    assert shades[0] > 600
    assert shades[1] < 150


def test_the_docs_try_an_operation_out(open_page: Opener, address: str) -> None:
    page = open_page(address, "/docs")
    page.get_by_role("button", name="Authorize").first.click()
    field = page.locator(".auth-container", has_text="bearer").locator("input").first
    field.fill(BEARER.removeprefix("Bearer "))
    page.locator(".auth-container", has_text="bearer").get_by_role(
        "button", name="Apply credentials"
    ).first.click()
    page.get_by_role("button", name="Close").first.click()
    make = page.locator(".opblock-post", has_text="/v1/toys").first
    make.locator(".opblock-summary-control").click()
    make.get_by_role("button", name="Execute").click()
    expect(make.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
    expect(make.locator(".live-responses-table")).to_contain_text("amount_minor")
