"""The encryption key in a real keyring: the ``keyring`` package with a backend that needs no desktop."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Desk
from strict_exact import StrictExact

FILE_BACKEND = "keyrings.alt.file.PlaintextKeyring"


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


def connect(desk: Desk, **environment: str) -> None:
    """Consent in a process of its own that is given no encryption key."""
    process = desk.start("connect", "--paste", SOURCES__EXACT_ONLINE__ENCRYPTION_KEY="", **environment)
    assert process.stdout is not None
    stdout, stderr = process.communicate(desk.exact.consent(process.stdout.readline().strip()) + "\n", timeout=60)
    assert process.returncode == 0, stdout + stderr


def status(desk: Desk, **environment: str) -> str:
    process = desk.start("status", SOURCES__EXACT_ONLINE__ENCRYPTION_KEY="", **environment)
    stdout, stderr = process.communicate(timeout=60)
    return stdout + stderr


def key_file(desk: Desk) -> Path:
    return desk.home / "data" / "exact-source" / "token.key"


def test_the_encryption_key_is_kept_in_the_keyring_that_the_user_chose(desk: Desk) -> None:
    chosen = {"PYTHON_KEYRING_BACKEND": FILE_BACKEND}
    connect(desk, **chosen)
    kept = desk.home / "data" / "python_keyring" / "keyring_pass.cfg"
    assert "exact" in kept.read_text()
    assert not key_file(desk).exists()
    assert "healthy" in status(desk, **chosen)
    kept.unlink()
    assert "cannot be decrypted" in status(desk, **chosen)


def test_a_keyring_chosen_in_its_own_file_counts_too(desk: Desk) -> None:
    configured = desk.home / "config" / "python_keyring" / "keyringrc.cfg"
    configured.parent.mkdir(parents=True)
    configured.write_text(f"[backend]\ndefault-keyring={FILE_BACKEND}\n")
    chosen = {"XDG_CONFIG_HOME": str(desk.home / "config")}
    connect(desk, **chosen)
    assert not key_file(desk).exists()
    assert "healthy" in status(desk, **chosen)


def test_without_a_keyring_that_keeps_anything_a_private_file_holds_the_key(desk: Desk) -> None:
    backend = "keyring.backends.fail.Keyring"
    connect(desk, PYTHON_KEYRING_BACKEND=backend)
    assert key_file(desk).stat().st_mode & 0o777 == 0o600
    assert "healthy" in status(desk, PYTHON_KEYRING_BACKEND=backend)


def test_a_keyring_that_nobody_chose_and_the_package_does_not_recommend_is_left_alone(desk: Desk) -> None:
    connect(desk, DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere")
    assert key_file(desk).exists()
    assert not (desk.home / "data" / "python_keyring").exists()
