"""Commands that list what there is and write pages about it: no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.command_settings import AttacksSettings, MethodsSettings, SignatureSettings
from brittle.records import check_file
from brittle.settings import BadInput, resolve, seeds_in

Given = dict[str, Any]
Environment = Mapping[str, str] | None


def listing(folder: str) -> Callable[[Given, Environment], int]:
    """The command that lists a folder's plugins."""

    def show(_given: Given, _environment: Environment) -> int:
        found = discovery.plugins(folder)
        width = max(map(len, found))
        for name, plugin in sorted(found.items(), key=lambda item: (item[1].constants.get("STEP", 0), item[0])):
            print(f"{name:<{width}}  {plugin.summary}")
        return 0

    return show


def methods(given: Given, environment: Environment) -> int:
    """List, measure and document the methods."""
    settings = resolve(MethodsSettings, given, environment)
    for names, reader in ((("only", "seeds", "outroot"), "measure"), (("results",), "page")):
        for name in names if not getattr(settings, reader) else ():
            if name in given:
                raise BadInput(f"--{name} is read with --{reader} only; add it or leave --{name} out")
    _check_files(settings.page)
    if settings.measure:
        from brittle.workflows.method_table import measure

        chosen = settings.only.replace(",", " ").split()
        print(f"-> {measure(chosen, seeds_in(settings.seeds), Path(settings.outroot))}")
    if settings.page:
        from brittle.records import write_text
        from brittle.workflows.method_pages import page

        write_text(Path(settings.page), page(Path(settings.results)))
        print(f"-> {settings.page}")
    return 0 if settings.measure or settings.page else listing("methods")(given, environment)


def attacks(given: Given, environment: Environment) -> int:
    """List and document the attacks."""
    settings = resolve(AttacksSettings, given)
    if settings.page is None:
        return listing("attacks")(given, environment)
    from brittle.records import write_text
    from brittle.workflows.attack_pages import page

    _check_files(settings.page)
    write_text(Path(settings.page), page())
    print(f"-> {settings.page}")
    return 0


def report(given: Given, _environment: Environment) -> int:
    """Write the report of an outputs folder again."""
    from brittle.reports.page import write_report

    path = write_report(Path(given.get("outputs") or "outputs"))
    print(path.resolve())
    return 0


def signature(given: Given, _environment: Environment) -> int:
    """Write the signature, and its page if one is named."""
    from brittle.records import write_text
    from brittle.reports import recovery_page, signature_files

    settings = resolve(SignatureSettings, {key: value for key, value in given.items() if key != "outputs"})
    _check_files(settings.page, settings.attacks_page)
    outputs = Path(given.get("outputs") or "outputs")
    print(f"-> {signature_files.write_signature(outputs)}")
    data = signature_files.gather(outputs)
    for file, page in ((settings.page, signature_files.page), (settings.attacks_page, recovery_page.page)):
        if file:
            write_text(Path(file), page(data))
            print(f"-> {file}")
    return 0


def _check_files(*pages: str | None) -> None:
    """Refuse, before any work, pages that cannot be written."""
    for page in filter(None, pages):
        check_file(Path(page))
