"""The user's files: nothing that no record lists is ever removed or replaced, through every command that writes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from test_bad_input import compare, place, refused, unlearn  # noqa: F401

from brittle import records
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
