"""How many more jobs this user may have in the queue, by the limits that can be seen before sbatch refuses.

Looked at are the limits of the user, of the account and of those above it, and of the QOS of account and partition.
A site may hide some of them; sbatch then refuses, and what was submitted before is cancelled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sweep.launchers.slurm.queue import SlurmError, ask


class Association(NamedTuple):
    """A row of `sacctmgr show assoc`: a user in an account, or with an empty user the account itself."""

    account: str
    user: str
    parent: str
    max_submit: str
    group_submit: str
    default_qos: str
    qos: str


class Qos(NamedTuple):
    """A row of `sacctmgr show qos`."""

    name: str
    per_user: str
    per_account: str
    group: str


class Queued(NamedTuple):
    """A job or array element of anybody's in the queue."""

    user: str
    account: str
    qos: str
    partition: str


@dataclass(frozen=True)
class Rules:
    """The cluster's limits, and the jobs that count against them."""

    associations: Sequence[Association]
    qos: Sequence[Qos]
    partition_qos: Mapping[str, str]
    queued: Sequence[Queued]

    def upwards(self, account: str) -> list[str]:
        """The account and those above it."""
        parents = {row.account: row.parent for row in self.associations if not row.user}
        out = [account]
        while parents.get(out[-1]) and parents[out[-1]] not in out:
            out.append(parents[out[-1]])
        return out


@dataclass(frozen=True, order=True)
class Room:
    """How many jobs a limit lets through, and its name and value."""

    n_jobs: int
    limit: str


def room(requests: Iterable[tuple[str | None, str | None, str | None]]) -> Room | None:
    """The tightest limit for jobs of these (account, qos, partition), None for a default; None without any limit.

    Each limit is taken as if all of the jobs counted against it.
    """
    user = os.environ.get("USER") or ask("id", "-un").strip()
    try:
        account = ask("sacctmgr", "-nP", "show", "user", user, "format=defaultaccount").strip()
        fields = "format=account,user,parentname,maxsubmit,grpsubmit,defaultqos,qos"
        associations = _rows("sacctmgr", "-nP", "show", "assoc", fields)
        qos = _rows("sacctmgr", "-nP", "show", "qos", "format=name,maxsubmitpu,maxsubmitpa,grpsubmit")
        shown = ask("scontrol", "show", "partition", "-o")
        queued = _rows("squeue", "-h", "-r", "-a", "-o", "%u|%a|%q|%P")
    except SlurmError:  # without accounting there are no limits
        return None
    rules = Rules(
        [Association(*row) for row in associations],
        [Qos(*row) for row in qos],
        dict(re.findall(r"PartitionName=(\S+).*?QoS=(\S+)", shown)),
        [Queued(*row) for row in queued],
    )
    partition = next(iter(re.findall(r"PartitionName=(\S+).*? Default=YES", shown)), "")
    distinct = {(a or account, q, p or partition) for a, q, p in requests}
    return min((one for a, q, p in distinct for one in limits(rules, user, a, q, p.split(","))), default=None)


def limits(rules: Rules, user: str, account: str, qos: str | None, partitions: Sequence[str]) -> Iterator[Room]:
    """Every limit on the number of jobs of a user that applies to one who asks for this."""

    def limit(name: str, value: str, counted: Sequence[Queued]) -> Iterator[Room]:
        if value:
            yield Room(max(0, int(value) - len(counted)), f"{name}={value}")

    in_use = {qos} | {rules.partition_qos.get(partition) for partition in partitions}
    for row in rules.associations:
        if (row.account, row.user) == (account, user):
            own = [job for job in rules.queued if (job.account, job.user) == (account, user)]
            yield from limit(f"MaxSubmitJobs of {user} in account {account}", row.max_submit, own)
            yield from limit(f"GrpSubmitJobs of {user} in account {account}", row.group_submit, own)
            in_use.add(qos or row.default_qos or row.qos.split(",")[0])
        elif not row.user and row.account in rules.upwards(account):
            below = [job for job in rules.queued if row.account in rules.upwards(job.account)]
            yield from limit(f"GrpSubmitJobs of account {row.account}", row.group_submit, below)
    for one in rules.qos:
        if one.name in in_use:
            held = [
                job
                for job in rules.queued
                if one.name in (job.qos, *(rules.partition_qos.get(p) for p in job.partition.split(",")))
            ]
            own, ours = [j for j in held if j.user == user], [j for j in held if j.account == account]
            yield from limit(f"MaxSubmitJobsPerUser of QOS {one.name}", one.per_user, own)
            yield from limit(f"MaxSubmitJobsPerAccount of QOS {one.name}", one.per_account, ours)
            yield from limit(f"GrpSubmitJobs of QOS {one.name}", one.group, held)


def _rows(*command: str) -> list[list[str]]:
    return [line.split("|") for line in ask(*command).splitlines()]
