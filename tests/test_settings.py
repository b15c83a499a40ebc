from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exact_source.choice import Patterns
from exact_source.errors import ConfigurationError, UnknownName
from exact_source.setting_values import HOSTS, Secret
from exact_source.settings import load_settings, require_credentials, require_redirect_uri

CLIENT_ID = "2bf1a4a5-58e5-4a4e-9a22-3a3c2b1a9d7e"
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
# Settings are found through the process's environment and folder, so each of these questions gets a process of its own.
PROGRAM = """
import json, sys
from dlt.common.configuration.utils import get_resolved_traces
from exact_source.choice import Patterns
from exact_source.errors import ExactError
from exact_source.settings import load_settings, require_credentials
answers = []
for name in sys.argv[1:]:
    try:
        one = load_settings(name)
        answers.append({"repr": repr(one), "secret": require_credentials(one).client_secret.reveal(),
            "region": one.region, "base_url": one.base_url, "divisions": one.divisions, "workers": one.max_workers,
            "start": str(one.start_date), "store": one.token_store.reveal(), "plain": one.plain_tokens})
    except ExactError as error:
        answers.append({"error": type(error).__name__, "told": str(error)})
json.dump({"answers": answers, "traced": [t.key for t in get_resolved_traces().resolved_traces
    if not getattr(t.hint, "__metadata__", None)]}, sys.stdout)
"""


def ask(folder: Path, *connections: str, **environment: str) -> list[dict[str, object]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SOURCES__", "XDG_"))}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *connections],
        env={**kept, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert not {"client_secret", "encryption_key"} & set(told["traced"])
    answers: list[dict[str, object]] = told["answers"]
    return answers


def write(folder: Path, name: str, text: str) -> None:
    (folder / ".dlt").mkdir(exist_ok=True)
    (folder / ".dlt" / name).write_text(text)


def test_settings_come_from_the_environment_and_from_both_toml_files(tmp_path: Path) -> None:
    given = "region = 'be'\ndivisions = [1, 2]\nstart_date = 2026-01-31\n"
    write(tmp_path, "config.toml", f"[sources.exact_online]\n{given}")
    write(tmp_path, "secrets.toml", f"[sources.exact_online]\nclient_id = '{CLIENT_ID}'\nclient_secret = 'hush-hush'\n")
    (found,) = ask(tmp_path, "default", SOURCES__EXACT_ONLINE__MAX_WORKERS="7", SOURCES__EXACT_ONLINE__TIMEOUT="")
    assert (found["region"], found["base_url"]) == ("be", "https://start.exactonline.be")
    assert (found["divisions"], found["workers"], found["start"]) == ([1, 2], 7, "2026-01-31")
    assert found["secret"] == "hush-hush"
    assert "hush-hush" not in str(found["repr"])
    assert found["store"] == f"sqlite:///{tmp_path}/.local/share/exact-source/tokens.db"


def test_a_connection_overrides_the_default_wherever_either_stands(tmp_path: Path) -> None:
    write(
        tmp_path,
        "secrets.toml",
        "[sources.exact_online.connections.shop]\nregion = 'fr'\nclient_secret = 'of the shop'\n"
        "[sources.exact_online.connections.my-shop]\nplain_tokens = true\n",
    )
    default, shop, other, dashed = ask(
        tmp_path,
        "default",
        "shop",
        "other",
        "my-shop",
        SOURCES__EXACT_ONLINE__CLIENT_ID=CLIENT_ID,
        SOURCES__EXACT_ONLINE__CLIENT_SECRET="of the default",
        SOURCES__EXACT_ONLINE__REGION="de",
        SOURCES__EXACT_ONLINE__CONNECTIONS__OTHER__DIVISIONS="3 , 4",
        SOURCES__EXACT_ONLINE__CONNECTIONS__MY_SHOP__REGION="es",
    )
    assert (default["region"], default["secret"], default["divisions"]) == ("de", "of the default", None)
    assert (shop["region"], shop["secret"]) == ("fr", "of the shop")
    assert (other["region"], other["divisions"]) == ("de", [3, 4])
    assert (dashed["region"], dashed["plain"]) == ("es", True)


def test_nothing_but_our_own_sections_is_read(tmp_path: Path) -> None:
    (found,) = ask(
        tmp_path,
        "default",
        REGION="eu-west-1",
        BASE_URL="https://thief.example",
        SOURCES__BASE_URL="https://thief.example",
        SOURCES__EXACT_ONLINE__CLIENT_ID=CLIENT_ID,
        SOURCES__EXACT_ONLINE__CLIENT_SECRET="hush",
    )
    assert found["base_url"] == "https://start.exactonline.nl"


def test_a_missing_credential_says_where_to_write_it(tmp_path: Path) -> None:
    (found,) = ask(tmp_path, "default")
    assert found["error"] == "ConfigurationError"
    for words in ("client_id is missing", "[sources.exact_online]", "secrets.toml", "SOURCES__EXACT_ONLINE__CLIENT_ID"):
        assert words in str(found["told"])


@pytest.mark.parametrize("line", ["client_secret = 'hush-hush'", "token_store = 'postgresql://me:hush-hush@db/x'"])
def test_a_secret_in_config_toml_is_refused_without_being_told(tmp_path: Path, line: str) -> None:
    write(tmp_path, "config.toml", f"[sources.exact_online]\n{line}\n")
    (found,) = ask(tmp_path, "default")
    assert found["error"] == "ConfigurationError"
    assert "secrets.toml" in str(found["told"])
    assert "hush-hush" not in str(found)


def test_a_wrong_value_in_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, "config.toml", "[sources.exact_online.connections.shop]\nmax_workers = 'many'\n")
    default, shop = ask(tmp_path, "default", "shop")
    assert "client_id is missing" in str(default["told"])
    assert "sources.exact_online.connections.shop.max_workers = 'many' is not a whole number" in str(shop["told"])
    assert "SOURCES__EXACT_ONLINE__CONNECTIONS__SHOP__MAX_WORKERS" in str(shop["told"])


@pytest.mark.parametrize(("given", "tld"), [("uk", "co.uk"), ("us", "com"), ("NL", "nl"), (".be", "be")])
def test_regions_have_everyday_names_too(given: str, tld: str) -> None:
    assert load_settings(region=given).base_url == HOSTS[tld] == f"https://start.exactonline.{tld}"


def test_an_unknown_region_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'xx' is not a region .* nl, be, de, fr, es, co\.uk, com"):
        load_settings(region="xx")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://Proxy.Example:8443/", "https://proxy.example:8443"),
        ("http://localhost:1234", "http://localhost:1234"),
        ("http://127.0.0.9:1", "http://127.0.0.9:1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_base_url_replaces_the_host_of_the_region(url: str, kept: str) -> None:
    assert load_settings(base_url=url).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://start.exactonline.nl",
        "http://localhost.evil.example",
        "ftp://localhost",
        "https://start.exactonline.nl/api",
        "https://start.exactonline.nl?x=1",
        "https://user:hush@start.exactonline.nl",
        "https://start.exactonline.nl:99999",
        "start.exactonline.nl",
        "https://a b",
        "https://a\\b",
        "https://a\nb",
        "https://",
    ],
)
def test_a_base_url_must_be_one_safe_host(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(base_url=url)
    assert "hush" not in str(caught.value)


def test_a_redirect_uri_is_kept_to_the_character() -> None:
    uri = "https://App.example.test/Callback?x=1"
    assert require_redirect_uri(load_settings(redirect_uri=uri)) == uri
    with pytest.raises(ConfigurationError, match="redirect_uri is missing"):
        require_redirect_uri(load_settings())


@pytest.mark.parametrize("uri", ["http://app.example.test/callback", "https://app.example.test/#x", "app://callback"])
def test_a_redirect_uri_must_be_https_or_on_this_machine(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        load_settings(redirect_uri=uri)


@pytest.mark.parametrize("given", [CLIENT_ID, CLIENT_ID.upper(), "{" + CLIENT_ID + "}"])
def test_a_client_id_is_a_guid_with_or_without_braces(given: str) -> None:
    assert require_credentials(load_settings(client_id=given, client_secret="x")).client_id == given


@pytest.mark.parametrize("given", ["abc", CLIENT_ID[:-1], CLIENT_ID.replace("-", ""), "{" + CLIENT_ID])
def test_a_malformed_client_id_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ConfigurationError, match="App Center") as caught:
        load_settings(client_id=given)
    assert given not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encryption_key", "hush"),
        ("encryption_key", KEY + ",hush"),
        ("token_store", "hush"),
        ("plain_tokens", "perhaps"),
        ("divisions", "1,two"),
        ("divisions", "[1"),
        ("start_date", "31-01-2026"),
        ("max_workers", 0),
        ("max_workers", True),
        ("timeout", 1.5),
        ("client_secret", 12),
        ("client_secret", "hu\nsh"),
    ],
)
def test_a_wrong_value_names_its_setting_and_no_secret(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings(**given)
    assert "hush" not in str(caught.value)


def test_lists_are_written_as_lists_or_with_commas() -> None:
    assert load_settings(divisions="[1, 2]").divisions == load_settings(divisions="1,2").divisions == (1, 2)
    assert load_settings(divisions=3).divisions == (3,)
    assert load_settings(entities=["accounts"]).entities == ("accounts",)
    keys = load_settings(encryption_key=f"{KEY}, {KEY}").encryption_key
    assert [key.reveal() for key in keys] == [KEY, KEY]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UnknownName, match="no setting 'regoin'"):
        load_settings(regoin="nl")


@pytest.mark.parametrize("name", ["", "Shop", "a/b", "../x", "a.b", "é", "-x", "x" * 64])
def test_a_name_of_a_connection_is_plain(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a usable name"):
        load_settings(name)


def test_an_override_of_none_is_no_override() -> None:
    assert load_settings(region=None).region == "nl"


def test_a_secret_shows_itself_to_nobody() -> None:
    settings = load_settings(client_secret="hush", encryption_key=KEY, token_store="postgresql://me:hush@db/tokens")
    for shown in (repr(settings), str(settings), f"{settings.client_secret}", repr(Secret("hush"))):
        assert "hush" not in shown
        assert KEY not in shown


def test_the_command_to_reconnect_names_the_connection() -> None:
    assert load_settings("shop_nl").connect_command == "exact-source connect --connection shop_nl"


def test_a_key_that_is_no_setting_is_refused_with_its_file_and_the_likely_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        "config.toml",
        "[sources.exact_online.connections.shop]\nmax_wrokers = 3\n[sources.exact_online.connections.cafe]\nx = 1\n",
    )
    default, shop, cafe, other = ask(tmp_path, "default", "shop", "cafe", "other")
    place = f"(in {tmp_path}/.dlt/config.toml)"
    assert shop["error"] == "UnknownName"
    assert f"sources.exact_online.connections.shop.max_wrokers {place} is not a setting" in str(shop["told"])
    assert "did you mean max_workers?" in str(shop["told"])
    assert f"connections.cafe.x {place} is not a setting; the settings are " in str(cafe["told"])
    # One connection's mistake is no other one's.
    assert "client_id is missing" in str(default["told"])
    assert "client_id is missing" in str(other["told"])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("secrets.toml", "[sources.exact_online]\nclient_secert = 'hush'", "did you mean client_secret?"),
        ("config.toml", "[sources]\nexact_online = 'hush'", "is not a table of settings"),
        ("config.toml", "[sources.exact_online.connections]\nregion = 'hush'", "is not the table of a connection"),
        ("config.toml", "[sources.exact_online.exact_online]\nregion = 'hush'", "exact_online.region (in "),
        ("config.toml", "[sources.exact_online]\nmax_table_nesting = 'hush'", "max_table_nesting (in "),
        ("config.toml", "[sources.exact_online.accounts]\nwrite_disposition = 'hush'", "accounts (in "),
        ("config.toml", "[sources.exact_online]\ndatabase = 'postgresql://me:hush@db/x'", "move it to"),
    ],
)
def test_what_is_wrong_among_the_defaults_is_wrong_for_every_connection(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    write(tmp_path, name, text)
    for found in ask(tmp_path, "default", "shop"):
        assert told in str(found["told"])
        assert "hush" not in str(found)


def test_a_value_is_wrong_also_where_a_nearer_one_counts(tmp_path: Path) -> None:
    (found,) = ask(
        tmp_path,
        "shop",
        SOURCES__EXACT_ONLINE__MAX_WORKERS="many",
        SOURCES__EXACT_ONLINE__CONNECTIONS__SHOP__MAX_WORKERS="3",
    )
    assert str(found["told"]).startswith("sources.exact_online.max_workers = 'many' is not a whole number")


def test_a_variable_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    start = "SOURCES__EXACT_ONLINE__"
    wrong = {
        "my-shop": ("CONNECTIONS__MY_SHOP__REGOIN", " is not a setting; did you mean region?"),
        "cafe": ("CONNECTIONS__CAFE__METADATA__OWNER", f"JSON object into {start}CONNECTIONS__CAFE__METADATA"),
        "a__b": ("CONNECTIONS__A__B__TAGGS", "did you mean tags?"),
    }
    variables = {f"{start}{variable}": "hush" for variable, _ in wrong.values()}
    for found, (variable, told) in zip(ask(tmp_path, *wrong, **variables), wrong.values(), strict=True):
        assert str(found["told"]).startswith(f"{start}{variable}")
        assert told in str(found["told"])
        assert "hush" not in str(found)
    (found,) = ask(tmp_path, "default", **{f"{start}CONNECTIONS__REGION": "hush"})
    assert f"{start}CONNECTIONS__REGION is not the table of a connection" in str(found["told"])


def test_what_dlt_reads_in_our_section_may_stand_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        "config.toml",
        "[sources.exact_online.extract]\nworkers = 2\n[sources.exact_online.data_writer]\nfile_max_items = 10\n"
        "[sources.exact_online.exact_online.extract]\nworkers = 2\n"
        f"[sources.exact_online]\nclient_id = '{CLIENT_ID}'\n",
    )
    (found,) = ask(
        tmp_path,
        "default",
        SOURCES__EXACT_ONLINE__CLIENT_SECRET="hush-hush",
        SOURCES__EXACT_ONLINE__SCHEMA__ALLOW_IDENTIFIER_CHANGE_ON_TABLE_WITH_DATA="true",
    )
    assert found["region"] == "nl"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entities", ["acounts"]),
        ("tags", [1]),
        ("tags", {"a": "b"}),
        ("metadata", "owner"),
        ("metadata", {"owner": ["Anneke"]}),
        ("metadata", {"owner": True}),
        ("include", ["a\nb"]),
        ("feeds", {"accounts": "fast"}),
        ("feeds", {"acounts": "sync"}),
        ("windows", {"accounts": "Modified:0"}),
        ("schedule", "every night"),
        ("schedule", "0 0 30 2 *"),
        ("schedule", "0 0 4 * * *"),
        ("schedule", "61 4 * * *"),
        ("destination", "duck db"),
        ("dataset", "{division}"),
        ("dataset", 3),
        ("database", 3),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"argument {name}"):
        load_settings(**given)


def test_texts_of_a_connection_are_written_as_lists_tables_or_json() -> None:
    found = load_settings("my-shop", tags="nightly, two words", include='["A, B*"]', metadata={"ticket": 12, "o": "A"})
    assert (found.tags, found.include) == (("nightly", "two words"), ("A, B*",))
    assert dict(found.metadata) == {"ticket": "12", "o": "A"}
    named = load_settings(
        "my-shop", dataset="books_{connection}", database="{connection}.duckdb", schedule="0  4 * * *"
    )
    assert (named.dataset, named.schedule) == ("books_my_shop", "0 4 * * *")
    assert named.database is not None
    assert named.database.reveal() == "my_shop.duckdb"


def test_of_codes_and_patterns_the_nearer_ones_count(tmp_path: Path) -> None:
    assert load_settings(divisions=[1]).patterns == Patterns()
    with pytest.raises(ConfigurationError, match="either codes or patterns"):
        load_settings(divisions=[1], exclude=["x"])
    write(
        tmp_path,
        "config.toml",
        "[sources.exact_online]\ndivisions = [1, 2]\n[sources.exact_online.connections.shop]\ninclude = ['A*']\n",
    )
    credentials = {"SOURCES__EXACT_ONLINE__CLIENT_ID": CLIENT_ID, "SOURCES__EXACT_ONLINE__CLIENT_SECRET": "hush-hush"}
    default, shop = ask(tmp_path, "default", "shop", **credentials)
    assert (default["divisions"], shop["divisions"]) == ([1, 2], None)
