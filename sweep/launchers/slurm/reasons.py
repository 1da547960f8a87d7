"""Why a job waits, in words, and what to do about it: SLURM's reason codes (squeue(1), JOB REASON CODES)."""

from __future__ import annotations

import re

BY_ITSELF = "it starts by itself"
RELEASE = "`scontrol release JOB`"
NEVER = "so it never starts: `python -m sweep cancel`, then the same command with"
LIMITS = r"(qos|assoc|association)"
REASONS = {  # the first that matches the whole reason, whatever its upper and lower case
    r"none|scheddefer|": f"SLURM has not looked at it yet; {BY_ITSELF}",
    r"priority": f"jobs of higher priority go first; {BY_ITSELF}",
    r"resources": f"every node that fits is in use; {BY_ITSELF}",
    r"dependency": f"the stages it needs are not built yet; {BY_ITSELF}",
    r"dependencyneversatisfied":
        "a job it needs failed, so it never starts: see what failed, `python -m sweep cancel`, then the same "
        "command again",
    r"jobarraytasklimit": f"array_parallelism lets no more of its array run at a time; {BY_ITSELF}",
    r"jobhelduser": f"it is held, by its owner or by `hold`: {RELEASE}",
    r"jobheldadmin": "an administrator holds it: ask them; you cannot release it",
    r"begintime": f"its begin time has not come, or it was just queued again; {BY_ITSELF}",
    r"partitiontimelimit":
        f"its time is above the partition's limit, {NEVER} hydra.launcher.timeout_min below `sinfo -o '%P %l'`",
    r"partitionnodelimit": f"it asks for more nodes than the partition gives a job, {NEVER} another partition",
    r"partition(down|inactive|config)":
        "its partition starts no jobs now: see `sinfo`, wait, or submit to another with hydra.launcher.partition",
    r"reserved for maintenance|reqnodenotavail.*maint.*":
        f"the nodes are reserved for maintenance; {BY_ITSELF} after it",
    r"(nodes required for job are down|nodedown|reqnodenotavail).*":
        "the nodes that fit are down, drained or reserved: `sinfo -R` says why; it starts when they are back, "
        "or ask the "
        "administrators",
    r"badconstraints":
        f"no node has what it asks for, {NEVER} another hydra.launcher.constraint, mem_gb, cpus_per_task or "
        "gpus_per_node",
    r"(invalid)?reservation.*": "its reservation has not begun or is gone: `scontrol show reservation`",
    r"licenses": f"the licenses it asks for are in use; {BY_ITSELF}",
    r"invalid(account|qos)|account(notallowed)?|qosnotallowed|qosusagethreshold|accountingpolicy":
        "its account or QOS may not run there: see `sacctmgr show assoc user=$USER`; `python -m sweep cancel`, "
        "then the same "
        "command with another hydra.launcher.account, qos or partition",
    rf"{LIMITS}.*(maxwall|timelimit).*":
        f"its time is above the limit of your QOS or account, {NEVER} a smaller hydra.launcher.timeout_min, or "
        "another qos",
    rf"{LIMITS}.*(max\w*per(job|node)|min\w*notsatisfied|resourcelimit).*|maxmemperlimit":
        f"it asks for other than your QOS or account lets a job have, {NEVER} other CPUs, GPUs or memory, or "
        "another qos",
    rf"{LIMITS}grp\w*(minutes|wall).*":
        "the hours of your account or QOS are used up: ask for more; or `python -m sweep cancel`, then the same "
        "command with "
        "another hydra.launcher.account",
    rf"({LIMITS}|max\w*per(account|user)).*":
        f"your QOS or account has as much in use as it may, other people's jobs among it; {BY_ITSELF} when some "
        "of it ends",
    r"job requeued in held state|joblaunchfailure|launch failed requeued held|jobholdmaxrequeue|maxrequeue.*":
        f"it failed to start or was queued again too often, and is held: see its output and its node, then {RELEASE}",
    r"prolog|cleaning|configuring|frontenddown|bootfail|.*(powering|booting).*":
        f"its node is being prepared; {BY_ITSELF}",
    r"(burstbuffer|fed|het).*": f"another part of SLURM is not ready for it; {BY_ITSELF}",
    r"deadline": f"its deadline cannot be met any more, {NEVER} a later one",
}  # fmt: skip


def in_words(reason: str) -> str:
    """What a person makes of a pending job's reason."""
    code = reason.strip("() ")
    found = (words for pattern, words in REASONS.items() if re.fullmatch(pattern, code, re.IGNORECASE))
    return next(found, "see the reason codes in `man squeue`, and `scontrol show job JOB`")
