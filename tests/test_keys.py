"""Keys come from the environment, a ``.env`` file or the keyring, in this order; a wrong one is refused, unshown."""

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from tokmagic.core.errors import ConfigurationError, MissingKey
from tokmagic.core.models import Service
from tokmagic.core.redaction import Token
from tokmagic.keys import has_key, key_of
from tokmagic.providers.registry import services

SERVICE = services()["anthropic"]
NAME = "ANTHROPIC_API_KEY"


class Held(KeyringBackend):
    """A keyring that holds what a test puts there."""

    priority = 1

    def __init__(self, held):
        super().__init__()
        self.held = held

    def get_password(self, service, username):
        if self.held is None:
            raise KeyringLocked("locked")
        return self.held.get((service, username))

    def set_password(self, service, username, password):
        self.held[service, username] = password


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The notebook's folder, without any key."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def hold():
    """Put keys into the system's keyring; None locks it."""
    before = keyring.get_keyring()
    yield lambda held: keyring.set_keyring(Held(held))
    keyring.set_keyring(before)


def test_a_missing_key_names_its_variable_and_the_demo():
    with pytest.raises(MissingKey, match=r"ANTHROPIC_API_KEY.*demo/claude"):
        key_of(SERVICE, {})
    assert not has_key(SERVICE, {NAME: "  "})


def test_a_key_shows_nothing_of_itself():
    key = key_of(SERVICE, {NAME: " sk-ant-secret-value "})
    assert key.reveal() == "sk-ant-secret-value"
    assert "secret" not in f"{key!r} {key} {[key]}"


@pytest.mark.parametrize("value", ["sk-ключ", "sk-a b", "sk-a\nb"])
def test_what_cannot_be_a_key_is_refused_unshown(value):
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY holds characters") as refused:
        key_of(SERVICE, {NAME: value})
    assert value not in str(refused.value)


def test_a_service_without_a_key_needs_none():
    assert has_key(Service("ollama", "chat"), {})
    assert not key_of(Service("ollama", "chat"), {})


def test_the_environment_wins_over_the_folder_and_that_over_the_home_and_that_over_the_keyring(folder, tmp_path, hold):
    environ = {"TOKMAGIC_HOME": str(tmp_path / "home")}
    hold({("tokmagic", NAME): "sk-ant-keyring"})
    assert key_of(SERVICE, environ).reveal() == "sk-ant-keyring"
    (tmp_path / "home" / ".env").write_text(f"{NAME}=sk-ant-home")
    assert key_of(SERVICE, environ).reveal() == "sk-ant-home"
    (folder / ".env").write_text(f"{NAME}=sk-ant-folder")
    assert key_of(SERVICE, environ).reveal() == "sk-ant-folder"
    assert key_of(SERVICE, {**environ, NAME: "sk-ant-environment"}).reveal() == "sk-ant-environment"


@pytest.mark.parametrize(
    "line",
    [
        *(f"{NAME}=sk-ant-1", f"export {NAME}='sk-ant-1'", f'  {NAME} = "sk-ant-1"  # mine', f"{NAME}=sk-ant-1 # mine"),
        *(f"OTHER=$(rm x)\n\n# {NAME}=no\r\n{NAME}=sk-ant-1\r\nLAST=1", f"\ufeff{NAME}=sk-ant-1"),
    ],
)
def test_a_line_of_a_dotenv_file_is_read_as_others_read_it(folder, line):
    (folder / ".env").write_bytes(line.encode())
    assert key_of(SERVICE, {}).reveal() == "sk-ant-1"


def test_a_dotenv_file_that_changes_is_read_again(folder):
    (folder / ".env").write_text(f"{NAME}=sk-ant-old")
    assert key_of(SERVICE, {}).reveal() == "sk-ant-old"
    (folder / ".env").write_text(f"{NAME}=sk-ant-newer")
    assert key_of(SERVICE, {}).reveal() == "sk-ant-newer"


def test_nothing_but_keys_is_read_from_a_dotenv_file(folder, monkeypatch):
    from tokmagic.config import load_settings

    (folder / ".env").write_text(
        "TOKMAGIC_LIMITS=1 usd/day\nTOKMAGIC_MODEL=openai/gpt-5\nOPENAI_BASE_URL=http://evil.org"
    )
    found = load_settings()
    assert (found.model, found.limits, found.services["openai"].base_url) == (None, (), "")


def test_a_folder_of_that_name_and_a_locked_keyring_hold_no_key(folder, hold):
    (folder / ".env").mkdir()
    hold(None)
    assert not has_key(SERVICE, {})


@pytest.mark.parametrize(
    ("service", "value", "owner"),
    [
        ("openai", "sk-ant-api03-abc", "anthropic"),
        ("anthropic", "sk-proj-abc", "openai"),
        ("anthropic", "gsk_abc", "groq"),
        ("deepseek", "sk-or-v1-abc", "openrouter"),
        ("mistral", "AIzaSyabc", "google"),
        ("azure", "sk-proj-abc", "openai"),
    ],
)
def test_a_key_of_another_provider_is_refused_before_anything_is_sent(service, value, owner):
    found = services()[service]
    with pytest.raises(ConfigurationError, match=f"{found.key_variable} holds a key of {owner}") as refused:
        key_of(found, {found.key_variable: value})
    assert value not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_gateway_at_an_address_of_ones_own_takes_anybodys_keys(tmp_path):
    from tokmagic.config import load_settings

    environ = {"TOKMAGIC_HOME": str(tmp_path), "OPENAI_BASE_URL": "https://gateway.example.org/v1"}
    gateway = load_settings(environ).services["openai"]
    assert key_of(gateway, {"OPENAI_API_KEY": "sk-or-v1-abc"}).reveal() == "sk-or-v1-abc"


def test_a_token_of_entra_stands_in_for_azures_key():
    azure = services()["azure"]
    assert isinstance(key_of(azure, {"AZURE_OPENAI_AD_TOKEN": "eyJ0.e30.x"}), Token)
    assert has_key(azure, {"AZURE_OPENAI_AD_TOKEN": "eyJ0.e30.x"})
    assert not isinstance(key_of(azure, {"AZURE_OPENAI_API_KEY": "abc", "AZURE_OPENAI_AD_TOKEN": "eyJ0"}), Token)
