"""Why a job waits, in words: every code of squeue(1) has its own."""

from __future__ import annotations

import pytest

from sweep.launchers.slurm.reasons import in_words

NEVER = "never starts"
BY_ITSELF = "starts by itself"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", BY_ITSELF), ("Resources", BY_ITSELF), ("None", BY_ITSELF), ("BeginTime", BY_ITSELF),
        ("JobArrayTaskLimit", "array_parallelism"), ("Dependency", "the stages it needs"),
        ("DependencyNeverSatisfied", NEVER), ("PartitionTimeLimit", NEVER), ("BadConstraints", NEVER),
        ("PartitionNodeLimit", "more nodes than the partition"), ("PartitionDown", "starts no jobs now"),
        ("PartitionInactive", "starts no jobs now"), ("JobHeldAdmin", "an administrator holds it"),
        ("JobHeldUser", "scontrol release"), ("JobHoldMaxRequeue", "scontrol release"),
        ("launch failed requeued held", "scontrol release"), ("job requeued in held state", "scontrol release"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "sinfo -R"),
        ("ReqNodeNotAvail, Reserved for maintenance", "maintenance"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", "sinfo -R"),
        ("Licenses", "licenses"), ("Reservation", "reservation"), ("InvalidAccount", "account or QOS"),
        ("QOSMaxWallDurationPerJobLimit", NEVER), ("AssocMaxWallDurationPerJobLimit", NEVER),
        ("QOSMaxCpuPerJobLimit", NEVER), ("AssocMaxNodePerJobLimit", NEVER), ("QOSMinCpuNotSatisfied", NEVER),
        ("AssocGrpCPUMinutesLimit", "used up"), ("AssocGrpCpuLimit", BY_ITSELF), ("QOSMaxJobsPerUserLimit", BY_ITSELF),
        ("MaxGRESPerAccount", BY_ITSELF), ("Prolog", "being prepared"), ("DeadLine", NEVER),
        ("SomethingNewInSlurm", "man squeue"),
    ],
)  # fmt: skip
def test_a_reason_is_told_with_what_to_do(reason: str, words: str) -> None:
    assert words in in_words(reason)
    assert in_words(f"({reason})") == in_words(reason)
