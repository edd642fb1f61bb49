"""Records: whole or not there, whatever happens while one is written; and when one counts as done."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle import leases, records
from brittle.records import (
    RECORD,
    Identity,
    column,
    digest_of_file,
    digest_of_text,
    fingerprint,
    is_complete,
    plain,
    read_record,
    replacing,
    sweep_leftovers,
    write_json,
    write_text,
    writing,
)
from brittle.settings import BadInput

OLD, NEW = (Identity("bread", {"flour": "rye"}, {"heat": heat}) for heat in (200.0, 220.0))


@dataclass(frozen=True)
class Loaf:
    number: int = column("which loaf")
    grams: float = column("weight")


def write(folder: Path, identity: Identity, loaves: int = 2) -> None:
    with writing(folder, identity) as draft:
        draft.table("loaves", [Loaf(number, 500.0) for number in range(loaves)])
        draft.summary({"loaves": loaves})


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "bread"


# --- what a record holds ---------------------------------------------------------------------------------------------


def test_a_record_lists_its_files_and_says_what_it_depends_on(folder) -> None:
    with writing(folder, OLD) as draft:
        draft.table("loaves", [Loaf(1, 500.0), Loaf(2, math.nan)])
        draft.summary({"loaves": 2})
        (draft.folder / "figures").mkdir()
        (draft.folder / "figures" / "loaf.svg").write_text("<svg/>")
        draft.note(burnt=1)
    record = read_record(folder)
    assert record["files"] == ["figures/loaf.svg", "loaves.csv", "summary.json"]
    assert (record["kind"], record["inputs"], record["settings"]) == ("bread", {"flour": "rye"}, {"heat": 200.0})
    assert (record["status"], record["fingerprint"], record["notes"]) == ("complete", OLD.fingerprint, {"burnt": 1})
    assert (folder / "loaves.csv").read_text() == "number,grams\n1,500.0\n2,\n"
    assert is_complete(folder, OLD) and contents(folder.parent) == ["bread"]


@pytest.mark.parametrize("rows", [[{"a": 1, "b": 2}], pandas.DataFrame({"a": [1], "b": [2]})], ids=["dict", "frame"])
def test_rows_may_be_dictionaries_or_a_data_frame(folder, rows) -> None:
    with writing(folder, OLD) as draft:
        draft.table("rows", rows)
    assert (folder / "rows.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("rows", [[], iter(()), pandas.DataFrame({"a": []})], ids=["list", "iterator", "frame"])
def test_a_table_without_rows_is_an_error_and_no_record(folder, rows) -> None:
    with pytest.raises(ValueError, match=r"loaves\.csv would have no rows"), writing(folder, OLD) as draft:
        draft.table("loaves", rows)
    assert contents(folder.parent) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, numpy.float32("nan"), numpy.float64("inf")], ids=repr)
def test_what_is_no_number_becomes_null(tmp_path, value) -> None:
    write_json(tmp_path / "summary.json", {"top": value, "inner": [{"deep": (value, 1.5)}]})
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text) == {"top": None, "inner": [{"deep": [None, 1.5]}]}
    assert "NaN" not in text and "Infinity" not in text


def test_numbers_of_numpy_paths_and_rows_become_plain() -> None:
    found = plain({1: numpy.int64(3), "p": Path("a/b"), "row": Loaf(1, 2.0), "b": numpy.bool_(True), "none": None})
    assert found == {"1": 3, "p": "a/b", "row": {"number": 1, "grams": 2.0}, "b": True, "none": None}
    assert type(found["1"]) is int and type(found["b"]) is bool


# --- fingerprints ----------------------------------------------------------------------------------------------------

keys = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_a_fingerprint_depends_on_content_but_not_on_order_or_storage(content) -> None:
    assert fingerprint(dict(reversed(content.items()))) == fingerprint(content)
    assert fingerprint(json.loads(json.dumps(plain(content)))) == fingerprint(content)


@settings(deadline=None)
@given(values, values)
def test_different_contents_have_different_fingerprints(one, other) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) == same


def test_every_part_of_an_identity_counts() -> None:
    made = [Identity("k", {"a": 1}, {"b": 2}), Identity("l", {"a": 1}, {"b": 2}), Identity("k", {"a": 2}, {"b": 2}),
            Identity("k", {"a": 1}, {"b": 3}), Identity("k", {"b": 2}, {"a": 1})]  # fmt: skip
    assert len({identity.fingerprint for identity in made}) == len(made)


def test_a_files_digest_is_its_texts(tmp_path) -> None:
    (tmp_path / "text").write_text("abc")
    # SHA-256 of "abc" begins ba7816bf 8f01cfea (FIPS 180-2, appendix B.1).
    assert digest_of_file(tmp_path / "text") == digest_of_text("abc") == "ba7816bf8f01cfea"


# --- when a record is complete ---------------------------------------------------------------------------------------


def test_a_record_of_another_identity_is_not_this_one(folder) -> None:
    write(folder, OLD)
    assert is_complete(folder, OLD) and not is_complete(folder, NEW)


@pytest.mark.parametrize("missing", ["loaves.csv", "summary.json", RECORD])
def test_a_record_with_a_file_missing_is_not_complete(folder, missing) -> None:
    write(folder, OLD)
    (folder / missing).unlink()
    assert not is_complete(folder, OLD)


@pytest.mark.parametrize("change", ["emptied", "edited", "cut"])
def test_a_record_whose_table_was_changed_is_not_complete(folder, change) -> None:
    write(folder, OLD)
    text = (folder / "loaves.csv").read_text()
    changed = {"emptied": "", "edited": text.replace("500.0", "501.0"), "cut": text[:-3]}[change]
    (folder / "loaves.csv").write_text(changed)
    assert not is_complete(folder, OLD)
    (folder / "loaves.csv").write_text(text)
    assert is_complete(folder, OLD)


def test_of_a_large_file_the_size_counts_and_records_of_earlier_versions_list_names_alone(folder, monkeypatch) -> None:
    monkeypatch.setattr(records, "DIGESTED", 20)
    with writing(folder, OLD) as draft:
        (draft.folder / "weights").write_bytes(b"1" * 21)
        (draft.folder / "small").write_bytes(b"1" * 20)
    assert read_record(folder)["contents"] == {"small": [20, fingerprint_of(b"1" * 20)], "weights": [21, None]}
    (folder / "weights").write_bytes(b"2" * 21)
    assert is_complete(folder, OLD)
    (folder / "weights").write_bytes(b"2" * 20)
    assert not is_complete(folder, OLD)
    earlier = read_record(folder)
    del earlier["contents"]
    write_json(folder / RECORD, earlier)
    assert is_complete(folder, OLD)


def fingerprint_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize(
    "rows", [[Loaf(1, math.nan), Loaf(2, math.nan)], pandas.DataFrame({"g": [numpy.nan]}, dtype="float32")]
)
def test_a_table_without_any_number_is_no_result(folder, rows) -> None:
    with pytest.raises(ValueError, match=r"loaves\.csv would have no number"), writing(folder, OLD) as draft:
        draft.table("loaves", rows)
    assert contents(folder.parent) == []


def test_a_record_cut_off_anywhere_is_not_complete(folder) -> None:
    write(folder, OLD)
    whole = (folder / RECORD).read_text().rstrip()
    for length in range(0, len(whole), 7):
        (folder / RECORD).write_text(whole[:length])
        assert read_record(folder) is None and not is_complete(folder, OLD)


@pytest.mark.parametrize("garbage", [b"", b"\0" * 64, b"\xff\xfe\x00", b"[1]", b"3", b"null", b'"complete"'], ids=repr)
def test_a_file_that_is_no_record_is_none(folder, garbage) -> None:
    write(folder, OLD)
    (folder / RECORD).write_bytes(garbage)
    assert read_record(folder) is None and not is_complete(folder, OLD)


def test_a_record_that_says_it_is_not_complete_is_not(folder) -> None:
    write(folder, OLD)
    write_json(folder / RECORD, read_record(folder) | {"status": "failed"})
    assert not is_complete(folder, OLD)


def test_no_folder_is_no_record(folder) -> None:
    assert read_record(folder) is None and not is_complete(folder, OLD)


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [True, False], ids=["over an old record", "for the first time"])
def test_an_exception_leaves_what_was_there_before(folder, problem, before) -> None:
    if before:
        write(folder, OLD)
    with pytest.raises(problem), writing(folder, NEW) as draft:
        draft.table("loaves", [Loaf(1, 1.0)])
        raise problem
    assert is_complete(folder, OLD) == before
    assert contents(folder.parent) == ["bread"] * before


def test_the_old_record_stands_until_the_new_one_is_whole(folder) -> None:
    write(folder, OLD, loaves=3)
    with writing(folder, NEW) as draft:
        draft.table("rolls", [Loaf(1, 1.0)])
        assert is_complete(folder, OLD) and not is_complete(draft.folder, NEW)
        assert len(pandas.read_csv(folder / "loaves.csv")) == 3
    assert is_complete(folder, NEW)
    assert contents(folder) == [RECORD, "rolls.csv"]  # nothing of the old one stays
    assert contents(folder.parent) == ["bread"]


def test_a_second_writer_of_one_record_is_refused_and_disturbs_nothing(folder) -> None:
    started, refusals = threading.Event(), []
    with writing(folder, OLD) as slow:
        slow.table("loaves", [Loaf(1, 1.0)])

        def second() -> None:
            with pytest.raises(BadInput, match=rf"is being written by process {os.getpid()} ") as caught:
                write(folder, NEW)
            refusals.append(str(caught.value))
            started.set()

        threading.Thread(target=second).start()
        assert started.wait(10) and slow.folder.is_dir()
    assert is_complete(folder, OLD) and contents(folder.parent) == ["bread"] and len(refusals) == 1


def test_a_file_that_could_not_be_written_keeps_its_old_text(tmp_path) -> None:
    write_text(tmp_path / "page.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "page.html", "new \ud800")
    assert (tmp_path / "page.html").read_text() == "old"


# --- kills -----------------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from pathlib import Path
from brittle.records import Identity, writing
folder, moment, seen = Path({folder!r}), {moment}, 0
def watch(event, arguments):
    global seen
    if event in ("os.rename", "shutil.rmtree") and str(folder.parent) in str(arguments[0]):
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)
with writing(folder, {identity!r}) as draft:
    draft.summary({{"loaves": 1}})
    if moment == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
print("not killed")
"""


def kill_at(moment: int, folder: Path) -> None:
    """Write the new record in a process that is killed inside the block (0) or before a renaming or deletion."""
    code = CHILD.format(folder=str(folder), moment=moment, identity=NEW)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


# The four moments: record.json takes its name, the old folder moves away, the new one moves in, the old one is deleted.
@pytest.mark.parametrize(("moment", "left"), [(0, OLD), (1, OLD), (2, OLD), (3, None), (4, NEW)])
def test_a_kill_leaves_the_old_record_or_none_or_the_new_one(folder, moment, left) -> None:
    write(folder, OLD)
    kill_at(moment, folder)
    assert [is_complete(folder, identity) for identity in (OLD, NEW)] == [left == OLD, left == NEW]
    assert folder.exists() == (left is not None)
    leftovers = [name for name in contents(folder.parent) if name != "bread"]
    assert leftovers and all(name.startswith(".bread.") for name in leftovers)
    write(folder, NEW)
    assert is_complete(folder, NEW) and contents(folder.parent) == ["bread"]


def test_a_kill_while_the_first_record_is_written_leaves_none(folder) -> None:
    kill_at(0, folder)
    assert not folder.exists() and all(name.startswith(".bread.") for name in contents(folder.parent))
    write(folder, NEW)
    assert is_complete(folder, NEW) and contents(folder.parent) == ["bread"]


def ended_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_sweeping_touches_no_living_draft_and_no_other_folder(tmp_path) -> None:
    ended, alive, here, there = ended_process(), os.getpid(), leases.host(), "0123abcd"
    swept = [
        f".bread.{here}-{ended}-abcdef.partial",
        f".bread.{here}-{ended}-abcdef.old",
        f".bread.{there}-1-abcdea.partial",
    ]
    kept = [f".bread.{here}-{alive}-abcdef.partial", f".rolls.{here}-{ended}-abcdef.partial",
            f".bread.crust.{here}-{ended}-abcdef.partial", f".bread.{there}-1-abcdef.partial", ".bread.partial", ".bread.old",
            ".bread.abcdef.old", "bread", "bread.old"]  # fmt: skip
    for name in (*swept, *kept):
        (tmp_path / name).mkdir()
    silent = time.time() - leases.PATIENCE - 1  # another host's process that has renewed nothing for so long
    os.utime(tmp_path / swept[2], (silent, silent))
    sweep_leftovers(tmp_path / "bread")
    assert contents(tmp_path) == sorted(kept)


def test_the_lease_of_an_ended_process_is_taken_over_and_a_living_one_of_another_host_is_not(folder) -> None:
    folder.parent.mkdir()
    lease = folder.parent / ".bread.lease"
    lease.write_text(json.dumps({"host": leases.host(), "process": ended_process(), "started": "1"}))
    write(folder, OLD)
    lease.write_text(json.dumps({"host": leases.host(), "process": os.getpid(), "started": "1"}))  # a number used again
    write(folder, NEW)
    assert is_complete(folder, NEW) and contents(folder.parent) == ["bread"]
    lease.write_text(json.dumps({"host": "0123abcd", "name": "node7", "process": 1, "started": "1"}))
    with pytest.raises(BadInput, match="is being written by process 1 on node7"):
        write(folder, OLD)
    silent = time.time() - leases.PATIENCE - 1
    os.utime(lease, (silent, silent))
    write(folder, OLD)
    assert is_complete(folder, OLD) and contents(folder.parent) == ["bread"]


def test_who_waits_says_for_whom_also_where_the_lease_was_begun_this_moment(tmp_path, monkeypatch, capsys) -> None:
    lease = tmp_path / ".bread.lease"
    lease.touch()  # made, and not yet written
    holder = {"host": leases.host(), "name": "oven", "process": os.getpid(), "started": leases.started(os.getpid())}
    rounds = iter([lambda: lease.write_text(json.dumps(holder)), lambda: None, lease.unlink])
    monkeypatch.setattr(leases.time, "sleep", lambda _: next(rounds)())
    with leases.held(tmp_path / "bread", wait=True):
        pass
    said = capsys.readouterr().err
    assert said.count("waiting for") == 1 and f"waiting for process {os.getpid()} on oven" in said


def test_who_may_wait_gets_the_lease_when_it_is_free(tmp_path, capsys) -> None:
    got = []

    def second() -> None:
        with leases.held(tmp_path / "bread", wait=True):
            got.append(time.monotonic())

    with leases.held(tmp_path / "bread"), leases.held(tmp_path / "bread"):  # the same thread may hold it twice
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert not got
        freed = time.monotonic()
    thread.join(10)
    assert got[0] >= freed and contents(tmp_path) == []
    assert "waiting for process" in capsys.readouterr().err


def test_abandoned_work_leaves_nothing(folder) -> None:
    code = f"""
import os
from pathlib import Path
from brittle import leases, records
from brittle.records import Identity, writing
with writing(Path({str(folder)!r}), {OLD!r}) as draft:
    draft.summary({{"loaves": 1}})
    leases.abandon()
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert contents(folder.parent) == []


def test_a_file_left_half_written_goes_when_it_is_written_again(tmp_path) -> None:
    half = tmp_path / f".menu.txt.{leases.host()}-{ended_process()}-abcdef.partial"
    half.write_text("brea")
    write_text(tmp_path / "menu.txt", "bread")
    assert contents(tmp_path) == ["menu.txt"]
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "menu.txt") as temporary:
        temporary.write_text("ro" * (1 // 0))
    assert contents(tmp_path) == ["menu.txt"] and (tmp_path / "menu.txt").read_text() == "bread"
