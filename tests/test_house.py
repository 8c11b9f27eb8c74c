"""The structure holds: layers, types, the public names, one version."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import tokmagic
from tokmagic.core import errors

ROOT = Path(tokmagic.__file__).parents[1]


def run(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name):
    return str(Path(sys.executable).with_name(name))


def test_no_stair_leads_up():
    assert "0 broken" in run(tool("lint-imports"), "--no-cache")


def test_every_type_holds():
    assert "no issues found" in run(tool("mypy"))


def test_every_public_name_is_there_and_in_order():
    assert list(tokmagic.__all__) == sorted(tokmagic.__all__)
    assert dir(tokmagic) == list(tokmagic.__all__)
    for name in tokmagic.__all__:
        assert getattr(tokmagic, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        tokmagic.nothing  # noqa: B018


def test_the_version_stands_in_one_place():
    assert version("tokmagic") == tokmagic.__version__
    assert tokmagic.__version__ not in (ROOT / "pyproject.toml").read_text()


def test_every_error_stands_in_the_tree_at_the_top_of_its_file():
    names = [
        name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, BaseException)
    ]
    assert len(names) > 15
    for name in names:
        assert name in errors.__doc__
