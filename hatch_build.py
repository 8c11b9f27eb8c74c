"""Puts the built front end into wheels and source archives; builds it first where it is missing.

An editable install is left without it: there ``make lab`` links the built folder, so that it never goes stale.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

EXTENSION = "tokmagic/labextension"
#: What a complete build leaves.
BUILT = (f"{EXTENSION}/package.json", f"{EXTENSION}/install.json", "tokmagic/static/widget.js")


class FrontEnd(BuildHookInterface):
    """Ensures that the front end is built, and where it is installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the sidebar's files to what is built."""
        if version == "editable":
            return
        root = Path(self.root)
        if not all((root / name).is_file() for name in BUILT):
            _build(root / "labextension")
        if self.target_name == "wheel":
            build_data["shared_data"][EXTENSION] = "share/jupyter/labextensions/tokmagic"


def _build(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("The front end is not built and npm is missing: run make lab first, or install a release.")
    for words in (["ci"], ["run", "build"]):
        subprocess.run([npm, *words], cwd=folder, check=True)  # noqa: S603
