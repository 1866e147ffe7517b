"""python scripts/docs/stage.py [FOLDER]: writes what the site is built from to FOLDER (build/docs).

The folder gets mkdocs.yml and pages/: docs/ and model_cards/ side by side, notebooks as Markdown, and the generated
pages of the reference and the models.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from model_zoo import models_page
from reference import reference_pages

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def copy_pages(pages: Path) -> None:
    """Copy docs/ and the model cards; links follow."""
    for source in sorted((ROOT / "docs").rglob("*")):
        page = source.relative_to(ROOT / "docs")
        if source.is_dir() or page.parts[0] == "lessons":
            continue
        if source.suffix == ".md":
            write(pages / page, relink(source.read_text(encoding="utf-8"), source, pages / page, pages))
        else:
            (pages / page).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, pages / page)
    for card in sorted((ROOT / "model_cards").glob("*/README.md")):
        text = re.sub(r"\A---\n.*?\n---\n|<!--.*?-->\n", "", card.read_text(encoding="utf-8"), flags=re.S)
        name = card.parent.name
        write(pages / "model_cards" / f"{name}.md", text.replace("](pictures/", f"]({name}/pictures/"))
        if (card.parent / "pictures").is_dir():
            shutil.copytree(card.parent / "pictures", pages / "model_cards" / name / "pictures")


def relink(text: str, source: Path, target: Path, pages: Path) -> str:
    """Links between docs/ and model_cards/ with the site's paths; other links into the repository become text."""

    def link(match: re.Match[str]) -> str:
        mark, label, path, anchor = match[1], match[2], match[3], match[4] or ""
        file = (source.parent / path).resolve()
        if file.is_relative_to(ROOT / "docs"):
            place = pages / file.relative_to(ROOT / "docs")
            if place.suffix == ".ipynb":
                place = place.with_suffix(".md")
        elif file.is_relative_to(ROOT / "model_cards"):
            place = pages / file.parent.relative_to(ROOT).with_suffix(".md")
        else:
            return label
        return f"{mark}[{label}]({os.path.relpath(place, target.parent)}{anchor})"

    return LINK.sub(link, text)


def convert_lessons(pages: Path) -> None:
    """Notebooks become Markdown with their outputs; a lesson that has no notebook yet is shown as its text."""
    lessons = ROOT / "docs/lessons"
    notebooks = {path.stem: path for path in sorted(lessons.glob("*.ipynb"))}
    for path in sorted(lessons.glob("*")):
        target = pages / "lessons" / f"{path.stem}.md"
        if path.suffix == ".ipynb":
            from nbconvert import MarkdownExporter

            files = f"{path.stem}_files"
            text, resources = MarkdownExporter().from_filename(path, resources={"output_files_dir": files})
            for name, content in resources["outputs"].items():
                (target.parent / name).parent.mkdir(parents=True, exist_ok=True)
                (target.parent / name).write_bytes(content)
        elif path.suffix == ".md" and path.stem not in notebooks:
            text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.S)
        else:
            if path.suffix in (".png", ".svg", ".jpg"):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target.parent)
            continue
        write(target, relink(text, path, target, pages))


def navigation(entries: list[Any], pages: Path, named: set[str]) -> list[Any]:
    """Replace each folder (a name that ends in a slash) by those of its pages that are not named, an index first.

    Folders inside it become sections of their own.
    """
    result: list[Any] = []
    for entry in entries:
        title, value = (None, entry) if isinstance(entry, str) else next(iter(entry.items()))
        if isinstance(value, list):
            result.append({title: navigation(value, pages, named)})
        elif not value.endswith("/"):
            result.append(entry)
        elif not title:
            result += folder_pages(pages / value, pages, named)
        elif found := folder_pages(pages / value, pages, named):
            result.append({title: found})
    return result


def folder_pages(folder: Path, pages: Path, named: set[str]) -> list[Any]:
    """The entries of one folder."""
    files = sorted(folder.glob("*.md"), key=lambda path: (path.name not in ("index.md", "README.md"), path.name))
    names = (path.relative_to(pages).as_posix() for path in files)
    result: list[Any] = [name for name in names if name not in named]
    for inner in sorted(path for path in folder.glob("*/") if path.is_dir()):
        if found := folder_pages(inner, pages, named):
            result.append({inner.name.replace("_", " ").capitalize(): found})
    return result


def names_of(entries: list[Any]) -> set[str]:
    """The pages that the navigation names."""
    values = [entry if isinstance(entry, str) else next(iter(entry.values())) for entry in entries]
    return {name for value in values for name in (names_of(value) if isinstance(value, list) else [value])}


def write(path: Path, text: str) -> None:
    """Write a page; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main(folder: Path) -> None:
    """Write everything anew."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    copy_pages(pages)
    convert_lessons(pages)
    home = pages / "index.md"
    write(home, "---\nhide: [navigation, toc]\n---\n\n" + home.read_text(encoding="utf-8"))
    write(pages / "models.md", models_page())
    for name, text in reference_pages().items():
        write(pages / "reference" / name, text)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    config["nav"] = navigation(config["nav"], pages, names_of(config["nav"]))
    (mkdocstrings,) = (plugin["mkdocstrings"] for plugin in config["plugins"] if "mkdocstrings" in plugin)
    handler = mkdocstrings["handlers"]["python"]
    handler["paths"] = [str(ROOT)]
    handler["options"]["extensions"] = [str(ROOT / "scripts/docs/docstrings.py")]
    write(folder / "mkdocs.yml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    print(f"{len(list(pages.rglob('*.md')))} pages in {pages}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/docs").absolute())
