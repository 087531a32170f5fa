from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opinion.errors import ConfigError
from opinion.settings import Feed, load_settings
from scrapers.default_feeds import FILE, default_feeds, expanded
from scrapers.scrape import named
from scrapers.source import all_sources, fitted
from scrapers.urls import canonical_url

WITHOUT_TLS = {"www.people.com.cn", "www.xinhuanet.com", "www.prnasia.com", "www.chinadaily.com.cn"}
"""Known under http only: their feeds are as old as that."""
LANGUAGES = {"en", "zh-Hans", "zh-Hant"}
FEEDS = [feed for feed in default_feeds() if feed.source == "feed"]
ADAPTED = [feed for feed in default_feeds() if feed.source != "feed"]
FIELDS = {"name", "url", "kind", "lang", "publisher", "interval_s"}


def test_there_are_many_in_both_languages() -> None:
    spoken = Counter(feed.lang for feed in default_feeds())
    assert spoken.total() >= 40
    assert set(spoken) == LANGUAGES
    assert spoken["en"] >= 15
    assert spoken["zh-Hans"] + spoken["zh-Hant"] >= 15
    assert min(spoken.values()) >= 10


def test_none_is_there_twice() -> None:
    for values in ([canonical_url(feed.url) for feed in FEEDS], [feed.source for feed in ADAPTED], [feed.name for feed in default_feeds()]):
        assert [value for value, times in Counter(values).items() if times > 1] == []


def test_each_says_all_that_is_known_of_it_and_fits_its_adapter() -> None:
    for feed in FEEDS:
        assert feed.model_fields_set <= FIELDS, feed.name
        assert FIELDS - {"interval_s"} <= feed.model_fields_set, feed.name
        assert all((feed.name, feed.kind, feed.publisher)), feed.name
        source, found = fitted(feed)
        assert (source.name, found) == ("feed", feed)
        assert canonical_url(feed.url), feed.name
        assert feed.interval_s is None or feed.interval_s >= 60


def test_adapters_that_need_nothing_and_are_open_are_among_them() -> None:
    fit = {source.name for source in all_sources() if (source.ask or source.stream) is not None and source.manners.stability != "red" and not source.manners.needs}
    assert {feed.source for feed in ADAPTED} == fit
    for feed in ADAPTED:
        assert feed.model_fields_set == {"source", "name", "lang"}
        assert fitted(feed)[1].kind == fitted(feed)[0].manners.kind


def test_addresses_are_https_where_that_is_known() -> None:
    plain = {urlsplit(feed.url).hostname for feed in FEEDS if not feed.url.startswith("https://")}
    assert plain == WITHOUT_TLS


def test_the_file_says_that_nothing_in_it_was_tried() -> None:
    head = FILE.read_text(encoding="utf-8").partition("[[sources]]")[0]
    assert "# not tried live, 2026-11-23" in head


def test_an_entry_may_be_copied_into_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    shutil.copy(FILE, path)
    assert load_settings({"YUQING_CONFIG": str(path)}).sources == list(default_feeds())


@pytest.mark.parametrize("word", ["default", "Default", " default "])
def test_one_word_in_the_environment_is_all_of_them(word: str) -> None:
    settings = load_settings({"YUQING_SOURCES": word})
    assert list(named(settings.sources).values()) == list(default_feeds())
    assert list(named(settings.sources)) == [feed.name for feed in default_feeds()]
    handed_on = load_settings(settings.as_environment())  # as `yuqing up` does to its processes
    assert list(named(handed_on.sources).values()) == list(default_feeds())


def test_one_word_in_the_file_is_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    for text in ('sources = "default"\n', '[[sources]]\nsource = "default"\n'):
        path.write_text(text, encoding="utf-8")
        assert expanded(load_settings({"YUQING_CONFIG": str(path)}).sources) == list(default_feeds())


def test_others_stand_beside_them_in_their_order() -> None:
    own, other = Feed(url="https://a.example/rss"), Feed(source="documents", url="https://b.example/")
    assert expanded([own, Feed(source="default"), other]) == [own, *default_feeds(), other]
    assert expanded([own, other]) == [own, other]
    assert expanded([]) == []


def test_one_that_is_configured_by_itself_stays_as_configured_and_is_not_polled_twice() -> None:
    first, *others = default_feeds()
    mine = Feed(url=first.url, name="mine")
    assert expanded([Feed(source="default"), mine]) == [*others, mine]
    assert expanded([Feed(source="default"), Feed(source="default")]) == list(default_feeds())


@pytest.mark.parametrize(("lang", "found"), [("en", {"en"}), ("zh", {"zh-Hans", "zh-Hant"}), ("zh-Hant", {"zh-Hant"}), ("", LANGUAGES)])
def test_a_language_chooses_among_them(lang: str, found: set[str]) -> None:
    assert {feed.lang for feed in expanded([Feed(source="default", lang=lang)])} == found


def test_an_interval_is_for_all_of_them() -> None:
    assert {feed.interval_s for feed in expanded([Feed(source="default", interval_s=120)])} == {120}


def test_what_cannot_be_said_of_all_of_them_is_refused() -> None:
    for wrong in (Feed(source="default", name="x"), Feed(source="default", url="https://a.example/"), Feed(source="default", publisher="x")):
        with pytest.raises(ConfigError, match=r"takes `lang` and `interval_s` only, not '(name|url|publisher)'"):
            expanded([wrong])
    with pytest.raises(ConfigError, match=r"no feeds in 'fr'; it has en, zh-Hans, zh-Hant"):
        expanded([Feed(source="default", lang="fr")])


def test_the_file_is_in_the_package(tmp_path: Path) -> None:
    """The globs of package-data and MANIFEST.in together: setuptools itself is asked, on a copy."""
    root = FILE.parents[1]
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "MANIFEST.in"):
        if (root / name).exists():
            shutil.copy(root / name, tmp_path / name)
    (tmp_path / "scrapers").mkdir()
    shutil.copy(FILE, tmp_path / "scrapers" / FILE.name)
    (tmp_path / "scrapers" / "__init__.py").touch()
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", "out"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "out" / "scrapers" / FILE.name).exists()
