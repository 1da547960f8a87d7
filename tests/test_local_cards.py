"""The local launcher on a machine whose driver tells of cards: real processes, real stages, a declared fake driver."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_cards import GIB, put_on_path
from tiny_sweep import planned

from sweep.artifacts import Manifest, Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers import inventory
from sweep.launchers.local import Pool, run
from sweep.plan import Plan

Fake = Callable[..., None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return lambda gib, **more: put_on_path(tmp_path / "driver", monkeypatch, gib, **more)


def launched(plan: Plan, root: Path, **exec: Any) -> tuple[int, dict[str, Manifest]]:
    store = Store(root)
    code = run(plan, Exec(store=str(root), **exec), TrackingConfig(name="jsonl"))
    return code, {key: found for key in store.built() if (found := store.manifest(key)) is not None}


# what is there


def test_without_a_driver_nobody_is_asked_and_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "DRIVERS", ())
    monkeypatch.setenv("PATH", "")
    assert inventory.devices(Exec()) == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], None]:
    """The one function that asks the driver answers from a dictionary of GiB, as CUDA would to these names."""

    def tell(gib: dict[str, float]) -> None:
        def answer(environ: Mapping[str, str], names: Sequence[str] | None) -> list[tuple[str, int, int]]:
            known = itertools.takewhile(lambda name: name in gib, gib if names is None else names)
            return [(f"Fake {gib[name]:g}", int(gib[name] * GIB), int(gib[name] * GIB)) for name in known]

        monkeypatch.setattr(inventory, "has_driver", lambda: True)
        monkeypatch.setattr(inventory, "_told", answer)
        monkeypatch.setattr(inventory, "_instances", lambda environ: [n for n in gib if n.startswith("MIG-")])

    return tell


def names(exec: Exec | None = None, visible: str | None = None) -> list[str]:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [one.name for one in inventory.devices(exec or Exec(), environ)]


def test_the_driver_is_asked_through_torch_in_another_process(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake({"0": 80, "1": 80, "2": 24}, free={"1": 10})
    found = inventory.devices(Exec())
    assert [one.in_words for one in found] == [
        "0: Fake 80, 80.0 of 80.0 GiB free", "1: Fake 80, 10.0 of 80.0 GiB free", "2: Fake 24, 24.0 of 24.0 GiB free",
    ]  # fmt: skip
    usable = inventory.usable(found, Exec(gpu_memory_gib=30))
    assert [round(card.n_bytes / GIB, 2) for card in usable] == [30, 10, 23.28]  # asked for; free; all but 3 in 100


def test_cards_are_those_that_settings_and_the_environment_leave(told: Callable[[dict[str, float]], None]) -> None:
    told({"0": 80, "1": 80, "2": 24})
    assert names() == ["0", "1", "2"]
    assert names(Exec(device="cpu")) == [] and names(Exec(device="cuda:2")) == ["2"]
    assert names(Exec(cards=("2", "0"))) == ["2", "0"]
    assert names(visible="2,1") == ["2", "1"]
    assert names(Exec(device="cuda:0"), "2,1") == ["2"] and names(Exec(cards=("1",)), "2,1") == ["1"]
    assert names(visible="2,9,0") == ["2"]  # CUDA sees nothing behind a name it does not know
    assert names(visible="") == names(visible="-1") == []


def test_instances_of_a_divided_card_are_all_found(told: Callable[[dict[str, float]], None]) -> None:
    told({"MIG-a": 10, "MIG-b": 20})
    assert names() == ["MIG-a", "MIG-b"] and names(visible="MIG-b,MIG-a") == ["MIG-b", "MIG-a"]
    assert names(Exec(cards=("MIG-a",)), "MIG-b,MIG-a") == ["MIG-a"]


def test_instances_are_listed_by_name_where_torch_would_show_the_first_alone(fake: Fake) -> None:
    fake({"MIG-a": 10, "MIG-b": 20})
    assert [one.title for one in inventory.devices(Exec())] == ["Fake 10", "Fake 20"]


def test_cards_that_are_not_there_are_refused_with_those_that_are(told: Callable[[dict[str, float]], None]) -> None:
    told({"0": 80})
    with pytest.raises(ValueError, match=r"exec.cards=\['0', '3'\] asks for the cards 0, 3, of which .* shows 1"):
        names(Exec(cards=("0", "3")))
    with pytest.raises(ValueError, match=r"exec.cards=\['0', '0'\] names a card twice"):
        names(Exec(cards=("0", "0")))
    with pytest.raises(ValueError, match=r"exec.device=cuda:1 and exec.cards=\['0'\] both name cards"):
        names(Exec(device="cuda:1", cards=("0",)))
    with pytest.raises(ValueError, match=r"exec.device=cuda:4 asks for .* 4, and CUDA_VISIBLE_DEVICES leaves 0; give"):
        names(Exec(device="cuda:4"), "0")


def test_a_driver_that_does_not_answer_is_told_and_nothing_is_guessed(fake: Fake) -> None:
    fake({"0": 80}, is_broken=True)
    with pytest.raises(ValueError, match="does not tell of its cards: RuntimeError: CUDA error: device is lost"):
        inventory.devices(Exec())


def test_cores_are_those_that_this_process_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert inventory.n_cores({}) == 6
    assert inventory.n_cores({"SLURM_CPUS_ON_NODE": "4"}) == 4 and inventory.n_cores({"SLURM_CPUS_ON_NODE": "32"}) == 6
    monkeypatch.delattr("os.sched_getaffinity")
    assert inventory.n_cores({}) == 64


# sweeps


@pytest.fixture
def cards(fake: Fake, told: Callable[[dict[str, float]], None]) -> Fake:
    """Both doubles: the driver's answer to this process, and what workers see."""

    def put(gib: dict[str, float], **more: Any) -> None:
        fake(gib, **more)
        told(gib)

    return put


@pytest.mark.slow
def test_small_stages_share_cards_one_process_after_the_other_and_the_manifests_say_where(
    cards: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards({"0": 8, "1": 8}, n_out_of_memory=1)
    code, built = launched(planned("arm=sft,rft", "n_problems=8,16"), tmp_path / "store", workers_per_card=1)
    said = capsys.readouterr().out
    assert code == 0
    assert "card 0: Fake 8, 8.0 of 8.0 GiB free" in said and "workers a card: 1 (exec.workers_per_card=1)" in said
    assert re.search(r"base: out of memory on card 0, where [\d.]+ GiB were set aside for it; tried once more", said)
    where = Counter(",".join(one.provenance.get("cards", ["CPU"])) for one in built.values())
    assert where["CPU"] == 1 and set(where) == {"0", "1", "CPU"}  # dsyn computes on no card
    assert {one.provenance["device"] for one in built.values() if one.kind == "dsyn"} == {"cpu"}
    base = next(one for one in built.values() if one.kind == "base")
    assert base.provenance["memory"]["reserved_bytes"] == GIB // 2
    assert re.search(r"base  [\d.]+ s, card [01]\n", said)


@pytest.mark.slow
def test_a_sweep_inside_an_allocation_uses_the_cards_and_cores_that_it_was_given(
    cards: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cards({str(i): 8 for i in range(8)})
    for name, value in {"CUDA_VISIBLE_DEVICES": "5,6", "SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1"}.items():
        monkeypatch.setenv(name, value)  # as SLURM sets them in a job of two of a node's eight cards
    code, built = launched(planned("arm=sft,rft", "n_problems=8,16"), tmp_path / "store")
    assert code == 0
    assert "workers a card: 1 (a model of 0.0M parameters leaves a card idle, and 1 CPU" in capsys.readouterr().out
    where = {",".join(one.provenance.get("cards", ["CPU"])) for one in built.values()}
    assert where == {"5", "6", "CPU"}


@pytest.mark.slow
def test_a_stage_of_two_processes_takes_two_whole_cards(cards: Fake, tmp_path: Path) -> None:
    cards({"0": 8, "1": 8})
    code, built = launched(planned("arm=sft", "n_problems=8"), tmp_path / "store", n_processes=2)
    assert code == 0
    at = {one.kind: one.provenance.get("cards", []) for one in built.values()}
    assert at["sft"] == ["0", "1"] and at["dsyn"] == [] and len(at["base"]) == len(at["evaluate"]) == 1
    sft = next(one for one in built.values() if one.kind == "sft")
    assert sft.provenance["memory"]["reserved_bytes"] == GIB // 2  # as its first process told


@pytest.mark.slow
def test_out_of_memory_with_a_card_to_itself_is_a_failure_that_says_what_to_change(
    cards: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards({"0": 8}, n_out_of_memory=2)
    assert launched(planned("arm=sft", "n_problems=8"), tmp_path / "store")[0] == 1
    said = capsys.readouterr()
    assert (
        "CUDA out of memory. Tried to allocate 2.00 GiB.; it had its cards to itself: lower exec.micro_batch"
        in said.err
    )


def test_what_no_card_can_ever_hold_is_refused_before_anything_starts(cards: Fake, tmp_path: Path) -> None:
    cards({"0": 8, "1": 1.01})
    with pytest.raises(ValueError, match=r"base-\w+ needs 1\.\d\d GiB of a card \(counted: .*; nothing was started"):
        launched(planned("arm=sft", "n_problems=8"), tmp_path / "store", gpu_memory_gib=1.01)
    with pytest.raises(ValueError, match=r"exec.n_processes=3 asks for 3 cards for sft stages, and 2 can be used here"):
        launched(planned("arm=sft", "n_problems=8"), tmp_path / "store", n_processes=3)
    assert Store(tmp_path / "store").built() == []


@pytest.mark.slow
def test_a_card_on_which_no_worker_starts_is_left_out_and_the_others_go_on(
    cards: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cards({"0": 8, "1": 8})
    shim = tmp_path / "driver" / "torch.py"
    bad = "if os.environ.get('CUDA_VISIBLE_DEVICES') == '1':\n    raise ImportError('device is lost')\n"
    shim.write_text(shim.read_text() + bad)
    code, built = launched(planned("arm=sft,rft", "n_problems=8,16"), tmp_path / "store", workers_per_card=1)
    assert code == 0
    assert "card 1 is left out, no worker starts on it: ImportError: device is lost" in capsys.readouterr().out
    assert {tuple(one.provenance.get("cards", ())) for one in built.values()} == {(), ("0",)}


def test_when_no_card_is_left_every_stage_that_wants_one_fails_once_and_says_so(cards: Fake, tmp_path: Path) -> None:
    cards({"0": 8})
    exec = Exec(store=str(tmp_path / "store"), n_workers=2)
    pool = Pool(planned("arm=sft", "n_problems=8"), Store(exec.store), exec, TrackingConfig(name="jsonl"))
    dsyn = next(stage for stage in pool.waiting.values() if stage.kind == "dsyn")
    assert pool.seating is not None
    pool.waiting.pop(dsyn.key)
    assert pool.seating.not_started(("0",)) == [] and pool.seating.not_started(("0",)) == ["0"]
    pool._place(pool.seating)
    (said,) = pool.failed.values()
    assert said == "no card that is left can take it (none is left)" and pool.waiting == {}
    assert {key.split("-")[0] for key in pool.lost} == {"sft", "evaluate"} and pool.workers == []
