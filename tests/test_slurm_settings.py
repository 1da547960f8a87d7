"""The launcher's settings: what is refused with its name before SLURM is asked, and what reaches a script unchanged."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_slurm import put_on_path
from submitit.slurm.slurm import _make_sbatch_string

from sweep.config import Exec
from sweep.launchers.slurm import request
from sweep.launchers.slurm.lines import check_shell, shell_lines, text
from sweep.launchers.slurm.settings import REPOSITORY, check_delay, plain_options, site_settings, typed

LAUNCHER = yaml.safe_load((REPOSITORY / "conf/hydra/launcher/slurm.yaml").read_text())
SITE = yaml.safe_load((REPOSITORY / "slurm/site.yaml").read_text())
NOT_IN_A_LINE = ("\n", "\r", "\0", "\t", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\udc80")


@pytest.fixture(autouse=True)
def _commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path / "bin", monkeypatch, {})


def settings(exec: Exec | None = None, environ: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    own = {name: value for name, value in LAUNCHER.items() if name != "_target_"}
    return plain_options(own | more, exec or Exec(), environ or {})


def site(folder: Path, **more: Any) -> Path:
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(SITE | more))
    return path


def test_the_settings_of_the_repository_pass() -> None:
    assert settings()["timeout_min"] == 720 and settings()["setup"] == ["site"]


# ---------------------------------------------------------------- one line a setting


@pytest.mark.parametrize("letter", NOT_IN_A_LINE)
@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("exec.sweep_name", lambda bad: {"exec": Exec(sweep_name=bad)}),
        ("exec.store", lambda bad: {"exec": Exec(store=bad)}),
        *((f"hydra.launcher.{name}", lambda bad, name=name: {name: bad}) for name in (
            "partition", "account", "qos", "constraint", "exclude", "nodelist", "gres", "mail_user", "wckey",
            "reservation", "licenses", "site", "gpus_per_node",
        )),
        ("hydra.launcher.setup[1]", lambda bad: {"setup": ["site", bad]}),
        ("hydra.launcher.setup[0]", lambda bad: {"setup": bad}),
        ("hydra.launcher.teardown[0]", lambda bad: {"teardown": [bad]}),
        ("hydra.launcher.srun_args[0]", lambda bad: {"srun_args": [bad]}),
        ("hydra.launcher.additional_parameters.licenses", lambda bad: {"additional_parameters": {"licenses": bad}}),
        ("hydra.launcher.stages.train.qos", lambda bad: {"stages": {"train": {"qos": bad}}}),
        ("hydra.launcher.stages.train.setup[0]", lambda bad: {"stages": {"train": {"setup": [bad]}}}),
    ],
)  # fmt: skip
def test_a_control_character_is_refused_with_the_settings_name(name: str, of: Any, letter: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}[=\[ ].*(control character U\+|must be a whole number)"):
        settings(**of(f"a{letter}#SBATCH --hold"))


@pytest.mark.parametrize(
    "name", ["scratch", "weights", "account", "qos", "constraint", "cpu_partition", "gpu_partition"]
)
def test_a_control_character_in_the_site_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"site.yaml: {name}=.*control character U\+000A"):
        settings(site=str(site(tmp_path, **{name: "a\nrm -r ~"})))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"qos": "a\\b"}, r"hydra.launcher.qos='a\\\\b' has a backslash, which sbatch takes away"),
        ({"account": ""}, "hydra.launcher.account is empty; say a value, or null"),
        ({"account": True}, "hydra.launcher.account must be text, found True"),
        ({"account": 1e5}, r"hydra.launcher.account must be text, found 100000.0; put it in quotes"),
        ({"exec": Exec(store="/a/50%/b")}, "exec.store=/a/50%/b has a %, which SLURM replaces"),
    ],
)
def test_what_sbatch_would_read_otherwise_is_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        settings(**more)


@pytest.mark.parametrize(
    "value", ["plain", "it's", 'say "hi"', "a#b", "$HOME `id`", "x;y&z|w", "-dash", " both ", "ünï"]
)
def test_what_passes_is_one_line_of_a_script_and_read_back_the_same(value: str) -> None:
    settings(qos=value, additional_parameters={"licenses": value})
    stands_on_one_line(value)


def stands_on_one_line(value: str) -> None:
    """Whatever passes as a text is one directive that sbatch reads back, and as a shell line one line."""
    with suppress(ValueError):
        script = _make_sbatch_string("true", "/x", qos=text("qos", value), additional_parameters={"licenses": value})
        given = [line for line in script.splitlines() if line.startswith("#SBATCH")]
        assert f"#SBATCH --qos={shlex.quote(value)}" in given and len(given) == N_OWN + 2
        assert [read_by_sbatch(line) for line in given if " --qos" in line or " --lic" in line] == [
            f"--licenses={value}", f"--qos={value}",
        ]  # fmt: skip
    with suppress(ValueError):
        (line,) = shell_lines("setup", value)
        assert _make_sbatch_string("true", "/x", setup=["true", line]).splitlines().count(line) >= 1
        assert len(_make_sbatch_string("true", "/x", setup=[line]).splitlines()) == N_LINES + 1


def read_by_sbatch(line: str) -> str:
    """The option of a directive as sbatch's own parser takes it: quotes of both kinds, and \\ escapes in each."""
    out, quote, is_escaped = "", "", False
    for letter in line.removeprefix("#SBATCH "):
        if is_escaped:
            out, is_escaped = out + letter, False
        elif letter == "\\":
            is_escaped = True
        elif letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        elif letter.isspace() and not quote:
            break
        else:
            out += letter
    assert not quote and not is_escaped
    return out


N_OWN = _make_sbatch_string("true", "/x").count("#SBATCH --")
N_LINES = len(_make_sbatch_string("true", "/x", setup=[]).splitlines())


# ---------------------------------------------------------------- shell lines


def test_a_text_as_setup_is_one_line_and_none_is_none() -> None:
    assert settings(setup="module load cuda")["setup"] == ["module load cuda"]
    assert settings(setup=None)["setup"] == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([False], r"hydra.launcher.setup\[0\] must be a line of shell, found False"),
        ([None], r"setup\[0\] must be a line of shell, found None"),
        (["true", 1], r"setup\[1\] must be a line of shell, found 1"),
        ({"a": "b"}, r"hydra.launcher.setup must be a list of shell lines, found \{'a': 'b'\}"),
        (False, "hydra.launcher.setup must be a list of shell lines, found False"),
        (["#SBATCH --hold"], r"setup\[0\]='#SBATCH --hold' is a comment to bash; give \+hydra.launcher.OPTION=VALUE"),
        (["if true; then"], "hydra.launcher.setup: bash cannot read it: .*syntax error"),
        (["echo 'a"], "hydra.launcher.setup: bash cannot read it: .*unexpected EOF"),
        (["cat <<END"], "hydra.launcher.setup: bash cannot read it: .*here-document"),
        (["export A=1 \\"], "its last line ends in a backslash"),
    ],
)
def test_setup_that_is_no_shell_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        settings(setup=value)


def test_lines_that_belong_together_are_read_together() -> None:
    lines = ["if [ -d /opt ]; then", "  module load cuda", "fi"]
    assert settings(setup=lines)["setup"] == lines
    assert shell_lines("x", "a b") == ["a b"]
    check_shell("x", ["echo \\\\"])  # a backslash for itself


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"setup": [False]}, r"site.yaml: setup\[0\] must be a line of shell, found False"),
        ({"setup": ["fi"]}, "site.yaml: setup: bash cannot read it"),
        ({"scratch": None}, "site.yaml: scratch must be text, found None"),
        ({"min_scratch_gb": "5"}, "min_scratch_gb must be a number of at least 0, found '5'"),
        ({"wandb": "sometimes"}, "expected offline, online or disabled"),
        ({"colour": "red"}, "expected the keys"),
    ],
)
def test_a_wrong_site_file_is_refused(tmp_path: Path, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        site_settings(site(tmp_path, **more))


def test_a_site_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("scratch: /tmp\n")
    with pytest.raises(ValueError, match=r"expected the keys .*found \['scratch'\]"):
        site_settings(tmp_path / "site.yaml")
    (tmp_path / "site.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="expected YAML: while parsing"):
        site_settings(tmp_path / "site.yaml")
    (tmp_path / "site.yaml").write_text("account: a\nqos: b\naccount: c\n")
    with pytest.raises(ValueError, match="expected YAML: account is given twice"):
        site_settings(tmp_path / "site.yaml")
    with pytest.raises(ValueError, match="there is no such file"):
        site_settings(tmp_path / "nowhere.yaml")


# ---------------------------------------------------------------- names, types and ranges


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {"stages": {"trian": {"mem_gb": 80}}},
            r"stages.trian: .*did you mean train\?\); there are .*train",
        ),
        ({"stages": ["train"]}, r"hydra.launcher.stages must name kinds of stages, found \['train'\]"),
        ({"stages": {"train": 80}}, r"stages.train must hold settings, as in \{mem_gb: 80\}, found 80"),
        ({"stages": {"train": {"mem": 80}}}, "mem is hydra.launcher.stages.train.mem_gb here; give that"),
        ({"stages": {"train": {"max_restarts": 1}}}, r"stages.train: 'max_restarts' is neither a setting"),
        (
            {"stages": {"train": {"memgb": 80}}},
            r"hydra.launcher.stages.train: 'memgb' is neither a setting of the launcher",
        ),
        ({"frobnicate": 1}, "hydra.launcher: 'frobnicate' is neither a setting of the launcher"),
        ({"time": 60}, "hydra.launcher: time is hydra.launcher.timeout_min here; give that"),
        ({"ntasks-per-node": 1}, "ntasks-per-node is hydra.launcher.tasks_per_node here"),
        ({"clusters": "other"}, "'clusters' is neither a setting of the launcher"),
        ({"additional_parameters": {"array": "0-9"}}, "additional_parameters: 'array' is neither a setting"),
        ({"additional_parameters": {"a\nb": 1}}, r"additional_parameters: 'a\\nb' is neither a setting"),
        ({"additional_parameters": {"qos": "x"}}, "additional_parameters: qos is .*qos here; give that"),
        ({"additional_parameters": ["hold"]}, "additional_parameters must hold sbatch options by name"),
        ({"timeout_min": None}, "hydra.launcher.timeout_min must be a whole number of at least 1, found None"),
        ({"timeout_min": 1.5}, "timeout_min must be a whole number of at least 1, found 1.5"),
        ({"timeout_min": True}, "timeout_min must be a whole number of at least 1, found True"),
        ({"cpus_per_task": 0}, "cpus_per_task must be a whole number of at least 1, found 0"),
        ({"gpus_per_node": -1}, "gpus_per_node must be a whole number of at least 0, found -1"),
        ({"gpus_per_node": "many"}, "gpus_per_node must be a whole number of at least 0, found 'many'"),
        ({"mem_gb": 0}, "mem_gb must be a number of at least 1/1024, found 0"),
        ({"mem_gb": float("inf")}, "mem_gb must be a number of at least 1/1024, found inf"),
        ({"minutes_per_job": "10"}, "minutes_per_job must be a number of at least 1/1024, found '10'"),
        ({"stages_per_job": 0}, "stages_per_job must be a whole number of at least 1, found 0"),
        ({"array_parallelism": 0}, "array_parallelism must be a whole number of at least 1, found 0"),
        ({"max_restarts": -1}, "max_restarts must be a whole number of at least 0, found -1"),
        ({"wait": "yes"}, "hydra.launcher.wait must be true or false, found 'yes'"),
        ({"timeout_min": 1}, "signal_delay_s=90 must be less than the 60 s of timeout_min=1"),
        ({"stages": {"sft": {"timeout_min": 1}}}, "hydra.launcher.stages.sft: signal_delay_s=90 must be less than"),
        ({"dependency": "123"}, r"hydra.launcher.dependency='123': expected TYPE:JOB"),
        ({"dependency": "afterok:1?afterok:2"}, "with a comma where all must hold"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        settings(**more)


@pytest.mark.parametrize(
    "more",
    [
        {"nodes": 2}, {"tasks_per_node": 2}, {"ntasks": 4}, {"ntasks": "4"}, {"ntasks_per_core": 2}, {"nodes": "1-2"},
        {"additional_parameters": {"ntasks-per-core": 2}}, {"stages": {"train": {"nodes": 2}}},
    ],
)  # fmt: skip
def test_more_than_one_process_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a stage runs as one process on one node, and each of several would run all"):
        settings(**more)
    with pytest.raises(ValueError, match=r"srun_args: --ntasks=4: a stage runs as one process on one node"):
        settings(srun_args=["--ntasks=4"])


def test_one_process_and_kinds_of_gpus_pass() -> None:
    chosen = settings(nodes=1, tasks_per_node=1, gpus_per_node="a100:2", dependency="afterok:12:13,afterany:14")
    assert chosen["gpus_per_node"] == "a100:2" and chosen["dependency"] == "afterok:12:13,afterany:14"
    assert typed("x", "ntasks", 1) == 1 and text("x", 123) == "123"
    check_delay("x", timeout_min=2, signal_delay_s=119)


# ---------------------------------------------------------------- SBATCH_* of the environment


def test_sbatchs_variables_stand_between_the_site_file_and_the_command_line(tmp_path: Path, capsys: Any) -> None:
    environ = {"SBATCH_ACCOUNT": "lab", "SBATCH_PARTITION": "short", "SBATCH_RESERVATION": "monday", "HOME": "/root"}
    path = str(site(tmp_path, account="of_the_site", gpu_partition="a100"))
    chosen = settings(environ=environ, site=path, partition="h100")
    train = request.parameters(chosen, Exec(), "train")
    assert train["account"] == "lab" and train["partition"] == "h100"
    assert train["additional_parameters"] == {"reservation": "monday"}
    assert capsys.readouterr().err.splitlines() == [
        "SBATCH_ACCOUNT=lab is obeyed as hydra.launcher.account=lab",
        "SBATCH_PARTITION=short is not used: hydra.launcher.partition=h100 decides",
        "SBATCH_RESERVATION=monday is obeyed as hydra.launcher.reservation=monday",
    ]


def test_variables_that_are_not_obeyed_are_told(capsys: Any) -> None:
    names = {"SBATCH_TIMELIMIT": "5", "SBATCH_JOB_NAME": "x", "SBATCH_FROB": "1", "SBATCH_EXCLUSIVE": ""}
    chosen = settings(environ=names)
    assert chosen["timeout_min"] == 720 and chosen["exclusive"] is True
    assert capsys.readouterr().err.splitlines() == [
        "SBATCH_EXCLUSIVE= is obeyed as hydra.launcher.exclusive=true",
        "SBATCH_FROB=1 is not used: no such option",
        "SBATCH_JOB_NAME=x is not used: it is the launcher's business",
        "SBATCH_TIMELIMIT=5 is not used: hydra.launcher.timeout_min=720 decides",
    ]


def test_a_variable_is_checked_as_a_setting_is() -> None:
    with pytest.raises(ValueError, match=r"hydra.launcher.qos=.*control character U\+000A"):
        settings(environ={"SBATCH_QOS": "a\nb"})
    with pytest.raises(ValueError, match="each of several would run all"):
        settings(environ={"SBATCH_NTASKS": "4"})
