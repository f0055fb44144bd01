"""A hook of MkDocs: README.md, CHANGELOG.md and LICENSE become pages of the site, with their links set right."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINKS = {"](docs/": "](", "](CHANGELOG.md": "](changes.md", "](LICENSE)": "](LICENSE.txt)"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the three files that lie outside docs/."""
    for source, page in (("README.md", "index.md"), ("CHANGELOG.md", "changes.md"), ("LICENSE", "LICENSE.txt")):
        text = (ROOT / source).read_text(encoding="utf-8")
        if page.endswith(".md"):
            for there, here in LINKS.items():
                text = text.replace(there, here)
        files.append(File.generated(config, page, content=text))
    return files
