"""The user's files: nothing that no record lists is ever removed or replaced, through every command that writes."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError
from test_bad_input import compare, place, refused, unlearn  # noqa: F401

from brittle import commands, records
from brittle.command_line import main
from brittle.records import Identity, check_file, check_place, is_complete, writing
from brittle.settings import BadInput

IDENTITY = Identity("bread", {}, {"heat": 200})


def bake(folder: Path, identity: Identity = IDENTITY) -> None:
    with writing(folder, identity) as draft:
        draft.table("loaves", [{"grams": 500.0}])


def tree(folder: Path) -> dict[str, object]:
    """Every entry below a folder with what it is: a file's bytes, a link's target, a folder."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }  # fmt: skip


FOREIGN = {
    "a file": lambda at: (at.mkdir(), (at / "thesis.tex").write_text("mine")),
    "a file far below": lambda at: (
        (at / "a" / "b").mkdir(parents=True),
        (at / "a" / "b" / "thesis.tex").write_text("mine"),
    ),
    "an empty folder": lambda at: (at / "later").mkdir(parents=True),
    "a file beside a result": lambda at: (bake(at), (at / "notes.txt").write_text("mine")),
    "a folder beside a result": lambda at: (bake(at), (at / "more").mkdir(), (at / "more" / "x").write_text("mine")),
    "a result of another kind": lambda at: bake(at, Identity("cake", {}, {})),
    "results below": lambda at: bake(at / "bread"),
    "a file in its place": lambda at: at.write_text("mine"),
    "a link to a folder": lambda at: (at.with_name("kept").mkdir(), at.symlink_to(at.with_name("kept"))),
    "a link to nothing": lambda at: at.symlink_to(at.with_name("nothing")),
    "a link to itself": lambda at: at.symlink_to(at),
    "a broken record": lambda at: (at.mkdir(), (at / "record.json").write_text("{")),
    "a hidden file": lambda at: (at.mkdir(), (at / ".partial").write_text("mine")),
}


@pytest.mark.parametrize("lies_there", FOREIGN)
def test_what_no_record_lists_is_refused_and_stays(lies_there, tmp_path) -> None:
    FOREIGN[lies_there](tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(BadInput):
        check_place(tmp_path / "out", IDENTITY.kind)
    with pytest.raises(BadInput):
        bake(tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("lies_there", ["nothing", "an empty folder", "its own result", "with results inside it"])
def test_what_is_ours_is_replaced(lies_there, tmp_path) -> None:
    if lies_there == "an empty folder":
        (tmp_path / "out").mkdir()
    if lies_there in ("its own result", "with results inside it"):
        bake(tmp_path / "out", Identity("bread", {}, {"heat": 180}))
    if lies_there == "with results inside it":
        bake(tmp_path / "out" / "benchmarks", Identity("tasting", {}, {}))
    check_place(tmp_path / "out", IDENTITY.kind)
    bake(tmp_path / "out")
    assert is_complete(tmp_path / "out", IDENTITY)
    assert sorted(tree(tmp_path)) == ["out", "out/loaves.csv", "out/record.json"]


def test_what_came_while_a_result_was_made_stays(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"holds thesis\.tex"), writing(tmp_path / "out", IDENTITY) as draft:
        draft.table("loaves", [{"grams": 500.0}])
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("mine")
    assert tree(tmp_path) == {"out": None, "out/thesis.tex": b"mine"}


def test_a_large_tree_is_refused_without_being_walked(tmp_path, monkeypatch) -> None:
    bake(tmp_path / "home")
    for number in range(20):
        (tmp_path / "home" / f"{number:02}" / "deep").mkdir(parents=True)
    looked_at: list[Path] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looked_at.append(path), scan(path))[1])
    assert len(records.foreign_files(tmp_path / "home")) == 1
    assert looked_at == [tmp_path / "home"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/null/x", "is not a folder"), ("file/x", "is not a folder"), ("loop/x", "is not a folder"),
        ("dangling/x", "is not a folder"), ("/proc/x", "cannot be written to"), ("x" * 300, "name is too long"),
        ("y/" * 2100, "name is too long"), ("nul\0", "cannot be written to"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(path, reason, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nothing")
    before = tree(tmp_path)
    for check in (check_place, check_file):
        with pytest.raises(BadInput, match=reason) as caught:
            check(Path(path))
        assert len(str(caught.value)) < 500
    assert tree(tmp_path) == before


def test_space_is_asked_for_before_work(tmp_path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_place(tmp_path / "out", space=free // 2)
    with pytest.raises(BadInput, match="GiB are free there"):
        check_place(tmp_path / "out", space=free + 2**40)


@pytest.mark.parametrize("target", ["/dev/null", "link", "folder"])
def test_a_page_replaces_plain_files_alone(target, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page.md").write_text("mine")
    Path("link").symlink_to("page.md")
    Path("folder").mkdir()
    before = tree(tmp_path)
    for command in ("attacks", "methods"):
        assert "not a plain file" in refused(capsys, command, "--page", target)
    assert tree(tmp_path) == before and not os.path.isfile("/dev/null")


def test_a_folder_that_the_user_names_keeps_what_lies_in_it(place, capsys) -> None:  # noqa: F811
    Path("keep").mkdir()
    Path("keep/thesis.tex").write_text("mine")
    for where in (["--outdir", "keep"], ["--outdir", "keep/thesis.tex"]):
        assert "thesis.tex" in refused(capsys, "diagnose", *compare(place, "base", "unlearned"), *where)
    assert Path("keep/thesis.tex").read_text() == "mine"


def test_figures_may_go_where_the_tables_go(place) -> None:  # noqa: F811
    for plots in ("out", "out/figures"):
        shutil.rmtree("out", ignore_errors=True)
        for _ in range(2):  # the second time everything there is listed
            with pytest.raises(SystemExit) as end:
                main(
                    "diagnose",
                    [
                        *map(str, compare(place, "base", "unlearned")),
                        "--outdir",
                        "out",
                        "--plot-outdir",
                        plots,
                        "--force",
                    ],
                )
            assert end.value.code == 0
            assert list(Path(plots).glob("*.png")) and Path("out/record.json").is_file()


def test_an_unlearned_model_replaces_no_file_of_the_users(place, capsys) -> None:  # noqa: F811
    with pytest.raises(SystemExit) as end:
        main("unlearn", [str(part) for part in unlearn(place, epochs=0)])
    assert end.value.code == 0
    (made,) = Path("unlearned_models").iterdir()
    (made / "thesis.tex").write_text("mine")
    before = tree(Path())
    assert "thesis.tex" in refused(capsys, "unlearn", *unlearn(place, epochs=0), "--force")
    assert tree(Path()) == before


# --- what the system refuses is one line -----------------------------------------------------------------------------


def brittle(
    *arguments: object, folder: Path, output: object = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    code = "from brittle.command_line import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=folder, stdout=output, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", errors="replace", env=os.environ | environment, timeout=300,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess, code: int) -> str:
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), 2, "out/x: No space left on device; make room on that disk"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied; check its permissions"),
        (OSError("two\nlines"), 2, "two lines"),
        (MemoryError(), 2, "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 2, "memory ran out"),
        (SafetensorError("Error while serializing: I/O error: No space left"), 2, "a file could not be read or written"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero (test_public_files.py:"),
        (RuntimeError("shapes\ndiffer"), 1, "RuntimeError: shapes differ (test_public_files.py:"),
    ],
    ids=repr,
)  # fmt: skip
def test_every_problem_is_one_line_and_a_traceback_comes_on_demand(problem, code, words, capsys, monkeypatch) -> None:
    def run(given, environment) -> int:
        raise problem

    monkeypatch.setitem(commands.COMMANDS, "fail", commands.Command("fails", run))
    with pytest.raises(SystemExit) as end:
        main("fail", [])
    error = capsys.readouterr().err
    assert end.value.code == code and error.count("\n") == 1 and words in error
    assert ("fault of the program" in error) == (code == 1)
    monkeypatch.setenv("BRITTLE_TRACEBACK", "1")
    with pytest.raises(type(problem)):
        main("fail", [])


def test_a_home_that_cannot_be_used_is_one_line(tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    done = brittle("laboratory", "--size", "tiny", folder=tmp_path, BRITTLE_HOME=str(tmp_path / "file" / "home"))
    assert str(tmp_path / "file") in one_line(done, 2)


def test_output_that_nobody_reads_or_that_has_no_room_ends_quietly(tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = brittle("methods", folder=tmp_path, output=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    with open("/dev/full", "w", encoding="utf-8") as full:
        assert "No space left on device" in one_line(brittle("methods", folder=tmp_path, output=full), 2)


def test_an_ascii_locale_loses_characters_and_nothing_else(tmp_path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    usual, ascii_ = brittle("--help", folder=tmp_path), brittle("--help", folder=tmp_path, **ascii_only)
    assert ascii_.returncode == 0 and len(ascii_.stdout.splitlines()) == len(usual.stdout.splitlines())
    done = brittle("pipeline", "--help", folder=tmp_path, **ascii_only)
    assert done.returncode == 0 and "?" in done.stdout and done.stdout.isascii()
    assert "unknown command 'd??mo'" in one_line(brittle("dämo", folder=tmp_path, **ascii_only), 2)
    brittle("attacks", "--page", "page.md", folder=tmp_path)
    brittle("attacks", "--page", "ascii.md", folder=tmp_path, **ascii_only)
    assert (tmp_path / "page.md").read_bytes() == (tmp_path / "ascii.md").read_bytes()


@pytest.mark.parametrize("argument", [b"\xff", b"mod\xe4l"])
def test_an_argument_that_is_not_text_is_refused(argument, tmp_path) -> None:
    code = "from brittle.command_line import main; main()"
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-c", code.encode(), b"report", argument],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "argument 2" in one_line(done, 2) and list(tmp_path.iterdir()) == []


def test_no_file_is_opened_as_text_without_an_encoding() -> None:
    """What a name like ``open`` or ``write_text`` is called with, over the whole source."""
    missing = []
    for path in Path(commands.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of_os = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in (
                "os",
                "gzip",
                "bz2",
                "lzma",
                "zipfile",
                "webbrowser",
            )
            mode = next((str(a.value) for a in node.args[1:2] if isinstance(a, ast.Constant)), "")
            binary = "b" in mode or any(
                k.arg == "mode" and "b" in str(getattr(k.value, "value", "")) for k in node.keywords
            )
            own = name in ("write_text",) and isinstance(node.func, ast.Name)  # ours is always UTF-8
            text = name in ("open", "write_text", "read_text", "fdopen") and not (of_os or binary or own)
            if text and not any(keyword.arg == "encoding" for keyword in node.keywords):
                missing.append(f"{path.name}:{node.lineno}")
    assert missing == []
