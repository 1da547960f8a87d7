"""Pages that lie elsewhere in the repository, where GitHub looks for them, become pages of the site; links follow."""

from __future__ import annotations

import argparse
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from analysis.__main__ import __doc__ as described
from analysis.command_line import parser_of
from sweep.commands.options import ABOUT, overview, page_of

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "slurm/README.md": "slurm.md",
}
PLACES = {page: place for place, page in PAGES.items()}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:#]+)(#[^)]*)?\)")
HELP = re.compile(r"<!-- help: (\w+) -->")
SCRIPT = re.compile(r"<!-- script: (\S+) -->")
ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add those pages, and the pictures outside docs/ that any page shows."""
    for place, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / place)))
    shown: set[str] = set()
    for one in files.documentation_pages():
        links = LINK.findall(one.content_string)
        shown |= {place for _, _, target, _ in links if (place := in_repository(one.src_uri, target)).endswith(".png")}
    for place in sorted(shown):
        if not place.startswith("docs/"):
            files.append(File.generated(config, place, abs_src_path=str(ROOT / place)))
    return files


def in_repository(page: str, target: str) -> str:
    """Where a relative link of a page leads, from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(PLACES.get(page, f"docs/{page}")), target))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links lead to the site's pages and pictures; to a file that is none of them only its name is left."""

    def there(match: re.Match[str]) -> str:
        mark, text, target, anchor = match.groups()
        place = in_repository(page.file.src_uri, target)
        uri = PAGES.get(place, place.removeprefix("docs/"))
        if files.get_file_from_path(uri) is None:
            return text if (ROOT / place).exists() else match[0]
        return f"{mark}[{text}]({posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')}{anchor or ''})"

    markdown = HELP.sub(lambda match: f"```text\n{help_of(match[1])}\n```", LINK.sub(there, markdown))
    return SCRIPT.sub(lambda match: f"```bash\n{(ROOT / 'docs' / match[1]).read_text(encoding='utf-8')}```", markdown)


def help_of(command: str) -> str:
    """What `python -m COMMAND --help` prints, and the help of each of its subcommands."""
    if command == "sweep":
        return "\n".join([overview(), *map(page_of, ABOUT)])
    parser = parser_of(described)
    kinds = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return "\n".join(one.format_help() for one in (parser, *kinds.choices.values()))
