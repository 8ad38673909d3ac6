"""Signing in on the page, against the real rooms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from steelyard.parties import first_run
from steelyard.web.platform import SteelyardPlatform
from tests.conftest import Store
from tests.e2e.conftest import Opener, Watched
from tests.web.fixture import serve_platform

pytestmark = pytest.mark.browser


@dataclass
class House:
    url: str
    platform: SteelyardPlatform
    people: first_run.DemoPeople

    def code(self, name: str) -> str:
        platform = self.platform
        return first_run.current_code(platform.database, platform.keyring, platform.settings, name)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    with serve_platform(store, tmp_path) as (url, platform):
        people = first_run.create_demo_people(
            platform.database, platform.keyring, platform.settings
        )
        yield House(url, platform, people)


def fill(page: Page, *, name: str, password: str, code: str = "") -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("One-time code").fill(code)
    page.locator("form").get_by_role("button", name="Sign in").click()


def test_a_demo_person_signs_in_and_out(house: House, open_page: Opener, watched: Watched) -> None:
    watched.expected = ("401",)
    person = house.people.staff[0]
    page = open_page(house.url, "/sign-in")
    fill(page, name=person.user_name, password=person.password, code=house.code(person.user_name))
    expect(page.locator("#signed-in-as")).to_have_text(f"Signed in as {person.user_name}.")
    (cookie,) = (c for c in page.context.cookies() if c["name"] == "steelyard_session")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.reload()
    expect(page.locator("#signed-in-as")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("User name")).to_be_visible()
    assert not [c for c in page.context.cookies() if c["name"] == "steelyard_session"]


def test_what_is_wrong_is_said_and_nothing_is_told_away(
    house: House, open_page: Opener, watched: Watched
) -> None:
    watched.expected = ("401",)
    person = house.people.staff[0]
    page = open_page(house.url, "/sign-in")
    refused = page.locator("#refused")
    fill(page, name="", password="")
    expect(refused).to_contain_text("Enter your user name")
    expect(page.get_by_label("User name")).to_be_focused()
    said = []
    for name, password in ((person.user_name, "wrong"), ("nobody", "wrong")):
        fill(page, name=name, password=password, code="123456")
        expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
        expect(refused).not_to_contain_text("Enter your user name")
        said.append(refused.inner_text())
    assert said[0] == said[1], "whether a name exists is not told"
    fill(page, name=person.user_name, password=person.password)
    expect(refused).to_contain_text("one-time code")
    expect(page.get_by_label("One-time code")).to_be_focused()
    wrong = "000000" if house.code(person.user_name) != "000000" else "111111"
    fill(page, name=person.user_name, password=person.password, code=wrong)
    expect(refused).not_to_contain_text("Enter the one-time code")
    expect(page.locator("#signed-in")).to_be_hidden()


@pytest.mark.parametrize(
    ("to", "arrived"), [("/problems", "/problems"), ("//example.org/", "/sign-in")]
)
def test_the_way_back_leads_into_this_house_only(
    house: House, open_page: Opener, to: str, arrived: str
) -> None:
    person = house.people.staff[1]
    page = open_page(house.url, f"/sign-in?to={to}")
    fill(page, name=person.user_name, password=person.password, code=house.code(person.user_name))
    if arrived == "/sign-in":
        expect(page.locator("#signed-in-as")).to_be_visible()
    expect(page).to_have_url(re.compile(f"^{re.escape(house.url + arrived)}"))
