"""Tokens on disk are ciphertext: which key, from where, and what is said when it does not fit.

Keys come from the setting ``encryption_key``, else this user's key file if there is one, else the system's keyring when
the ``keyring`` package is installed and works, else a key file is made. Reading never makes a key.
"""

from __future__ import annotations

import importlib
import os
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from exact_source.errors import ConfigurationError
from exact_source.settings import Settings, data_folder

SERVICE, USER = "exact-source", "token encryption key"
KEY_FILE = "token.key"
ENCRYPTED, PLAIN = "fernet:", "plain:"
RECOMMENDED = 1  # the priority from which the keyring package recommends a backend


class Keyring(Protocol):
    """The part of the ``keyring`` package that is used."""

    def get_password(self, service_name: str, username: str) -> str | None: ...
    def set_password(self, service_name: str, username: str, password: str) -> None: ...


class Cipher:
    """Turns a text into what may be written to disk, and back. ``keys``: Fernet keys, the first one encrypts."""

    def __init__(
        self,
        keys: tuple[str, ...] = (),
        *,
        folder: Path | None = None,
        keyring: Keyring | None = None,
        is_plain: bool = False,
    ) -> None:
        self._keys = keys
        self._folder = folder
        self._keyring = keyring
        self._is_plain = is_plain

    @classmethod
    def from_settings(cls, settings: Settings) -> Cipher:
        keys = tuple(key.reveal() for key in settings.encryption_key)
        ring = None if keys or settings.plain_tokens else system_keyring()
        return cls(keys, folder=data_folder(), keyring=ring, is_plain=settings.plain_tokens)

    def encrypt(self, text: str) -> str:
        if self._is_plain:
            return PLAIN + text
        return ENCRYPTED + self._fernet(self._known_keys() or (self._new_key(),)).encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """The text again. Plain text written under an earlier setting is read as well; the next write encrypts it."""
        if stored.startswith(PLAIN):
            return stored.removeprefix(PLAIN)
        keys = self._known_keys()
        if not keys:
            raise _no_key("no key is at hand")
        try:
            return self._fernet(keys).decrypt(stored.removeprefix(ENCRYPTED)).decode()
        except (InvalidToken, UnicodeDecodeError):
            raise _no_key("the key at hand is another one") from None

    @staticmethod
    def _fernet(keys: tuple[str, ...]) -> MultiFernet:
        try:
            return MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise _no_key("the key at hand is no Fernet key") from None

    def _known_keys(self) -> tuple[str, ...]:
        if not self._keys:
            found = self._key_file() or self._from_keyring()
            self._keys = (found,) if found else ()
        return self._keys

    def _key_file(self) -> str | None:
        if self._folder is None:
            return None
        try:
            return (self._folder / KEY_FILE).read_text("ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable_file(self._folder / KEY_FILE, error) from None

    def _from_keyring(self) -> str | None:
        if self._keyring is None:
            return None
        try:
            return self._keyring.get_password(SERVICE, USER)
        except Exception:  # a locked or missing desktop service raises whatever its backend likes
            self._keyring = None
            return None

    def _new_key(self) -> str:
        key = Fernet.generate_key().decode()
        self._keys = (self._into_keyring(key) or self._into_file(key),)
        return self._keys[0]

    def _into_keyring(self, key: str) -> str | None:
        if self._keyring is None:
            return None
        try:
            self._keyring.set_password(SERVICE, USER, key)
        except Exception:  # as above: the key file is the way out
            self._keyring = None
            return None
        return self._from_keyring()

    def _into_file(self, key: str) -> str:
        """Written beside and linked into place, so that of many processes all read the same whole key."""
        if self._folder is None:
            raise _no_key("no key is at hand")
        path = self._folder / KEY_FILE
        draft = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            _link(draft, path)
        except OSError as error:
            raise _unusable_file(path, error) from None
        return self._key_file() or key


def _link(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


def system_keyring() -> Keyring | None:
    """The system's keyring, when its package is installed and a backend that keeps secrets is active.

    A backend that the user chose (``PYTHON_KEYRING_BACKEND`` or ``keyringrc.cfg``) is taken at its word; of those that
    merely happen to be installed, only the ones that the package recommends.
    """
    try:
        module = importlib.import_module("keyring")
        core = importlib.import_module("keyring.core")
        chosen = core.load_env() or core.load_config()
        ring: Keyring = chosen or module.get_keyring()
        priority = float(getattr(ring, "priority", 0))
    except Exception:  # the package is optional and its backends fail in their own ways
        return None
    return ring if priority >= RECOMMENDED or (chosen and priority > 0) else None


def _no_key(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the stored tokens cannot be decrypted: {why}. Set encryption_key under [sources.exact_online] in"
        " .dlt/secrets.toml to the key that wrote them (when changing keys: the new one, a comma, the old one), or run"
        " `exact-source connect` to store new tokens under the present key"
    )


def _unusable_file(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the key file {path} cannot be used ({type(error).__name__}); make it readable for this user, or set"
        " encryption_key under [sources.exact_online] in .dlt/secrets.toml"
    )
