"""Documented columns in one file, spreads and controls in another, and both together again."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from brittle import tables

WIDE = pandas.DataFrame({
    "layer": [0, 1], "kind": ["a", "b"], "step": [5, 6], "drop": [1.0, 2.0], "size_mean": [7.0, 8.0],
    "drop_mean": [1.1, 2.1], "drop_std": [0.1, 0.2], "drop_low": [0.5, 1.5], "drop_high": [1.5, 2.5],
    "drop_random": [9.0, 9.5], "drop_benign": [3.0, 4.0], "drop_benign_mean": [3.1, 4.1],
    "drop_benign_std": [0.0, 0.0], "drop_benign_low": [2.0, 3.0], "drop_benign_high": [5.0, 6.0],
})  # fmt: skip


def test_numbers_stay_and_what_stands_behind_them_goes() -> None:
    own, beside = tables.apart(WIDE, keys=["step", "drop"])
    assert list(own) == ["layer", "kind", "step", "drop", "size_mean"]
    assert beside is not None
    assert list(beside) == ["layer", "kind", "step", "measure", "value", "mean", "std", "low", "high", "random"]
    assert beside[["layer", "measure", "value", "low"]].values.tolist() == [
        [0, "drop", 1.0, 0.5], [0, "drop_benign", 3.0, 2.0], [1, "drop", 2.0, 1.5], [1, "drop_benign", 4.0, 3.0],
    ]  # fmt: skip
    assert beside.random.tolist()[::2] == [9.0, 9.5] and beside.random.isna().tolist()[1::2] == [True, True]


def test_a_table_without_any_is_left_as_it_is() -> None:
    plain = WIDE[["layer", "drop", "size_mean"]]
    own, beside = tables.apart(plain)
    assert own.equals(plain) and beside is None


@pytest.mark.parametrize("rows_lost", [0, 1])
def test_read_puts_them_behind_again_unless_rows_are_missing(tmp_path: Path, rows_lost: int) -> None:
    own, beside = tables.apart(WIDE)
    assert beside is not None
    own.to_csv(tmp_path / "t.csv", index=False)
    beside[rows_lost:].to_csv(tmp_path / "t_controls.csv", index=False)
    found = tables.read(tmp_path, "t")
    assert tables.names_in(tmp_path) == ["t"]
    assert found.columns.isin(["drop_low"]).any() == (not rows_lost)
    if not rows_lost:
        pandas.testing.assert_frame_equal(found[list(WIDE)], WIDE, check_dtype=False)
