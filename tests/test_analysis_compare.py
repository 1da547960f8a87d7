"""The paired test of two models: against independent references, by simulation, and what does not pair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import FALLING, write_sweep
from scipy import optimize, stats

from analysis.__main__ import main
from analysis.compare import compare, text
from analysis.noise.paired import compared, detectable_by_mcnemar, tango_interval
from analysis.tables.table import Columns

LOGS = Path(__file__).parent / "fixtures/logs"


def discordant(only_a: int, only_b: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.zeros((1, n)), np.zeros((1, n))
    a[0, :only_a], b[0, only_a : only_a + only_b] = 1, 1
    return a, b


def test_mcnemars_test_by_hand() -> None:
    # 10 problems are solved by one alone, 9 of them by B: 2 (1 + 10) / 2^10
    found = compared(*discordant(1, 9, 50))
    assert found.p == pytest.approx(22 / 1024)
    assert (found.only_a, found.only_b, found.difference) == (1, 9, pytest.approx(0.16))
    assert found.accuracy_a == pytest.approx(0.02) and found.accuracy_b == pytest.approx(0.18)
    assert compared(*discordant(0, 0, 50)).p == 1.0


def score_by_likelihood(only_a: int, only_b: int, n: int, delta: float) -> float:
    """The score statistic of `delta`, its nuisance found by a search for the greatest likelihood."""

    def minus_log(q: float) -> float:
        cells = (only_a, q), (only_b, q + delta), (n - only_a - only_b, 1 - 2 * q - delta)
        return -sum(count * np.log(p) for count, p in cells if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(minus_log, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (only_b - only_a - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize("only_a, only_b, n", [(3, 12, 60), (12, 3, 60), (1, 0, 20), (7, 7, 30), (40, 55, 1319)])
def test_tangos_interval_is_where_the_score_test_turns(only_a: int, only_b: int, n: int) -> None:
    low, high = tango_interval(only_a, only_b, n, 0.95)
    z = stats.norm.ppf(0.975)
    assert score_by_likelihood(only_a, only_b, n, low) == pytest.approx(z, rel=1e-4)
    assert score_by_likelihood(only_a, only_b, n, high) == pytest.approx(-z, rel=1e-4)


def test_tangos_interval_at_its_ends() -> None:
    # nobody differs: n d^2 = z^2 d (1 - d), so d = z^2 / (n + z^2)
    z2 = stats.norm.ppf(0.975) ** 2
    assert tango_interval(0, 0, 20, 0.95) == pytest.approx((-z2 / (20 + z2), z2 / (20 + z2)))
    low, high = tango_interval(0, 8, 8, 0.95)
    assert high == 1.0 and low == pytest.approx((8 - z2) / (8 + z2))
    assert tango_interval(8, 0, 8, 0.95) == pytest.approx((-1.0, -low))


def test_several_attempts_are_a_paired_t_test_over_problems() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.binomial(8, 0.5, (1, 40)) / 8, rng.binomial(8, 0.6, (1, 40)) / 8
    found, reference = compared(a, b, 0.9), stats.ttest_rel(b[0], a[0])
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.9)))
    assert found.df == pytest.approx(39) and found.only_a is None


def test_runs_that_differ_widen_the_interval_by_hand() -> None:
    # all problems alike within a run, so the test makes no noise: runs at 0 and 1 vary by 1/2, both models' mean is 1/2
    a = b = np.array([[0.0] * 10, [1.0] * 10])
    found = compared(a, b)
    # excess: between 1/2, within (1/2) / 10; V = .45 (1/2 + 1/2); df = .45^2 / (.5^2 / 2)
    assert found.df == pytest.approx(2 * 0.45**2 / 0.25)
    assert found.high == pytest.approx(stats.t.ppf(0.975, found.df) * np.sqrt(0.45))


def test_models_that_differ_alike_on_a_few_problems_may_differ_otherwise_on_others() -> None:
    found = compared(np.full((1, 5), 0.25), np.full((1, 5), 0.75))
    # up to 1 - .025^(1/5) = .5218 of all problems may be others, each between -1 and 1 in place of .5
    assert (found.low, found.high) == pytest.approx((0.5 - 0.5218 * 1.5, 0.5 + 0.5218 * 0.5), abs=1e-4)
    assert found.p == pytest.approx(2 / 1.5**5) and found.detectable is None
    same = compared(np.full((1, 400), 0.25), np.full((1, 400), 0.25))
    assert same.p == 1.0 and same.high == -same.low == pytest.approx(-np.log(0.025) / 400, rel=0.01)
    turned = compared(np.zeros((2, 5)), np.ones((2, 5)))  # five of five problems one way
    assert turned.p == pytest.approx(stats.binomtest(5, 5).pvalue)
    at_its_end = compared(np.full((1, 5), 0.25), np.full((1, 5), 0.75), 1 - found.p)
    assert at_its_end.low == pytest.approx(0.0, abs=1e-12)


def test_swapped_models_swap_the_sign_alone() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, (2, 1, 80))
    one, other = compared(a, b), compared(b, a)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p == other.p and one.detectable == pytest.approx(other.detectable)


@pytest.mark.parametrize(
    "a, b, said",
    [
        (np.zeros((1, 3)), np.zeros((1, 4)), r"of one test set were expected, found \(1, 3\) and \(1, 4\)"),
        (np.zeros((1, 1)), np.zeros((1, 1)), "2 problems or more were expected, found 1"),
        (np.full((1, 3), 2.0), np.zeros((1, 3)), r"shares of right attempts in \[0, 1\] were expected"),
        (np.full((1, 3), np.nan), np.zeros((1, 3)), r"shares of right attempts in \[0, 1\] were expected"),
    ],
)
def test_what_is_no_pair_of_outcomes_is_refused(a: np.ndarray, b: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compared(a, b)


def test_a_level_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match="--level 95: a number between 0 and 1 was expected"):
        compared(np.zeros((1, 3)), np.ones((1, 3)), 95)


@pytest.mark.parametrize("n, n_discordant", [(200, 40), (1000, 80)])
def test_the_detectable_difference_is_found_four_times_in_five(n: int, n_discordant: int) -> None:
    delta = detectable_by_mcnemar(n_discordant, n, 0.05)
    assert delta is not None
    rate = max(n_discordant / n, delta)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [(rate + delta) / 2, (rate - delta) / 2, 1 - rate], size=4000)
    seen, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    found = [stats.binomtest(int(b), int(a + b)).pvalue < 0.05 for b, a in seen]
    assert np.average(found, weights=counts) == pytest.approx(0.8, abs=0.02)  # 3 s.e. of 4,000


def test_too_few_problems_find_nothing() -> None:
    # five problems, all one way: p = 2 / 32
    assert compared(*discordant(0, 5, 5)).detectable is None
    # six, all one way: 2 / 64; found at a true difference of .8^(1/6) at the least
    assert compared(*discordant(0, 0, 6)).detectable == pytest.approx(0.8 ** (1 / 6), abs=1e-4)


def simulated(
    rng: np.random.Generator, n: int, n_runs: int, n_attempts: int, gap: float, run_sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two models' shares: logits of shared difficulty (sd 2), of a model's own taste (sd .7) and of a run."""
    difficulty = rng.normal(0, 2, n)
    out = []
    for shift in (0.0, gap):
        logit = difficulty + rng.normal(0, 0.7, n) + shift + rng.normal(0, run_sd, (n_runs, 1))
        out.append(rng.binomial(n_attempts, 1 / (1 + np.exp(-logit))) / n_attempts)
    return out[0], out[1]


def true_difference(gap: float, run_sd: float) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(81)
    logit = np.sqrt(2**2 + 0.7**2 + run_sd**2) * nodes
    gain = 1 / (1 + np.exp(-logit - gap)) - 1 / (1 + np.exp(-logit))
    return float(gain @ weights / weights.sum())


@pytest.mark.parametrize(
    "n, n_runs, n_attempts, gap, run_sd, most",
    [
        (100, 1, 8, 0.3, 0.0, 0.97),
        (300, 3, 1, 0.3, 0.1, 0.97),
        (300, 5, 2, 0.3, 0.2, 0.97),
        (300, 3, 1, 0.3, 0.0, 0.985),  # a variance of zero is never estimated too small
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    n: int, n_runs: int, n_attempts: int, gap: float, run_sd: float, most: float
) -> None:
    rng, truth = np.random.default_rng(0), true_difference(gap, run_sd)
    found = [compared(*simulated(rng, n, n_runs, n_attempts, gap, run_sd)) for _ in range(600)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.93 <= covered <= most


def test_the_interval_of_single_attempts_holds_the_truth_as_often_as_it_says() -> None:
    rng, truth = np.random.default_rng(0), true_difference(0.5, 0.0)
    covered = []
    for _ in range(600):
        a, b = simulated(rng, 100, 1, 1, 0.5, 0.0)
        low, high = tango_interval(int((a > b).sum()), int((b > a).sum()), 100, 0.95)
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


# ---------------------------------------------------------------- files


def frame(right: list[int], **more: object) -> pd.DataFrame:
    return pd.DataFrame({"problem_id": [f"p{j}" for j in range(len(right))], "is_correct": right}).assign(**more)


def saved(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False)
    return path


A, B = [1] * 4 + [0] * 16, [1] * 3 + [0] + [1] * 9 + [0] * 7


def test_two_files_are_paired_by_problem_in_any_order(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a = saved(frame(A), tmp_path / "a.csv")
    b = saved(frame(B).sample(frac=1, random_state=0), tmp_path / "b.csv")
    found = compare(a, b)
    assert (found.test.only_a, found.test.only_b, found.test.p) == (1, 9, pytest.approx(22 / 1024))
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    assert "B minus A: +40.0 points [" in said and "p = 0.0215, on 20 shared problems" in said
    assert "only A solved 1, only B 9" in said and "would be found 80% of the time" in said
    assert main(["compare", str(a), str(b), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["only_b"] == 9


def test_problems_of_one_alone_are_counted_and_refused_unless_asked(tmp_path: Path) -> None:
    a = saved(frame(A).iloc[2:], tmp_path / "a.csv")
    b = saved(frame(B).iloc[:19], tmp_path / "b.csv")
    said = r"1 of 18 problems of .*a\.csv \(for example p19\) and 2 of 19 problems of .*b\.csv \(for example p0, p1\)"
    with pytest.raises(ValueError, match=f"{said} do not pair, 17 do; .* compare the 17 shared problems with --only-s"):
        compare(a, b)
    found = compare(a, b, is_shared_only=True)
    assert (found.n_unpaired_a, found.n_unpaired_b, found.test.n_problems) == (1, 2, 17)
    assert [one.code for one in found.notes] == ["not_paired"] and "they were left out" in text(found)
    other = saved(frame(B).assign(problem_id=range(20)), tmp_path / "c.csv")
    with pytest.raises(ValueError, match="do not pair, 0 do; problems pair by name: let both name them alike"):
        compare(a, other, is_shared_only=True)


def test_models_of_one_file_are_chosen_by_a_column(tmp_path: Path) -> None:
    both = saved(pd.concat([frame(A, arm="SFT", seed=0), frame(B, arm="DPO", seed=0)]), tmp_path / "t.csv")
    found = compare(both, both, only_a=("arm=SFT",), only_b=("arm=DPO",))
    assert found.test.only_b == 9 and found.a.endswith("t.csv (arm=SFT)")
    with pytest.raises(ValueError, match="two models were expected, found one twice; choose with --a"):
        compare(both, both, only_a=("arm=SFT",), only_b=("arm=SFT",))
    with pytest.raises(ValueError, match=r"one model was expected, found arm DPO, SFT; choose with --a arm=... or --b"):
        compare(both, both, only_a=("seed=0",))
    sizes = [256, 1024, 128, 2048, 512, 64, 4096, 8192, 16384]
    many = saved(pd.concat([frame(A, n_problems=n, seed=0) for n in sizes]), tmp_path / "m.csv")
    with pytest.raises(
        ValueError, match=r"found n_problems 64, 128, 256, 512, 1024, 2048, 4096, 8192 and 1 more; choose"
    ):
        compare(many, both, only_b=("arm=DPO",))


def test_seeds_of_many_files_are_runs_of_one_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for arm, chance in (("a", 0.4), ("b", 0.6)):
        for seed in range(3):
            saved(frame((rng.random(50) < chance).astype(int).tolist()), tmp_path / f"{arm}-s{seed}.csv")
    found = compare(f"{tmp_path}/a-s{{seed}}.csv", f"{tmp_path}/b-s*.csv")
    assert (found.n_runs_a, found.n_runs_b) == (3, 3) and "excess run variance" in found.test.method
    one = compare(f"{tmp_path}/a-s0.csv", f"{tmp_path}/b-s*.csv")
    assert [note.code for note in one.notes] == ["one_seed"]


def test_attempts_have_a_column_of_their_own_or_are_refused(tmp_path: Path) -> None:
    a = pd.concat([frame(A, sample=0), frame(B, sample=1)])
    found = compare(saved(a, tmp_path / "a.csv"), saved(frame(B), tmp_path / "b.csv"))
    assert found.n_runs_a == 1 and found.test.accuracy_a == pytest.approx((4 + 12) / 40)
    with pytest.raises(ValueError, match="20 outcomes appear twice, the first of problem p0; name the column"):
        compare(saved(a.drop(columns="sample"), tmp_path / "a.csv"), tmp_path / "b.csv")


def test_logs_of_two_tools_do_not_pair_by_their_numbers(tmp_path: Path) -> None:
    picked = next(iter(LOGS.glob("samples_pick_*")))
    document = json.loads((LOGS / "inspect.json").read_text())
    for k, one in enumerate(document["samples"]):
        one["id"] = k % 4  # as the other tool numbers its documents
        del one["scores"]["includes"]
    (tmp_path / "inspect.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="problems pair by name: let both name them alike"):
        compare(picked, tmp_path / "inspect.json")


def test_both_forms_of_an_inspect_log_pair() -> None:
    found = compare(LOGS / "inspect.eval", LOGS / "inspect.json", Columns(y="match"))
    assert found.test.n_problems == 4 and found.test.difference == 0


def test_a_sweeps_arms_are_compared_at_a_size(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "table", {arm: FALLING[arm] for arm in ("SFT", "per-step DPO")})
    columns = Columns(filters={"n_problems": "512"})
    found = compare(folder, folder, columns, only_a=("arm=SFT",), only_b=("arm=per-step DPO",))
    runs = pd.read_parquet(folder / "runs.parquet").query("n_problems == 512").groupby("arm")
    mean = runs["n_correct"].mean() / 300
    assert (found.test.accuracy_a, found.test.accuracy_b) == pytest.approx((mean["SFT"], mean["per-step DPO"]))
    assert (found.n_runs_a, found.n_runs_b, found.test.n_problems) == (2, 2, 300)
    with pytest.raises(ValueError, match="y='loss' is not kept by a sweep"):
        compare(folder, folder, Columns(y="loss"), only_a=("arm=SFT",))


@pytest.mark.parametrize(
    "more, columns, said",
    [
        ({}, Columns(problem="id"), "a paired test needs an outcome of every problem, found no column 'id'"),
        ({"is_correct": 3.5}, Columns(), r"is_correct must be 0/1, true/false or a share in \[0, 1\] of each problem"),
        ({"loss": 0.5}, Columns(y="loss", y_is="loss"), r"loss must be 0/1, true/false or a share"),
        ({"problem_id": [None] + ["x"] * 19}, Columns(), "problem_id is missing in 1 of 20 rows; fill it in"),
    ],
)
def test_what_is_no_outcome_of_a_problem_is_refused(more: dict, columns: Columns, said: str, tmp_path: Path) -> None:
    a, b = saved(frame(A, **more), tmp_path / "a.csv"), saved(frame(B, **more), tmp_path / "b.csv")
    with pytest.raises(ValueError, match=said):
        compare(a, b, columns)
