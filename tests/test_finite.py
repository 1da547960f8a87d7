"""A number that is none, NaN or an infinity, is built upon by no stage and stands in no file."""

from pathlib import Path

import pytest
from tiny_sweep import Sweep, build_all, planned

from sweep.data.records import Credit, Trace
from sweep.disk import read_jsonl, write_jsonl


def test_a_learning_rate_that_ends_in_no_numbers_publishes_nothing_that_is_judged(sweep_copy: Sweep) -> None:
    # one update of 1e38 a weight leaves finite weights whose logits are not; two leave none
    for n_problems, stopped_at in (("8", "evaluate"), ("16", "sft")):
        plan = planned("arm=sft", f"n_problems={n_problems}", "sft.lr=1e38", "sft.passes=1")
        end = plan.runs[0].evaluate
        with pytest.raises(FloatingPointError, match="finite"):
            build_all(plan, sweep_copy.store, [end.parents["policy"].key, end.key])
        unbuilt = {stage.kind for stage in (end, end.parents["policy"]) if sweep_copy.store.manifest(stage.key) is None}
        assert stopped_at in unbuilt and "evaluate" in unbuilt


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"problem_id": "p", "text": "t", "is_correct": 1, "is_finished": true}', "'1' is no bool"),
        ('{"problem_id": "p", "text": "t", "is_correct": true}', r"missing keys \['is_finished'\]"),
        ('{"problem_id": "p", "text": "t", "is_correct": true, "is_finished": true, "x": 1}', "unknown keys"),
        ('{"problem_id": "p", "text": "\\ud800", "is_correct": true, "is_finished": true}', "half of a surrogate pair"),
        ("", "expected a JSON object"),
        ("[]", "expected a JSON object"),
    ],
)
def test_a_record_that_is_none_is_refused_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "traces.jsonl"
    trace = Trace("p", "a \u2028 b\n", True, False)
    write_jsonl(path, [trace, trace])
    assert read_jsonl(path, Trace) == [trace, trace]
    path.write_text(path.read_text() + (line or "{") + "\n")
    with pytest.raises(ValueError, match=rf"traces\.jsonl, line 3: .*{message}"):
        read_jsonl(path, Trace)


def test_records_are_finite_numbers(tmp_path: Path) -> None:
    path, credit = tmp_path / "credits.jsonl", Credit("p", "t", False, 0.5, [1.0, 0])
    write_jsonl(path, [credit])
    assert read_jsonl(path, Credit) == [credit]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(path, [Credit("p", "t", False, float("nan"), [])])
    path.write_text('{"problem_id": "p", "text": "t", "is_correct": true, "pass_rate": 0.5, "q_values": ["1"]}')
    with pytest.raises(ValueError, match=r"credits\.jsonl, line 1: q_values=.* is no list"):
        read_jsonl(path, Credit)
