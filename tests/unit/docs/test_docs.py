# SPDX-License-Identifier: Apache-2.0
"""What the documents promise is what the code says."""

import re
from pathlib import Path

import pytest
import typer

from fedxdr.app.settings import PlanSettings, _LedgerSettings
from fedxdr.cli.main import COMMANDS, EXIT_STATUS, app
from fedxdr.core.errors import FedxdrError
from fedxdr.federation.phases import TABLE, Phase
from fedxdr.parties import registrar

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def codes(kind: type[FedxdrError]) -> set[str]:
    below = {kind.code} if kind is not FedxdrError else set()
    return below.union(*(codes(child) for child in kind.__subclasses__()))


def test_the_table_of_a_round_is_the_one_in_the_code() -> None:
    text = (DOCS / "explanation/round.md").read_text()
    parts = re.split(r"^### `([a-z]+)`$", text, flags=re.MULTILINE)
    for mode, part in zip(parts[1::2], parts[2::2], strict=True):
        written = [row for row in rows(part) if row[0] in set(Phase)]
        assert written == [
            [str(r.phase), str(r.takes), str(r.expected), r.needs, str(r.then)]
            for r in TABLE[mode]
        ], mode
    assert set(parts[1::2]) == set(TABLE)


def test_every_phase_is_told() -> None:
    text = (DOCS / "explanation/round.md").read_text()
    assert [phase for phase in Phase if f"{phase}" not in text] == []


def test_every_error_code_is_documented_and_no_other() -> None:
    assert registrar.NameTaken.code == "name-taken"
    written = {
        row[0].strip("`") for row in rows((DOCS / "reference/errors.md").read_text())
    } - {"code"}
    assert written == codes(FedxdrError)


def test_every_setting_is_documented_with_its_default() -> None:
    written = {
        row[0].strip("`"): row[1].strip("`")
        for row in rows((DOCS / "reference/settings.md").read_text())
        if row[0].startswith("`FL_")
    }
    in_code = {
        f"{prefix}{name.upper()}": (
            "none" if field.default in {None, ""} else str(field.default)
        )
        for kind, prefix in ((PlanSettings, "FL_"), (_LedgerSettings, "FL_BLOCKCHAIN_"))
        for name, field in kind.model_fields.items()
    }
    assert _LedgerSettings.model_config["env_prefix"] == "FL_BLOCKCHAIN_"
    assert written == in_code


def test_every_exit_code_is_documented() -> None:
    written = {row[0] for row in rows((DOCS / "reference/exit-codes.md").read_text())}
    assert {str(status) for _, status in EXIT_STATUS} | {"0"} == written - {"code"}


def test_every_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^fedxdr (\w+)|`fedxdr (\w+)", text, flags=re.MULTILINE))
    assert {first or second for first, second in named} <= set(COMMANDS)


def leaves() -> dict[str, set[str]]:
    """Return every command that does something -> its options."""

    def walk(command, words):  # type: ignore[no-untyped-def]  # typer's own classes
        below = getattr(command, "commands", None)
        if not below:
            options = {o for p in command.params for o in p.opts + p.secondary_opts}
            yield " ".join(words), options
        for name in below or ():
            yield from walk(below[name], (*words, name))

    root = typer.main.get_command(app)
    return dict(
        found
        for name in COMMANDS
        for found in walk(root.get_command(None, name), (name,))
    )


def test_every_command_is_documented_and_no_other() -> None:
    written = {
        row[0].strip("`").removeprefix("fedxdr ")
        for row in rows((DOCS / "reference/commands.md").read_text())
        if row[0].startswith("`fedxdr ")
    }
    assert written == set(leaves())


def test_every_option_that_is_documented_exists() -> None:
    known = leaves()
    for row in rows((DOCS / "reference/commands.md").read_text()):
        if row[0].startswith("`fedxdr "):
            words = row[0].strip("`").removeprefix("fedxdr ")
            # an option of another command is named with the command before it
            named = re.findall(r"`(?:([a-z][a-z -]*?) )?(--[a-z-]+)", row[1])
            for other, option in named:
                assert option in known[other.strip() or words], (words, option)


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_every_python_file_begins_with_its_licence(folder: str) -> None:
    first = "# SPDX-License-Identifier: Apache-2.0"
    bare = [
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*.py")
        if path.read_text().partition("\n")[0] != first
    ]
    assert bare == []


def test_every_benchmark_is_documented() -> None:
    written = {
        row[0].strip("`").removeprefix("benchmarks.")
        for row in rows((DOCS / "reference/benchmarks.md").read_text())
    } - {"program"}
    programs = {
        path.stem
        for path in (DOCS.parent / "benchmarks").glob("*.py")
        if "__main__" in path.read_text()
    }
    assert written == programs
