from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from connecting import KEY, processes
from exact_source.connections import Connection, Division, Identity, Intent, Loss, Token
from exact_source.errors import Busy, ConfigurationError, Unreadable
from exact_source.secrets_at_rest import Cipher
from exact_source.tokens import TokenStore

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TOKEN = Token("stampNL001.access!", "stampNL001.refresh!", NOW)


def store_at(place: Path | str, *keys: str, lock_seconds: float = 10) -> TokenStore:
    """The store at a URL, or in a SQLite file in a folder."""
    cipher = Cipher(keys or (KEY,))
    url = place if isinstance(place, str) else f"sqlite:///{place / 'tokens.db'}"
    return TokenStore(url, cipher, lock_seconds=lock_seconds)


def test_a_token_answer_is_read_whatever_its_spelling() -> None:
    for body in (
        b'{"access_token":"a","token_type":"bearer","expires_in":"600","refresh_token":"r"}',
        '{"access_token":"a","token_type":"Bearer","expires_in":600,"refresh_token":"r"}',
        b'\xef\xbb\xbf{"access_token":"a","refresh_token":"r"}',
        {"access_token": "a", "refresh_token": "r", "expires_in": "600.0", "token_type": "BEARER"},
        {"access_token": "a", "refresh_token": "r", "expires_in": "soon"},
    ):
        assert Token.from_response(body, NOW) == Token("a", "r", NOW, 600, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"{}",
        b'{"access_token":"a"}',
        b'{"access_token":1,"refresh_token":"r"}',
        b'{"access_token":"a\\r\\nX: y","refresh_token":"r"}',
        b'{"access_token":"a","refresh_token":"r","token_type":"mac"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_an_answer_without_a_token_pair_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Token.from_response(body, NOW)


def test_an_app_without_rotation_keeps_its_refresh_token() -> None:
    new = Token.from_response({"access_token": "b"}, NOW, TOKEN)
    assert (new.refresh_token, new.generation) == (TOKEN.refresh_token, 2)
    held = Connection("default", token=TOKEN, generation=1).with_token(new)
    assert held.spent == ()
    assert held.token is not None
    assert held.token.fingerprint not in held.spent


@pytest.mark.parametrize(
    ("age", "is_fresh", "is_usable"),
    [
        (0, True, True),
        (569, True, True),
        (570, False, True),
        (599, False, True),
        (600, False, False),
        (-3600, False, True),
    ],
)
def test_a_token_is_fresh_for_570_seconds_and_usable_for_600(age: int, is_fresh: bool, is_usable: bool) -> None:
    now = NOW + timedelta(seconds=age)
    assert (TOKEN.is_fresh(now), TOKEN.is_usable(now)) == (is_fresh, is_usable)


def test_a_token_and_all_around_it_show_no_secret() -> None:
    held = Connection("default", token=TOKEN, previous=TOKEN)
    for shown in (repr(TOKEN), str(TOKEN), repr(held)):
        assert "stampNL001" not in shown


def test_everything_known_of_a_connection_survives(store_url: str) -> None:
    known = Connection(
        name="default",
        host="https://start.exactonline.nl",
        client_id="id",
        token=replace(TOKEN, generation=3),
        previous=TOKEN,
        generation=3,
        intent=Intent(TOKEN.fingerprint, NOW, "process 1 on here"),
        spent=("a", "b"),
        wait_until=NOW + timedelta(seconds=5),
        loss=Loss("TokenExpired", "too late"),
        identity=Identity("u", "name", "Full Name", "e@x.test", 1, (Division(1, "One", "NL", "EUR", 1, 0, "C"),)),
        environment="here",
    ).with_call(NOW)
    store = store_at(store_url)
    assert store.read("default") is None
    assert store.write(known, was=0)
    assert store_at(store_url).read("default") == known
    assert store.names() == ["default"]


def test_token_calls_are_counted_by_utc_day() -> None:
    late = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
    counted = Connection("default").with_call(late).with_call(late)
    assert counted.calls_on(late) == 2
    assert counted.calls_on(late + timedelta(minutes=1)) == 0


def test_a_stale_writer_changes_nothing(store_url: str) -> None:
    store = store_at(store_url)
    first = Connection("default").with_token(TOKEN)
    assert store.write(first, was=0)
    assert not store.write(replace(first, generation=1, environment="late"), was=0)
    assert store.write(first.with_token(replace(TOKEN, refresh_token="new")), was=1)
    assert not store.write(replace(first, environment="late"), was=1)
    stored = store.read("default")
    assert stored is not None
    assert (stored.generation, stored.environment) == (2, "")
    assert stored.previous == replace(TOKEN, generation=1)
    assert stored.spent == (TOKEN.fingerprint,)


def test_no_byte_of_a_token_is_on_disk_in_plain(tmp_path: Path) -> None:
    store_at(tmp_path).write(Connection("default").with_token(TOKEN), was=0)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"stampNL001" not in written


def test_plain_storage_needs_a_setting_and_the_next_write_encrypts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    plain = TokenStore(url, Cipher(is_plain=True))
    held = Connection("default").with_token(TOKEN)
    plain.write(held, was=0)
    assert b"stampNL001.refresh" in (tmp_path / "tokens.db").read_bytes()
    store = store_at(tmp_path)
    assert store.read("default") == held
    store.write(held, was=1)
    with pytest.raises(ConfigurationError, match="no key"):
        plain.read("default")


def test_files_are_private_before_the_first_secret(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = TokenStore(f"sqlite:///{tmp_path / 'new' / 'deep' / 'tokens.db'}", Cipher(folder=tmp_path / "keys"))
        with store.exclusive("default"):
            store.write(Connection("default").with_token(TOKEN), was=0)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.name != "new"}
    assert modes == {
        "deep": 0o700,
        "keys": 0o700,
        "tokens.db": 0o600,
        "tokens.db.default.lock": 0o600,
        "token.key": 0o600,
    }


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    store_at(tmp_path).write(Connection("default").with_token(TOKEN), was=0)
    (tmp_path / "tokens.db").chmod(0o644)
    (tmp_path / "tokens.db-wal").touch(mode=0o644)
    assert store_at(tmp_path).read("default") is not None
    assert stat.S_IMODE((tmp_path / "tokens.db").stat().st_mode) == 0o600


def test_another_key_is_said_to_be_another_key(store_url: str) -> None:
    held = Connection("default").with_token(TOKEN)
    store_at(store_url).write(held, was=0)
    other = store_at(store_url, Fernet.generate_key().decode())
    with pytest.raises(ConfigurationError, match=r"another.*encryption_key"):
        other.read("default")
    peeked = other.peek("default")
    assert peeked is not None
    assert (peeked.token, peeked.generation) == (None, 1)


def test_a_new_key_in_front_takes_over_with_the_next_write(store_url: str) -> None:
    new = Fernet.generate_key().decode()
    held = Connection("default").with_token(TOKEN)
    store_at(store_url, KEY).write(held, was=0)
    both = store_at(store_url, new, KEY)
    assert both.read("default") == held
    both.write(held, was=1)
    assert store_at(store_url, new).read("default") == held


def test_a_key_is_made_once_and_never_by_reading(tmp_path: Path) -> None:
    store_at(tmp_path).write(Connection("default").with_token(TOKEN), was=0)
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    with pytest.raises(ConfigurationError, match="no key"):
        TokenStore(url, Cipher(folder=tmp_path / "keys")).read("default")
    assert not (tmp_path / "keys").exists()
    ciphers = [Cipher(folder=tmp_path / "keys") for _ in range(8)]
    sealed: list[str] = []
    threads = [threading.Thread(target=lambda one: sealed.append(one.encrypt("x")), args=(one,)) for one in ciphers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {Cipher(folder=tmp_path / "keys").decrypt(one) for one in sealed} == {"x"}
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["token.key"]


class Drawer:
    """A keyring that keeps what it is given, until it is broken."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.is_broken = False

    def get_password(self, service_name: str, username: str) -> str | None:
        if self.is_broken:
            raise RuntimeError("locked")
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        if self.is_broken:
            raise RuntimeError("locked")
        self.kept[service_name, username] = password


def test_the_systems_keyring_is_preferred_for_a_new_key(tmp_path: Path) -> None:
    drawer = Drawer()
    sealed = Cipher(folder=tmp_path / "keys", keyring=drawer).encrypt("x")
    assert not (tmp_path / "keys").exists()
    assert Cipher(folder=tmp_path / "keys", keyring=drawer).decrypt(sealed) == "x"
    drawer.is_broken = True
    with pytest.raises(ConfigurationError, match="no key"):
        Cipher(folder=tmp_path / "keys", keyring=drawer).decrypt(sealed)
    broken = Cipher(folder=tmp_path / "keys", keyring=drawer)
    assert broken.decrypt(broken.encrypt("y")) == "y"


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///file:x?mode=ro", "nodialect://x"])
def test_a_url_that_is_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        TokenStore(url, Cipher((KEY,))).names()


def test_a_database_that_cannot_be_used_is_told_without_its_password() -> None:
    for url in ("postgresql+psycopg://me:hush-hush@127.0.0.1:1/tokens", "sqlite:////proc/nowhere/tokens.db"):
        with pytest.raises(ConfigurationError, match="token store") as caught:
            TokenStore(url, Cipher((KEY,))).names()
        assert "hush" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokens.db").write_text("something else entirely, and long enough to be no header " * 20)
    with pytest.raises(ConfigurationError, match="not a database"):
        store_at(tmp_path).names()


def test_a_store_in_memory_serves_the_threads_of_one_process() -> None:
    store = TokenStore("sqlite://", Cipher((KEY,)))
    store.write(Connection("default").with_token(TOKEN), was=0)
    wins: list[bool] = []

    def renew() -> None:
        with store.exclusive("default"):
            held = store.read("default")
            assert held is not None
            wins.append(store.write(held.with_token(TOKEN), was=held.generation))

    threads = [threading.Thread(target=renew) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = store.read("default")
    assert wins == [True] * 16
    assert stored is not None
    assert stored.generation == 17
    store.close()


def test_a_lock_is_exclusive_and_waiting_for_it_ends(store_url: str) -> None:
    has_exclusive_locks(store_at(store_url, lock_seconds=0.5))


def test_a_lock_in_memory_is_exclusive_too() -> None:
    has_exclusive_locks(store_at("sqlite://", lock_seconds=0.5))


def has_exclusive_locks(store: TokenStore) -> None:
    caught: list[Busy] = []

    def wait() -> None:
        try:
            with store.exclusive("default"):
                pass
        except Busy as error:
            caught.append(error)

    with store.exclusive("default"):
        store.write(Connection("default"), was=0)  # the lock is not in the way of short writes
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join()
        with store.exclusive("another"):
            pass
    assert "'default'" in str(caught[0])
    with store.exclusive("default"):
        pass
    store.close()


def hold_for_ever(url: str, pipe: Pipe) -> None:
    with store_at(url).exclusive("default"):
        pipe.send("held")
        signal.pause()


@contextmanager
def holder(url: str) -> Iterator[int]:
    context = processes()
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_for_ever, args=(url, theirs))
    process.start()
    assert ours.recv() == "held"
    try:
        yield process.pid or 0
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
        theirs.close()


def test_a_dead_holder_frees_the_lock_at_once(store_url: str) -> None:
    with holder(store_url) as pid:
        with pytest.raises(Busy), store_at(store_url, lock_seconds=0.3).exclusive("default"):
            pass
        os.kill(pid, signal.SIGKILL)
        with store_at(store_url, lock_seconds=5).exclusive("default"):
            pass


def test_another_files_lock_is_untouched_by_opening_the_store_again(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with store.exclusive("default"):
        again = store_at(tmp_path, lock_seconds=0.3)
        again.names()
        with pytest.raises(Busy), again.exclusive("default"):
            pass
        context = processes()
        process = context.Process(target=expect_busy, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()


def expect_busy(folder: Path) -> None:
    with pytest.raises(Busy), store_at(folder, lock_seconds=0.3).exclusive("default"):
        pass


def open_at_once(url: str, barrier: Barrier, number: int) -> None:
    store = store_at(url)
    barrier.wait()
    assert store.write(Connection(f"shop_{number}"), was=0)


def test_many_processes_may_make_the_store_at_the_same_instant(store_url: str) -> None:
    context = processes()
    barrier = context.Barrier(24)
    crowd = [context.Process(target=open_at_once, args=(store_url, barrier, number)) for number in range(24)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert [one.exitcode for one in crowd] == [0] * 24
    for one in crowd:
        one.close()
    assert len(store_at(store_url).names()) == 24
