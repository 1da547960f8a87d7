"""Learning rates by size, and the one rule that chooses them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tiny_sweep import build_all, planned, tiny

from sweep.__main__ import main
from sweep.arms import ARMS
from sweep.artifacts import Store
from sweep.commands.choose import read_tried
from sweep.commands.words import plan_of
from sweep.rates import at_size
from sweep.tuning import Tried, as_rows, chosen_rates, judged


@pytest.mark.parametrize(
    ("n_problems", "rate"),
    [
        (64, 4e-4),  # the nearest size's
        (256, 4e-4),
        (512, 8e-4),  # a third of the way in the logarithm of size is a third of that of rate: 4e-4 * 8 ** (1/3)
        (2048, 3.2e-3),
        (16384, 3.2e-3),
    ],
)
def test_a_rate_runs_straight_in_both_logarithms_and_stays_beyond_the_sizes(n_problems: int, rate: float) -> None:
    assert at_size({2048: 3.2e-3, 256: 4e-4}, n_problems, "sft.lr") == pytest.approx(rate, rel=1e-12)


def test_a_rate_between_sizes_is_rounded_so_that_all_machines_name_a_stage_alike() -> None:
    assert at_size({256: 1e-4, 2048: 3e-4}, 512, "sft.lr") == 0.000144  # 1e-4 * 3 ** (1/3) = 1.4422e-4


def test_a_rate_at_a_size_that_was_given_is_that_to_the_last_digit() -> None:
    given = {1: 1.00001e-4, 256: 1.23456e-4, 512: 2.34567e-4}
    assert [at_size(given, n, "sft.lr") for n in given] == list(given.values())


def test_a_number_is_the_rate_at_every_size() -> None:
    assert at_size(1e-3, 7, "sft.lr") == 1e-3


@pytest.mark.parametrize("given", [{0: 1e-3}, {1.5: 1e-3}, {"many": 1e-3}, {256: 0}, {256: float("inf")}, {256: None}])
def test_what_is_no_rate_at_a_size_is_named(given: dict) -> None:
    with pytest.raises(ValueError, match=r"method.optim.lr=.* is not a rate at a size; expected a number above 0, or"):
        at_size(given, 256, "method.optim.lr")


def test_no_size_at_all_is_no_rate() -> None:
    with pytest.raises(ValueError, match=r"sft.lr has no rate at any size"):
        at_size({}, 256, "sft.lr")


def test_a_run_s_rate_is_the_one_at_its_size() -> None:
    words = ("arm=rft", "n_problems=8,16", "sft.lr={8:1e-3,16:4e-3}", "method.optim.lr={8:1e-4,32:4e-4}")
    exps = [run.leaf.exp for run in planned(*words).runs]
    assert [exp.sft.lr for exp in exps] == [1e-3, 4e-3]
    assert [exp.method.optim.lr for exp in exps] == [1e-4, 2e-4]


def test_a_size_in_another_spelling_has_the_same_rate_and_one_out_of_range_is_named() -> None:
    assert planned("arm=sft", "n_problems=1e1", "sft.lr={8:1e-3,16:4e-3}").runs[0].leaf.exp.sft.lr == 0.00156
    with pytest.raises(ValueError, match="n_problems must be a whole number from 1 to 10000000; found 0"):
        planned("arm=sft", "n_problems=0", "sft.lr={8:1e-3,16:4e-3}")


def test_a_run_at_a_size_and_the_same_run_with_that_number_are_one_stage() -> None:
    rates = ("{8:1e-3,16:4e-3}", "1e-3")
    by_size, by_hand = (planned("arm=sft", "n_problems=8", f"sft.lr={lr}").runs[0] for lr in rates)
    assert by_size.evaluate.key == by_hand.evaluate.key


RUN = Tried("DPO", 256, 1e-4, 101, 900, 1500, 30, 2.5, 4.0)


def tried(rates: dict[float, tuple[int, int, int]], **more: object) -> list[Tried]:
    """A cell: each rate's right answers on replicates 101, 102 and 103."""
    return [
        replace(RUN, rate=rate, replicate=101 + r, n_correct=n, **more)
        for rate, counts in rates.items()
        for r, n in enumerate(counts)
    ]


GRID = {1e-5: (800, 900, 1000), 3e-5: (850, 900, 980), 1e-4: (950, 700, 1000)}  # 2700, 2730, 2650 right


def test_the_rate_with_the_most_right_over_all_replicates_is_chosen() -> None:
    tied = {1e-5: (1, 1, 1), 3e-5: (2, 2, 2), 1e-4: (1, 2, 3)}
    rates = judged([*tried(GRID), *tried(tied, n_problems=2048)])
    assert [(one.n_problems, one.rate) for one in rates if one.is_chosen] == [(256, 3e-5), (2048, 3e-5)]
    assert (rates[1].n_correct, rates[1].n_test, rates[1].by_replicate) == (2730, 4500, (850, 900, 980))
    assert rates[1].malformed == pytest.approx(90 / 4500)
    assert [one.is_at_end for one in rates[:3]] == [True, False, True]
    assert chosen_rates(rates) == {"DPO": {256: 3e-5, 2048: 3e-5}}


def test_the_margin_of_a_rate_is_the_mean_over_replicates_where_all_have_one() -> None:
    def margins(*each: float | None) -> list[float | None]:
        cells = [replace(run, margin=each[run.replicate - 101]) for run in tried(GRID)]
        return [one.margin for one in judged([*cells, *tried(GRID, n_problems=2048)])[:3]]

    assert margins(0.0, 1.0, 3.5) == [1.5] * 3 and margins(0.0, None, 3.5) == [None] * 3


def test_a_row_of_a_file_is_a_run_column_by_column() -> None:
    assert as_rows([RUN]) == [("DPO", 256, 1e-4, 101, 900, 1500, 30, 2.5, 4.0)]


def test_every_arm_is_tried_equally() -> None:
    both = [*tried(GRID), *tried(GRID, n_problems=2048)]
    fewer = [run for run in tried(GRID, arm="RFT") if run.rate > 1e-5]
    with pytest.raises(ValueError, match=r"RFT at 256 problems has 2 rates, .* DPO at 256 has 3 on \[101, 102, 103\]"):
        judged([*both, *fewer, *(replace(run, n_problems=2048) for run in fewer)])
    with pytest.raises(ValueError, match=r"RFT at 256 problems has 3 rates, at 1e-05 on replicates \[101, 102\]"):
        judged([*both, *[run for run in tried(GRID, arm="RFT") if run.replicate < 103]])


def test_one_size_or_two_replicates_or_a_run_twice_are_too_little() -> None:
    with pytest.raises(ValueError, match=r"DPO was tried at \[256\]: expected at least 2 sizes"):
        judged(tried(GRID))
    few = [run for run in [*tried(GRID), *tried(GRID, n_problems=2048)] if run.replicate < 103]
    with pytest.raises(ValueError, match=r"replicates \[101, 102\]: expected at least 3, each once"):
        judged(few)
    with pytest.raises(ValueError, match=r"replicates \[101, 101, 102, 102, 103, 103\]: expected at least 3"):
        judged([*tried(GRID), *tried(GRID)])
    with pytest.raises(ValueError, match=r"no validation run was found"):
        judged([])


def test_choose_prints_the_whole_grid_and_writes_a_file_that_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny("arm=sft", "n_problems=8,16", "replicate=1,2,3", "sft.lr=1e-3,3e-3", "evaluation=validation")
    store = Store(tmp_path / "store")
    build_all(plan_of(words)[0], store)
    assert main(["choose", "-m", *words, f"exec.store={store.root}", "--out", f"{tmp_path}/tried.csv"]) == 0
    first = capsys.readouterr().out
    assert first.count("chosen, at the end of its grid") == 2  # a size each: two rates have no middle
    assert "rates:\n  sft: {8: 0.00" in first
    assert main(["choose", f"{tmp_path}/tried.csv"]) == 0
    assert capsys.readouterr().out == first
    assert main(["choose", "--json", f"{tmp_path}/tried.csv"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["what"], entry["n_configurations"]) == ("SFT: learning rate", 2)
    assert "24 validation problems of replicates 1, 2, 3 (not in the study)" in entry["on"]


HEADER = "arm,n_problems,rate,replicate,n_correct,n_test,n_malformed,entropy,margin\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arm,rate\nDPO,1\n", "expected the columns arm, n_problems, rate"),
        ("", "expected validation runs as `choose --out` writes them"),
        (HEADER + "DPO,many,1e-4,1,9,10,0,2.5,\n", "expected validation runs as `choose --out` writes them"),
        (HEADER + "DPO,256,1e-4,1,,10,0,2.5,\n", "expected validation runs as `choose --out` writes them"),
        (HEADER + "DPO,256,1e-4,1,11,10,0,2.5,\n", "row 0 has arm=DPO, n_problems=256, rate=0.0001"),
        (HEADER + "DPO,256,1e-4,1,0,0,0,2.5,\n", "expected counts of 0 to n_test"),
        (HEADER + "DPO,256,1e-4,1,9,10,0,nan,\n", "a finite entropy"),
        (HEADER + "DPO,256,0,1,9,10,0,2.5,\n", "a rate above 0"),
    ],
)
def test_a_file_that_is_no_list_of_validation_runs_is_refused(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.csv").write_text(text)
    assert main(["choose", f"{tmp_path}/other.csv"]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_and_a_folder_are_refused_by_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, said in ((tmp_path / "no.csv", "is not there"), (tmp_path, "is a folder")):
        assert main(["choose", str(path)]) == 2
        assert f"{path} {said}: expected a .csv file as `choose --out` writes it" in capsys.readouterr().err


def test_a_file_of_somebody_else_and_a_place_that_cannot_be_written_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    refused = {"mine.csv": "was not written by `choose`", "mine.csv/below": "must be a folder this user can write to"}
    for name, said in refused.items():
        assert main(["choose", "no such file.csv", "--out", f"{tmp_path}/{name}"]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "mine.csv").read_text() == "mine"


ROOT = Path(__file__).parents[1]
TUNING = ROOT / "analysis" / "results" / "tuning"


def chosen_in(folder: Path) -> dict[str, dict[int, float]]:
    """By the committed runs there: the word of an arm to its rates."""
    words, out = {arm.name: arm.word for arm in ARMS}, {}
    for path in sorted(folder.glob("*.csv")):
        out |= {words[arm]: rates for arm, rates in chosen_rates(judged(read_tried(path))).items()}
    return out


def rates_of(path: Path) -> dict[str, dict[int, float]]:
    """What a file of conf/ has under `rates`."""
    found = yaml.safe_load(path.read_text()).get("rates", {})
    return {arm: {n: float(rate) for n, rate in rates.items()} for arm, rates in found.items()}


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "variant").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_variant_s_rates_are_those_that_its_committed_runs_choose(path: Path) -> None:
    assert rates_of(path) == chosen_in(TUNING / path.stem)


def test_the_model_s_rates_are_those_that_the_committed_runs_choose() -> None:
    root, wanted = ROOT, chosen_in(TUNING)
    assert rates_of(root / "conf/model/tiny_llama.yaml") == wanted
    texts = [path.read_text() for path in (*(root / "conf").rglob("*.yaml"), root / "sweep" / "arms.py")]
    named = {name for text in texts for name in re.findall(r"\$\{rates\.(\w+)\}", text)}
    of_its_own = {name for text in texts for name in re.findall(r"\$\{oc\.select:rates\.(\w+),", text)}
    # an arm that was not tuned itself takes one of these
    assert named <= set(wanted) <= named | of_its_own


def test_the_negatives_of_others_are_tried_as_every_other_arm_on_the_same_samples() -> None:
    def tried(*words: str) -> tuple[set[str], set[tuple[int, int]], int]:
        the_plan, _ = plan_of(words)
        exps = [run.leaf.exp for run in the_plan.runs]
        samples = {key for key, stage in the_plan.stages.items() if stage.kind == "samples"}
        return samples, {(exp.n_problems, exp.replicate) for exp in exps}, len({exp.method.optim.lr for exp in exps})

    assert tried("experiment=tune_negatives") == tried("experiment=tune", "arm=dpo")


@pytest.mark.parametrize("width", [48, 96])
def test_rates_of_another_width_are_carried_over_as_mup_has_it(width: int) -> None:
    """A matrix's rate times 64 / width, the embedding's as it is: so its scale, which multiplies the former, grows."""
    model = Path(__file__).parents[1] / "conf/model"
    at_64, here = (
        yaml.safe_load((model / name).read_text()) for name in ("tiny_llama.yaml", f"tiny_llama_{width}.yaml")
    )
    assert here["model"] == {"hidden_size": width, "n_heads": width // 8, "mlp_size": 4 * width}
    assert here["rates"].keys() == at_64["rates"].keys()
    for arm, rates in at_64["rates"].items():
        carried = {n: float(rate) * 64 / width for n, rate in rates.items()}
        assert {n: float(rate) for n, rate in here["rates"][arm].items()} == pytest.approx(carried, rel=5e-3)
    for node in ("sft", "preference"):
        assert here[node]["embedding_lr_scale"] == at_64[node]["embedding_lr_scale"] * width / 64
