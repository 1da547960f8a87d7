"""Which limit on queued jobs is the tightest: layouts worked out by hand. No SLURM is needed for these."""

from __future__ import annotations

import pytest

from sweep.launchers.slurm.limits import Association, Qos, Queued, Room, Rules, limits

ANN = Association("lab", "ann", "", "", "", "normal", "normal,long")
LAB = Association("lab", "", "department", "", "", "", "")
DEPARTMENT = Association("department", "", "root", "", "", "", "")
ROOT = Association("root", "", "", "", "", "", "")
QUEUE = [
    Queued("ann", "lab", "normal", "gpu"), Queued("ann", "other", "normal", "gpu"), Queued("bob", "lab", "long", "cpu"),
    Queued("cid", "department", "normal", "cpu,gpu"),
]  # fmt: skip


def tightest(*rows: Association, qos: tuple[Qos, ...] = (), asked_qos: str | None = None, of="cpu") -> Room | None:
    named = {row[:2]: row for row in (ANN, LAB, DEPARTMENT, ROOT, *rows)}
    rules = Rules(list(named.values()), qos, {"gpu": "gpu_limits", "cpu": "N/A"}, QUEUE)
    return min(limits(rules, "ann", "lab", asked_qos, [of]), default=None)


def test_without_a_limit_there_is_none() -> None:
    assert tightest() is None


def test_a_users_own_limit_counts_her_jobs_in_that_account() -> None:
    found = tightest(ANN._replace(max_submit="5"))
    assert found == Room(4, "MaxSubmitJobs of ann in account lab=5")


def test_an_accounts_limit_counts_everybody_in_it_and_below_it() -> None:
    assert tightest(LAB._replace(group_submit="5")) == Room(3, "GrpSubmitJobs of account lab=5")
    assert tightest(DEPARTMENT._replace(group_submit="5")) == Room(2, "GrpSubmitJobs of account department=5")


@pytest.mark.parametrize(
    ("qos", "asked", "expected"),
    [
        (Qos("normal", "5", "", ""), None, Room(3, "MaxSubmitJobsPerUser of QOS normal=5")),  # by default in normal
        (Qos("normal", "", "5", ""), None, Room(4, "MaxSubmitJobsPerAccount of QOS normal=5")),
        (Qos("normal", "", "", "5"), None, Room(2, "GrpSubmitJobs of QOS normal=5")),
        (Qos("long", "", "", "5"), None, None),
        (Qos("long", "", "", "5"), "long", Room(4, "GrpSubmitJobs of QOS long=5")),
    ],
)
def test_a_qos_limits_those_who_use_it(qos: Qos, asked: str | None, expected: Room | None) -> None:
    assert tightest(qos=(qos,), asked_qos=asked) == expected


def test_a_partitions_qos_limits_those_who_go_there() -> None:
    qos = (Qos("gpu_limits", "", "", "5"),)
    assert tightest(qos=qos, of="gpu") == Room(2, "GrpSubmitJobs of QOS gpu_limits=5")
    assert tightest(qos=qos, of="cpu") is None


def test_there_is_never_less_than_no_room() -> None:
    assert tightest(LAB._replace(group_submit="1")) == Room(0, "GrpSubmitJobs of account lab=1")
