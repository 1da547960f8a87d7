"""Logs of other tools, each read from a file as the tool wrote it; what they do not say is read out of file names."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.tables.formats import FORMATS, inspect_logs, log_at
from analysis.tables.gather import gathered
from analysis.tables.read import table_at
from analysis.tables.table import Columns

LOGS = Path(__file__).parent / "fixtures/logs"
SAMPLES, PICK, RESULTS = (
    next(iter(LOGS.glob(name))).name for name in ("samples_sums_*", "samples_pick_*", "results_*")
)
NAMES = "{arm}-n{n_problems}-s{seed}"


def runs_of(name: str, folder: Path, runs: tuple[str, ...] = ("SFT-n64-s0", "SFT-n128-s0", "DPO-n64-s0")) -> str:
    """The log as the result of several runs, and the pattern that names them."""
    for run in runs:
        (folder / run).mkdir(parents=True)
        shutil.copy(LOGS / name, folder / run / name)
    return f"{folder}/{NAMES}/{name}"


@pytest.mark.parametrize(
    "name, kind",
    [
        (SAMPLES, "lm-eval-samples"),
        (RESULTS, "lm-eval-results"),
        ("inspect.eval", "inspect-eval"),
        ("inspect.json", "inspect-json"),
        ("trainer_state_hf.json", "trainer-state"),
        ("trainer_state_trl.json", "trainer-state"),
        ("verl_metrics.jsonl", "verl-metrics"),
        ("verl_answers_6.jsonl", "verl-answers"),
        ("prime_rl_metrics.jsonl", "prime-rl"),
        ("offline.wandb", "wandb-offline"),
    ],
)
def test_a_log_is_recognised_by_its_content(name: str, kind: str) -> None:
    found = log_at(LOGS / name)
    assert found is not None and found[0].name == kind
    assert log_at(LOGS / name, kind) is not None
    other = next(one for one in FORMATS if one != kind)
    with pytest.raises(ValueError, match=f"--format {other} was asked for, and this is no"):
        log_at(LOGS / name, other)


def test_lm_eval_samples_are_outcomes_of_the_filter_that_is_asked_for(tmp_path: Path) -> None:
    pattern = runs_of(SAMPLES, tmp_path)
    with pytest.raises(ValueError, match="one filter was expected, found flexible-extract, strict-match; choose with"):
        table_at(pattern)
    table = table_at(pattern, Columns(filters={"filter": "strict-match"}))
    assert table.kind == "outcomes" and table.runs["arm"].tolist() == ["DPO", "SFT", "SFT"]
    assert table.runs["size"].tolist() == [64, 64, 128] and table.runs["n_test"].tolist() == [6, 6, 6]
    assert table.runs["error"].to_numpy() == pytest.approx(5 / 6)  # the dummy model says lol, right for one of six


def test_lm_eval_documents_of_another_version_of_a_task_pair_with_none(tmp_path: Path) -> None:
    pattern = runs_of(PICK, tmp_path)
    other = tmp_path / "DPO-n64-s0" / PICK
    lines = [json.loads(line) for line in other.read_text().splitlines()]
    lines[2]["doc_hash"] = "0" * 64
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"tested on different problems \(DPO on 6, SFT on 6\)"):
        table_at(pattern)


def older(name: str) -> list[dict]:
    """The lines as versions wrote them that named neither metrics nor filter."""
    lines = [json.loads(line) for line in (LOGS / name).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("filter", "metrics")} for line in lines]


def test_lm_eval_samples_of_older_versions_name_neither_metrics_nor_filter(tmp_path: Path) -> None:
    path = tmp_path / "SFT-n8-s0.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in older(PICK)))
    assert table_at(f"{tmp_path}/{NAMES}.jsonl").runs["error"].tolist() == pytest.approx([4 / 6])
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in older(SAMPLES))
    )  # of two filters, which nothing distinguishes
    with pytest.raises(ValueError, match=r"document 0 stood in a line before, and neither names its filter, .* keep"):
        table_at(f"{tmp_path}/{NAMES}.jsonl")


def test_lm_eval_results_are_counts_again(tmp_path: Path) -> None:
    table = table_at(runs_of(RESULTS, tmp_path), Columns(y="acc", filters={"task": "pick"}))
    assert table.kind == "counts"
    assert table.runs["error"].to_numpy() == pytest.approx(4 / 6) and table.runs["n_test"].tolist() == [6, 6, 6]
    with pytest.raises(ValueError, match="it has several results: exact_match, acc; choose one with --y"):
        table_at(f"{tmp_path}/{NAMES}/{RESULTS}")


@pytest.mark.parametrize("name", ["inspect.eval", "inspect.json"])
def test_inspect_epochs_are_attempts_at_one_problem(name: str, tmp_path: Path) -> None:
    table = table_at(runs_of(name, tmp_path), Columns(y="match"))
    assert table.kind == "outcomes" and table.runs["n_test"].tolist() == [4, 4, 4]
    (block,) = table.blocks
    # 0+0, 1+1, 2+2, 3+3 answered 0 2 5 6 in the first epoch and 0 1 4 6 in the second
    assert sorted(block.errors[0].tolist()) == [0.0, 0.0, 0.5, 0.5]


def test_inspect_facts_are_columns_and_need_no_file_names() -> None:
    columns = Columns(y="match", arm="metadata.arm", x="task_args.n_problems")
    table = table_at(LOGS / "inspect.eval", columns)
    assert table.arms == ("SFT",) and table.runs["size"].tolist() == [128]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"status": "error"}, "an evaluation that ended well was expected, found status 'error'; finish it with"),
        ({"invalidated": True}, "expected, it was invalidated"),
        ({"samples": None}, "'samples' was expected and is missing: the header alone"),
        ({"samples": []}, "8 samples were expected by its results, found 0"),
        ({"samples": [3]}, "sample 1: a sample was expected, found '3'"),
        (
            {"samples": [{"id": n, "epoch": 1, "scores": {"match": {"value": "BC"[n % 2]}}} for n in range(8)]},
            "match: a grade C, P, I or N, .* in every sample, found 'B'",
        ),
        ({"samples": [{"id": 1, "epoch": 1, "scores": {"match": [[1]]}}]}, r"sample 1, match: a grade .* '\[1\]'"),
        ({"samples": [{"id": 1, "epoch": "1"}]}, "sample 1: epoch must be int, found '1'"),
    ],
)
def test_an_inspect_log_that_is_not_whole_is_refused(change: dict, said: str, tmp_path: Path) -> None:
    document = json.loads((LOGS / "inspect.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps(document | change))
    with pytest.raises(ValueError, match=rf"t\.json.*{said}"):
        table_at(tmp_path / "t.json")


@pytest.mark.parametrize(
    "value, y, error",
    [
        ("0.25", "extra", 0.75),
        ("No", "extra", 1.0),
        ({"a": 0, "b": None}, "extra.a", 1.0),
        ([1, 0], "extra.1", 1.0),
        ("a label of text", "match", 0.25),
        ("nan", "match", 0.25),  # a label too: Inspect takes finite numbers alone
    ],
)
def test_inspect_scores_of_every_kind_are_read_as_inspect_reads_them(
    value: object, y: str, error: float, tmp_path: Path
) -> None:
    document = json.loads((LOGS / "inspect.json").read_text())
    for sample in document["samples"]:
        sample["scores"]["extra"] = {"value": value}
    (tmp_path / "SFT-n8-s0.json").write_text(json.dumps(document))
    table = table_at(f"{tmp_path}/{NAMES}.json", Columns(y=y))
    assert table.runs["error"].tolist() == pytest.approx([error])


def test_an_inspect_zip_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    whole = (LOGS / "inspect.eval").read_bytes()
    (tmp_path / "cut.eval").write_bytes(whole[:9000])
    with pytest.raises(ValueError, match=r"cut\.eval: a whole zip was expected"):
        table_at(tmp_path / "cut.eval")
    at = whole.index(b"samples/sum-1_epoch_1.json") + 60
    (tmp_path / "bad.eval").write_bytes(whole[:at] + b"\0" * 20 + whole[at + 20 :])
    with pytest.raises(ValueError, match=r"bad\.eval, samples/sum-1_epoch_1\.json: it cannot be read"):
        table_at(tmp_path / "bad.eval")
    with zipfile.ZipFile(tmp_path / "running.eval", "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(ValueError, match=r"header\.json was expected in it and is missing, so the evaluation has not"):
        table_at(tmp_path / "running.eval")


def test_older_inspect_zips_are_deflated(tmp_path: Path) -> None:
    document = json.loads((LOGS / "inspect.json").read_text())
    with zipfile.ZipFile(tmp_path / "t.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        for one in document.pop("samples"):
            archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        archive.writestr("header.json", json.dumps(document))
    columns = Columns(y="match", arm="metadata.arm", x="task_args.n_problems")
    assert table_at(tmp_path / "t.eval", columns).runs.equals(table_at(LOGS / "inspect.eval", columns).runs)


def test_a_trainers_last_loss_or_its_curve(tmp_path: Path) -> None:
    pattern = runs_of("trainer_state_hf.json", tmp_path)
    with pytest.raises(ValueError, match=r"eval_loss was logged at 3 steps, 4 to 12; .* .--step last, --step 12"):
        table_at(pattern, Columns(y="eval_loss"))
    last = table_at(pattern, Columns(y="eval_loss", step="last"))
    assert last.is_loss and last.runs["error"].to_numpy() == pytest.approx(2.718557596206665)
    early = table_at(pattern, Columns(y="eval_loss", step="4"))
    assert early.runs["error"].to_numpy() == pytest.approx(3.0641531944274902)
    curve = table_at(f"{tmp_path}/{{arm}}-n64-s0/*.json", Columns(y="eval_loss", x="num_input_tokens_seen"))
    assert curve.runs["size"].tolist() == [128, 256, 384] * 2
    with pytest.raises(ValueError, match=r"eval_loss was not logged at step 5 \(in 3 files\)"):
        table_at(pattern, Columns(y="eval_loss", step="5"))
    with pytest.raises(ValueError, match="--step best: 'last' or the number of a step was expected"):
        table_at(pattern, Columns(y="eval_loss", step="best"))
    with pytest.raises(
        ValueError,
        match=r"no result 'eval_los' .*mean eval_loss\?\): epoch, grad_norm, .* choose one",
    ):
        table_at(pattern, Columns(y="eval_los"))


def test_trl_logs_the_accuracy_of_tokens(tmp_path: Path) -> None:
    table = table_at(runs_of("trainer_state_trl.json", tmp_path), Columns(y="eval_mean_token_accuracy", step="3"))
    assert table.runs["error"].to_numpy() == pytest.approx(1 - 0.609375)


def test_a_trainer_that_logged_a_step_twice_is_refused(tmp_path: Path) -> None:
    document = json.loads((LOGS / "trainer_state_hf.json").read_text())
    document["log_history"].append({"step": 12, "eval_loss": 2.5})
    (tmp_path / "SFT-n8-s0.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="eval_loss appears twice at step 12 with different values"):
        table_at(f"{tmp_path}/{NAMES}.json", Columns(y="eval_loss", step="last"))


LAST = {
    "trainer_state_hf.json": ("eval_loss", '"eval_loss": 2.718557596206665', '"eval_loss": NaN', 12),
    "verl_metrics.jsonl": ("val-core/sums/reward/mean@2", '{"step":6,"data":{"val-core/sums/reward/mean@2":0.9',
                           '{"step":6,"data":{"val-core/sums/reward/mean@2":null', 6),
}  # fmt: skip


@pytest.mark.parametrize("name", LAST)
def test_a_curve_that_ends_in_what_is_no_number_is_not_read_at_an_earlier_step(name: str, tmp_path: Path) -> None:
    y, finite, odd, step = LAST[name]
    pattern = runs_of(name, tmp_path)
    changed = tmp_path / "SFT-n64-s0" / name
    text = changed.read_text()
    assert text.count(finite) == 1
    changed.write_text(text.replace(finite, odd))
    columns = Columns(y=y, y_is="loss", step="last")
    with pytest.raises(ValueError, match=rf"{y} is not a finite number in 1 of 3 rows, .*SFT-n64.* step {step}; "):
        table_at(pattern, columns)
    left = table_at(pattern, dataclasses.replace(columns, drop_blank=True))
    assert left.runs["size"].tolist() == [64, 128] and left.runs["arm"].tolist() == ["DPO", "SFT"]


def test_verl_answers_are_the_outcomes_behind_its_metric(tmp_path: Path) -> None:
    metric = "val-core/sums/reward/mean@2"
    accuracy = Columns(y=metric, y_is="accuracy", step="last")
    metrics = table_at(runs_of("verl_metrics.jsonl", tmp_path / "m"), accuracy)
    answers = table_at(runs_of("verl_answers_6.jsonl", tmp_path / "a"), Columns(y="score", y_is="accuracy"))
    assert answers.kind == "outcomes" and answers.runs["n_test"].tolist() == [5, 5, 5]
    assert answers.runs["error"].to_numpy() == pytest.approx(metrics.runs["error"].to_numpy())


def test_prime_rl_lines_of_one_step_are_one_row(tmp_path: Path) -> None:
    pattern = runs_of("prime_rl_metrics.jsonl", tmp_path)
    last = table_at(pattern, Columns(y="val/loss", step="last"))
    assert last.runs["error"].to_numpy() == pytest.approx(2.5 / 6**0.2)
    curve = table_at(f"{tmp_path}/{{arm}}-n64-*/*.jsonl", Columns(y="val/loss", x="progress/num_tokens"))
    assert curve.runs["size"].tolist() == [3 * 4096, 6 * 4096] * 2


def test_an_offline_run_of_wandb_tells_its_settings_and_its_summary() -> None:
    table = table_at(LOGS / "offline.wandb", Columns(y="eval/loss", step="last"))
    assert table.arms == ("SFT",) and table.runs["size"].tolist() == [128]
    assert table.runs["error"].tolist() == pytest.approx([2.1 / 6])  # logged at steps 1, 3, 5
    summary = table_at(LOGS / "offline.wandb", Columns(y="test_error", y_is="error"))
    assert summary.runs["error"].tolist() == [0.25]
    nested = gathered(str(LOGS / "offline.wandb"), Columns(y="test_error", filters={"optim.lr": "1e-4"})).data
    assert nested["run_name"].to_pylist() == ["sft"]


@pytest.mark.parametrize(
    "content, said",
    [
        (lambda whole: whole[:700], "it was cut off at byte 700, so its run did not end; copy the file again"),
        (
            lambda whole: whole[:300] + b"x" + whole[301:],
            "the piece at byte 91 does not have its checksum: it is d",
        ),
        (
            lambda whole: b":W&B\0\0\1" + whole[7:],
            "it does not begin as .* do; .* or export the history",
        ),
    ],
)
def test_a_damaged_offline_run_is_refused(content, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.wandb").write_bytes(content((LOGS / "offline.wandb").read_bytes()))
    with pytest.raises(ValueError, match=rf"t\.wandb: .*{said}"):
        table_at(tmp_path / "t.wandb")


def test_a_history_exported_from_wandb_is_a_curve(tmp_path: Path) -> None:
    frame = pd.DataFrame({"_step": [0, 1, 2], "_runtime": 1.0, "eval/loss": [3.0, np.nan, 2.0], "note": "a"})
    frame.to_csv(tmp_path / "SFT-n64-s0.csv", index=False)
    frame.to_parquet(tmp_path / "DPO-n64-s0.parquet", index=False)
    table = table_at(f"{tmp_path}/{NAMES}.*", Columns(y="eval/loss", step="last"))
    assert table.is_loss and table.runs["error"].tolist() == [2.0, 2.0]
    frame.set_index("_step").to_parquet(tmp_path / "DPO-n64-s0.parquet")  # a column of the file all the same
    again = table_at(f"{tmp_path}/{NAMES}.*", Columns(y="eval/loss", step="last"))
    assert again.runs.equals(table.runs)
    with (tmp_path / "SFT-n64-s0.csv").open("a") as stream:
        stream.write("3,1.0,NaN,a\n")
    with pytest.raises(ValueError, match=r"eval/loss is not a finite number in 1 of 2 rows, .*SFT-n64-s0\.csv _step 3"):
        table_at(f"{tmp_path}/{NAMES}.*", Columns(y="eval/loss", step="last"))


def test_a_table_of_runs_exported_from_wandb_holds_finished_runs(tmp_path: Path) -> None:
    text = '"Name","State","Tags","n_problems","arm","seed","test_acc"\n'
    text += "".join(f'"r{k}","finished","","{64 * 2**k}","SFT","0","{0.1 * k + 0.2}"\n' for k in range(3))
    (tmp_path / "runs.csv").write_text(text + '"r4","crashed","","512","SFT","0",""\n')
    with pytest.raises(ValueError, match="one State was expected, found crashed, finished; choose with --where State="):
        table_at(tmp_path / "runs.csv", Columns(y="test_acc"))
    table = table_at(tmp_path / "runs.csv", Columns(y="test_acc", filters={"State": "finished"}))
    assert table.runs["error"].tolist() == pytest.approx([0.8, 0.7, 0.6])


def test_lines_of_a_chart_exported_from_wandb_are_a_wide_table(tmp_path: Path) -> None:
    names = [f"{arm}-s{seed} - eval/loss" for arm in ("SFT", "DPO") for seed in (0, 1)]
    header = ["Step", *(f"{one}{end}" for one in names for end in ("", "__MIN", "__MAX"))]
    rows = [[step, *np.repeat([3 - 0.1 * step - 0.01 * k for k in range(4)], 3)] for step in (1, 2, 3)]
    pd.DataFrame(rows, columns=header).to_csv(tmp_path / "chart.csv", index=False)
    table = table_at(tmp_path / "chart.csv", Columns(x="Step", y="{arm}-s{seed} - eval/loss", y_is="loss"))
    assert table.runs["arm"].tolist() == ["DPO"] * 6 + ["SFT"] * 6
    assert table.runs["error"].tolist()[:2] == pytest.approx([2.88, 2.87])


def test_a_log_without_a_size_asks_for_file_names_that_tell_it() -> None:
    with pytest.raises(ValueError, match=r"no column 'arm'; .* read it out of the names of files: 'runs/\{arm\}"):
        table_at(LOGS / PICK)


def test_a_blank_outcome_of_a_log_is_refused_or_left_out_and_said(tmp_path: Path) -> None:
    pattern = runs_of(PICK, tmp_path)
    for run in tmp_path.iterdir():
        lines = [json.loads(line) for line in (run / PICK).read_text().splitlines()]
        del lines[3]["acc"]
        (run / PICK).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"acc is blank in 3 of 18 rows, the first .* problem_id 3-.* --drop-blank"):
        table_at(pattern)
    table = table_at(pattern, Columns(drop_blank=True))
    assert table.runs["n_test"].tolist() == [5, 5, 5]
    assert [one.code for one in table.notes] == ["dropped_blank"] and "3 of 18 rows" in table.notes[0].text


@pytest.mark.parametrize(
    "text, said",
    [
        (
            '{"step":0,"data":{"a":1}}\n{"step":1,"da',
            "line 2: a JSON object .* found '.*' .* file was cut off",
        ),
        ('{"step":0,"data":{"a":1}}\n3\n', "t.jsonl, line 2: a JSON object was expected, found '3'"),
        ('{"step":0,"data":{"a":1}}\n{"data":{}}\n', "line 2: 'step' was expected, found 'data'"),
        ('{"step":0,"data":{"a":1}}\n{"step":"1","data":{}}\n', "line 2: step must be int, found '1'"),
        ('{"step":0,"data":{"a":1' + "0" * 400 + "}}\n", "line 1: a number within 1e308 was expected, found '100"),
        ('{"step":0,"data":{}}\n', "t.jsonl: there is no result in this metrics of verl's file logger"),
        ('{"log_history": [1], "global_step": 3}\n', "entry 1 of log_history: an object was expected, found '1'"),
        ('{"a": ', "it begins as JSON and cannot be read as JSON: damaged or cut off"),
        ('{"a": 1}', "a log of these: .*; found '.jsonl' whose content is none of them"),
        ("", "a log of these: "),
    ],
)
def test_a_damaged_or_foreign_log_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(ValueError, match=said):
        table_at(tmp_path / "t.jsonl")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--format word: one of inspect-eval, inspect-json, .* was expected"):
        log_at(LOGS / PICK, "word")


def test_files_of_several_formats_are_refused(tmp_path: Path) -> None:
    runs_of(PICK, tmp_path, ("SFT-n8-s0",))
    runs_of("verl_metrics.jsonl", tmp_path, ("SFT-n16-s0",))
    with pytest.raises(ValueError, match=r"files of one format were expected, found lm-eval.*; metrics of"):
        table_at(f"{tmp_path}/{NAMES}/*.jsonl")


def test_an_export_of_wandb_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('_step,a\n1,"2\n')
    with pytest.raises(ValueError, match="not readable as an export of W&B"):
        table_at(tmp_path / "t.csv")


def pieces(*records: bytes) -> bytes:
    """A .wandb file of these records, framed and checksummed."""
    framed = [struct.pack("<IHB", zlib.crc32(b"\1" + one), len(one), 1) + one for one in records]
    return b":W&B\xe1\xbe\x00" + b"".join(framed)


def field(number: int, content: bytes) -> bytes:
    """A protobuf field with a length; number below 16, content below 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


VALUE = b"\x82\x01"  # field 16 with a length: value_json


@pytest.mark.parametrize(
    "record, said",
    [
        (b"\x0b", "it is not a protobuf message"),
        (b"\x12\x7fa", "it is not a protobuf message"),
        (field(2, field(1, field(1, b"a") + VALUE + b"\x01{")), "the value of 'a' is not JSON"),
        (field(2, field(1, b"\x08\x01")), "a text was expected, found '1'; the file is damaged"),
        (field(2, field(1, field(1, b"a") + VALUE + b"\x04" + b'"hi"')), "there is no result in this offline run"),
    ],
)
def test_a_record_of_wandb_that_is_none_is_refused(record: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.wandb").write_bytes(pieces(record))
    with pytest.raises(ValueError, match=rf"t\.wandb.*{said}"):
        log_at(tmp_path / "t.wandb")


def test_a_run_of_wandb_with_a_summary_alone_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "t.wandb").write_bytes(pieces(field(3, field(1, field(1, b"test_acc") + VALUE + b"\x030.5"))))
    found = log_at(tmp_path / "t.wandb")
    assert found is not None and found[1].rows["test_acc"].tolist() == [0.5] and found[1].step is None


def test_a_file_inside_an_inspect_log_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_logs, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"header\.json: at most 1000 bytes were expected, found"):
        log_at(LOGS / "inspect.eval")


def test_a_folder_where_a_log_was_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"runs\.jsonl: it cannot be read"):
        (tmp_path / "runs.jsonl").mkdir()
        log_at(tmp_path / "runs.jsonl")
