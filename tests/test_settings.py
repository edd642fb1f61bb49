"""Settings: where a value comes from, what is said when it cannot be used, what a run's folder is called; discovery."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle import commands, discovery
from brittle.command_line import main
from brittle.commands.command_flags import describe
from brittle.commands.laboratory import LaboratorySettings
from brittle.commands.parser import Parser
from brittle.commands.pipeline_settings import DemoSettings
from brittle.diagnostics.activation_covariance import Settings as ActivationSettings
from brittle.settings import (
    LARGEST_SEED,
    BadInput,
    check,
    fields_of,
    folder_tags,
    from_folder_tags,
    load_dotenv,
    refuse_unknown,
    resolve,
    setting,
    with_overrides,
)
from brittle.training.hyperparameters import TrainingSettings
from brittle.training.teaching import TeachingSettings


@dataclass(frozen=True)
class Baking:
    """Settings of every kind."""

    loaves: int = setting(1, "how many", environment="LOAVES", tag="n", minimum=0)
    heat: float = setting(200.0, "in % of what is sensible", environment="HEAT", tag="h", above=0, below=300)
    flour: str = setting("rye", "kind of flour", tag_if_changed="fl", choices=("rye", "oat", "fine_wheat"))
    racks: tuple[int, ...] = setting((5, 6), "racks in use", environment="RACKS", tag="rk")
    spices: tuple[float, ...] = setting((), "shares of spices")
    seeds: tuple[str, ...] = setting((), "what is strewn on top", tag_if_changed="se")
    salt: bool = setting(False, "with salt", environment="SALT", tag_if_changed="sa")
    lid: bool = setting(True, "under a lid", tag_if_changed="li")
    shop: str | None = setting(None, "where to sell", environment="SHOP")
    sugar: float | None = setting(None, "grams", minimum=0)
    oven: str = setting("brick_oven", "where to bake")


def refused(action, *arguments, **named) -> str:
    """The one line with which an action refuses."""
    with pytest.raises(BadInput) as caught:
        action(*arguments, **named)
    line = str(caught.value)
    assert line and "\n" not in line
    return line


def parser() -> Parser:
    made = Parser("bake")
    made.add(Baking)
    return made


def typed(*arguments: str) -> Baking:
    return resolve(Baking, parser().read(arguments))


SOURCES = {"preset": {"loaves": 2}, "environment": {"LOAVES": "3"}, "given": {"loaves": "4"}}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((), 1), (("preset",), 2), (("environment",), 3), (("given",), 4), (("preset", "environment"), 3),
        (("preset", "given"), 4), (("environment", "given"), 4), (("preset", "environment", "given"), 4),
    ],
)  # fmt: skip
def test_a_flag_wins_over_the_environment_over_a_preset_over_the_default(sources, expected) -> None:
    chosen = {"given": {}} | {name: SOURCES[name] for name in sources}
    assert resolve(Baking, **chosen).loaves == expected


def test_an_empty_environment_variable_is_none_at_all_but_a_flag_that_repeats_the_default_counts() -> None:
    assert resolve(Baking, {}, {"LOAVES": ""}, {"loaves": 2}).loaves == 2
    assert parser().read(["--loaves", "1"]) == {"loaves": "1"}  # only what was typed
    assert resolve(Baking, {"loaves": "1"}, {"LOAVES": "3"}, {"loaves": 2}).loaves == 1
    assert with_overrides(Baking, {"loaves": 7, "lr": 1.0}) == Baking(loaves=7)  # other types' settings are left alone


@pytest.mark.parametrize("text", ["5,6,7", "5 6 7", "5, 6, 7", " 5,6 7 ", "5-6-7"])
def test_a_tuple_is_written_with_commas_or_spaces(text) -> None:
    assert typed("--racks", text).racks == (5, 6, 7) == resolve(Baking, {}, {"RACKS": text}).racks


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("False", False), ("no", False)],
)
def test_words_for_true_and_false(text, expected) -> None:
    assert resolve(Baking, {}, {"SALT": text}).salt is expected


def test_a_switch_is_a_flag_without_a_value_and_a_default_switch_can_be_turned_off() -> None:
    assert (typed().salt, typed().lid) == (False, True)
    assert (typed("--salt").salt, typed("--no-lid").lid, typed("--lid").lid) == (True, False, True)
    assert "--no-no-" not in parser().help_text()


@pytest.mark.parametrize("word", ["none", " None ", ""])
def test_a_list_that_may_be_empty_is_emptied_by_the_word_that_help_has_for_it(word) -> None:
    assert resolve(TeachingSettings, {"trajectory_steps": word}).trajectory_steps == ()
    with pytest.raises(BadInput, match="seeds"):
        resolve(ActivationSettings, {"seeds": word})


def test_numbers_and_optional_values_take_their_type() -> None:
    chosen = typed("--heat", "1e2", "--loaves", "3", "--shop", "12", "--sugar", "4")
    assert chosen == Baking(heat=100.0, loaves=3, shop="12", sugar=4.0)
    assert [type(value) for value in (chosen.heat, chosen.loaves, chosen.sugar)] == [float, int, float]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--loaves", "two"], "--loaves: 'two' is not a valid int"),
        (["--loaves", "2.5"], "--loaves: '2.5' is not a valid int"),
        (["--loaves", "1\n2"], "--loaves"),
        (["--flour", "rye\noat"], "--flour"),
        (["--racks", "5;6;7"], "--racks: '5;6;7' is not a valid tuple"),
        (["--racks", "5-6-"], "--racks: '5-6-' is not a valid tuple"),
        (["--racks", ""], "--racks names nothing"),
        (["--racks", "5,6,5"], "--racks: 5 stands there twice"),
        (["--loaves", "²"], "--loaves: '²' is not a valid int"),
        (["--loaves", "9" * 5000], f"--loaves: '{'9' * 40}…' is not a valid int"),
        (["--loaves", "9" * 40], f"--loaves: {'9' * 40} is out of range; it must be at most 9.22e+18"),
        (["--loaves", "\ud800"], "--loaves: '\\ud800' is not a valid int"),
        (["--oven", "\ud800"], "--oven: '\\ud800' is not a valid str"),
        (["--sugar", "1e39"], "--sugar: 1e+39 is out of range; it must be at most 3.4e+38"),
        (["--spices", "0.5,nan"], "--spices: nan is not a finite number"),
        (["--spices", "inf"], "--spices: inf is not a finite number"),
        (["--spices=-1e39"], "--spices: -1e+39 is out of range"),
        (["--loaves", "-1"], "--loaves: -1 is out of range; it must be at least 0"),
        (["--heat", "0"], "--heat: 0.0 is out of range; it must be above 0"),
        (["--heat", "300"], "--heat: 300.0 is out of range; it must be below 300"),
        (["--heat", "nan"], "--heat: nan is not a finite number"),
        (["--sugar", "-0.5"], "--sugar: -0.5 is out of range; it must be at least 0"),
        (["--flour", "spelt"], "--flour: 'spelt' is not one of rye, oat, fine_wheat"),
        (["--loafs", "2"], "unknown argument --loafs; did you mean --loaves? (see bake --help)"),
        (["--flor=rye"], "unknown argument --flor=rye; did you mean --flour?"),
        (["--loav", "2"], "did you mean --loaves?"),  # a beginning of a flag is not taken for the flag
        (["--xyzzyx"], "unknown argument --xyzzyx (see"),  # resembles none
        (["--heat"], "expected one argument"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_line_that_names_the_flag(arguments, expected) -> None:
    assert expected in refused(typed, *arguments)


def test_environment_variables_are_checked_as_flags_are_and_what_lies_on_a_bound_may_be_allowed() -> None:
    assert "--salt: 'perhaps' is not a valid bool" in refused(resolve, Baking, {}, {"SALT": "perhaps"})
    assert "--heat: 300.0 is out of range" in refused(resolve, Baking, {}, {"HEAT": "300"})
    for allowed in (Baking(loaves=0), Baking(heat=1e-9), Baking(heat=299.9), Baking(sugar=0.0), Baking(sugar=None)):
        check(allowed)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"oven": Path("a/b")}, "a/b"), ({"loaves": numpy.int64(3)}, 3), ({"loaves": 3.0}, 3), ({"heat": 100}, 100.0),
        ({"racks": [5, 6]}, (5, 6)), ({"racks": numpy.array([5, 6])}, (5, 6)), ({"racks": 5}, (5,)), ({"shop": None}, None),
        ({"salt": True}, True), ({"seeds": ["poppy"]}, ("poppy",)), ({"spices": (1, 0.5)}, (1.0, 0.5)),
    ],
)  # fmt: skip
def test_values_from_python_take_the_fields_type(given, expected) -> None:
    ((name, _),) = given.items()
    found = getattr(resolve(Baking, given), name)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "given",
    [{"loaves": 2.5}, {"loaves": True}, {"oven": ["a"]}, {"heat": object()}, {"salt": 3}, {"racks": [2.5]}, {"racks": ()},
     {"heat": 10**400}, {"loaves": 2**63}, {"heat": math.nan}],
)  # fmt: skip
def test_values_from_python_that_do_not_fit_are_refused_in_one_line(given) -> None:
    assert refused(resolve, Baking, given).startswith(f"--{next(iter(given))}")


def test_a_name_that_no_setting_has_is_refused_with_the_nearest() -> None:
    refuse_unknown(["loaves", "heat"], Baking)
    assert refused(refuse_unknown, ["loaves", "loafes"], Baking) == "unknown setting loafes; did you mean loaves?"
    assert "there is" in refused(refuse_unknown, ["qqq"], Baking)


@pytest.mark.parametrize("settings_type", [TrainingSettings, LaboratorySettings, DemoSettings])
def test_seeds_are_what_every_generator_takes(settings_type) -> None:
    for field in fields_of(settings_type):
        if field.name in ("seed", "world"):
            assert getattr(resolve(settings_type, {field.name: str(LARGEST_SEED)}), field.name) == 2**32 - 1
            for wrong in (str(2**32), "-1"):
                assert "is out of range" in refused(resolve, settings_type, {field.name: wrong})


def test_a_setting_without_a_default_is_required() -> None:
    @dataclass(frozen=True)
    class Selling:
        price: float = setting(dataclasses.MISSING, "price of a loaf")

    assert "--price is required: price of a loaf" in refused(resolve, Selling, {})
    assert resolve(Selling, {"price": "2.5"}).price == 2.5


def test_a_program_prints_its_refusal_as_one_line_and_exits_with_2(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(None, ["unlearn", "--bach-size", "4"])
    captured = capsys.readouterr()
    assert ended.value.code == 2 and captured.out == ""
    assert captured.err == (
        "error: brittle unlearn: unknown argument --bach-size; did you mean --batch-size? (see brittle unlearn --help)\n"
    )


def test_help_tells_a_flags_default_environment_choices_and_readers() -> None:
    made = Parser("bake")
    readers = {"racks": ["oven", "kiln"]}
    made.add(Baking, {field.name: describe(field, readers.get(field.name, ())) for field in fields_of(Baking)})
    made.add(Baking)  # a second type with the same flags adds nothing
    words = " ".join(made.help_text().split())
    assert "in % of what is sensible (default: 200.0) [env: HEAT]" in words
    assert "racks in use [oven, kiln] (default: 5,6)" in words
    assert "--flour rye|oat|fine_wheat" in words
    assert "where to bake (default: brick_oven)" in words


@pytest.mark.parametrize(
    ("method", "training", "expected"),
    [
        ("cb", {}, "ep1_lr1e-05_bs4_a100.0_sc20.0_ly5-6-7"),
        ("cb_lat", {}, "ep1_lr1e-05_bs4_a100.0_sc20.0_le0.1_ls5_ly5-6-7"),  # as documented
        ("cb_lat", {"epochs": 2, "lr": 5e-6}, "ep2_lr5e-06_bs4_a100.0_sc20.0_le0.1_ls5_ly5-6-7"),  # as documented
        ("ga_simple", {}, "ep1_lr1e-05_bs4"),
        ("ga_simple", {"seed": 7, "train_only": ("mlp_expand", "qkv")}, "ep1_lr1e-05_bs4_tomlp.expand-qkv_sd7"),
    ],
)
def test_the_documented_folder_names(method, training, expected) -> None:
    chosen = discovery.find("methods", method).load().Settings()
    assert folder_tags(TrainingSettings(**training), chosen) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Baking,
        loaves=st.integers(0, 10**6),
        heat=st.floats(0, 300, exclude_min=True, exclude_max=True),
        flour=st.sampled_from(["rye", "oat", "fine_wheat"]),
        racks=st.lists(st.integers(0, 99), max_size=4).map(tuple),
        seeds=st.lists(st.sampled_from(["poppy", "sun_flower"]), max_size=3).map(tuple),
        salt=st.booleans(),
        lid=st.booleans(),
    )
)
def test_settings_survive_the_name_of_their_folder(chosen) -> None:
    tags = folder_tags(chosen)
    assert "/" not in tags and " " not in tags
    assert from_folder_tags(Baking, tags) == chosen


@pytest.mark.parametrize("field", fields_of(TrainingSettings), ids=lambda field: field.name)
def test_every_choice_of_training_survives_the_name_of_its_folder(field) -> None:
    for choice in field.metadata["choices"] or [field.default]:
        chosen = TrainingSettings(**{field.name: choice})
        assert from_folder_tags(TrainingSettings, folder_tags(chosen)) == chosen


# --- .env ------------------------------------------------------------------------------------------------------------


def test_a_dotenv_file_fills_what_the_environment_lacks(tmp_path, monkeypatch) -> None:
    names = ["PLAIN", "QUOTED", "SINGLE", "EXPORTED", "WITH_EQUALS", "SPACED", "ALREADY", "BLANK", "COMMENTED"]
    for name in names:
        monkeypatch.setenv(f"BRITTLE_TEST_{name}", "")  # so that the end of the test takes back what is set
        monkeypatch.delenv(f"BRITTLE_TEST_{name}")
    monkeypatch.setenv("BRITTLE_TEST_ALREADY", "from the shell")
    monkeypatch.setenv("BRITTLE_TEST_BLANK", "")
    path = tmp_path / ".env"
    path.write_text(
        "# keys\n\nBRITTLE_TEST_PLAIN=one\nBRITTLE_TEST_QUOTED=\"two words\"\nBRITTLE_TEST_SINGLE='three'\n"
        "export BRITTLE_TEST_EXPORTED=four\nBRITTLE_TEST_WITH_EQUALS=a=b=\n  BRITTLE_TEST_SPACED = six\n"
        "BRITTLE_TEST_ALREADY=from the file\nBRITTLE_TEST_BLANK=filled\n#BRITTLE_TEST_COMMENTED=no\nnot a line\n"
    )
    load_dotenv(tmp_path / "absent")  # nothing happens
    load_dotenv(path)
    expected = ["one", "two words", "three", "four", "a=b=", "six", "from the shell", "filled", None]
    assert [os.environ.get(f"BRITTLE_TEST_{name}") for name in names] == expected


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("export\tX=1", "1"), ("X=", ""), ("X= # nothing", ""), ("X='a # b'", "a # b"), ('X="a b" # c', "a b"), ("X=a#b", "a#b"),
        ("X='it", "'it"), ("\ufeffX=1", "1"), ("X=ä", "ä"),
    ],
)  # fmt: skip
def test_a_line_of_a_dotenv_file(line, value, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("X", "")
    (tmp_path / ".env").write_text(line, encoding="utf-8")
    load_dotenv(tmp_path / ".env")
    assert os.environ["X"] == value


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"A=\0", "loop"], ids=["not UTF-8", "NUL", "loop"])
def test_a_dotenv_file_that_is_no_text_is_one_line_that_names_it(content, tmp_path) -> None:
    path = tmp_path / ".env"
    if content == "loop":
        path.symlink_to(path)
        load_dotenv(path)  # a link to nothing is no file
        return
    path.write_bytes(content)
    assert str(path) in refused(load_dotenv, path)


# --- discovery -------------------------------------------------------------------------------------------------------

DOCUMENTED = {
    "methods": {"ga_simple", "ga", "grad_diff", "dpo", "npo", "simnpo", "rmu", "cb", "lat", "cb_lat", "wt_dist", "wt_dist_reg"},
    "diagnostics": {"weight_comparison", "activation_comparison", "mlp_attn_analysis", "wmdp_logit_lens"},
    "attacks": {"relearning"},
}  # fmt: skip


def test_listing_plugins_and_commands_imports_no_torch() -> None:
    code = (
        "import json, sys\n"
        "from brittle import commands, discovery\n"
        f"names = {{folder: sorted(discovery.plugins(folder)) for folder in {sorted(DOCUMENTED)}}}\n"
        "for command in commands.COMMANDS.values(): list(command.settings())\n"
        "heavy = [m for m in ('torch', 'transformers', 'numpy', 'pandas') if m in sys.modules]\n"
        "print(json.dumps([names, heavy]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, heavy = json.loads(done.stdout)
    assert heavy == []
    assert all(DOCUMENTED[folder] <= set(names[folder]) for folder in DOCUMENTED)


@pytest.mark.parametrize("folder", DOCUMENTED)
def test_a_plugin_loads_as_what_it_was_listed_as(folder) -> None:
    for name, plugin in discovery.plugins(folder).items():
        module = plugin.load()
        assert Path(module.__file__) == plugin.path
        assert name in getattr(module, "NAMES", ()) or name == module.NAME
        assert plugin.summary and module.__doc__.startswith(plugin.summary)


@pytest.mark.parametrize(
    ("folder", "name", "near"),
    [("methods", "cb_latt", "cb_lat"), ("diagnostics", "weight_comparson", "weight_comparison"), ("attacks", "relearnin", "relearning")],
)  # fmt: skip
def test_an_unknown_plugin_is_refused_with_near_names_and_where_all_are_listed(folder, name, near) -> None:
    line = refused(discovery.find, folder, name)
    assert line.startswith(f"unknown {folder[:-1]} '{name}'; there is {near}")
    assert f"(all: brittle {folder})" in line and folder in commands.COMMANDS
    everything = refused(discovery.find, folder, "!").replace(",", " ").split()  # resembles none
    assert set(discovery.plugins(folder)) <= set(everything)


def test_the_folder_is_the_registry_and_no_name_is_used_twice(tmp_path) -> None:
    (tmp_path / "first.py").write_text('"""One.\n\nMore."""\nNAME = "one"\nSTEP = 3\nimport never_imported\n')
    (tmp_path / "several.py").write_text('"""Two."""\nNAMES = ("two", "three")\n')
    (tmp_path / "no_plugin.py").write_text("VALUE = 1\n")
    found = discovery.plugins(str(tmp_path))
    assert {name: plugin.summary for name, plugin in found.items()} == {"one": "One.", "two": "Two.", "three": "Two."}
    assert found["one"].constants == {"NAME": "one", "STEP": 3}
    (tmp_path / "again").mkdir()
    for stem in ("first", "second"):
        (tmp_path / "again" / f"{stem}.py").write_text('NAME = "same"\n')
    with pytest.raises(ValueError, match="two plugins are called same"):
        discovery.plugins(str(tmp_path / "again"))


def test_a_path_given_from_python_is_its_text() -> None:
    assert resolve(Baking, {"shop": Path("corner") / "shop"}).shop == "corner/shop"
