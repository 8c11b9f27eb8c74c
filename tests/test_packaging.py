"""What is installed: the wheel carries the built sidebar, and the source archive needs no node to become a wheel."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import tokmagic

ROOT = Path(tokmagic.__file__).parents[1]
FRONT = ROOT / "labextension"
SHARED = "share/jupyter/labextensions/tokmagic"
WITHOUT_NODE = {**os.environ, "PATH": str(Path(sys.executable).parent / "no-such-folder")}


def build(source, target, folder):
    """The one archive that is built of a source tree, with no node in reach."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, env=WITHOUT_NODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the unpacked source archive."""
    folder = tmp_path_factory.mktemp("packages")
    with tarfile.open(build(ROOT, "sdist", folder / "sdist")) as archive:
        names = archive.getnames()
        assert not [name for name in names if "node_modules" in name]
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    with zipfile.ZipFile(build(source, "wheel", folder / "wheel")) as archive:
        yield archive


def test_the_wheel_carries_the_sidebar_and_the_inline_component(wheel):
    data = f"tokmagic-{tokmagic.__version__}.data/data/{SHARED}/"
    names = set(wheel.namelist())
    assert {
        f"{data}install.json",
        f"{data}package.json",
        "tokmagic/static/widget.js",
        "tokmagic/static/widget.css",
    } <= names
    assert any(name.startswith(f"{data}static/remoteEntry") for name in names)
    assert not any(name.startswith("tokmagic/labextension/") for name in names)


def test_the_sidebar_has_the_version_of_the_package_and_no_second_truth(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(f"{SHARED}/package.json")]
    assert json.loads(wheel.read(name))["version"] == tokmagic.__version__
    assert json.loads((FRONT / "package.json").read_text())["version"] == "0.0.0"


def test_the_lock_names_no_registry():
    assert '"resolved"' not in (FRONT / "package-lock.json").read_text()


def test_jupyter_lists_the_extension_as_enabled(tmp_path):
    place = tmp_path / "labextensions"
    place.mkdir()
    (place / "tokmagic").symlink_to(ROOT / "tokmagic" / "labextension")
    env = {**os.environ, "JUPYTER_PATH": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "tokmagic v" in line]
    assert "enabled" in line
    assert "OK" in line
