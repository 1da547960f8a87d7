#!/usr/bin/env bash
# The first hour with a cluster account: submit a sweep, look at it, lose a job, retry, collect.
#
#   bash docs/first-hour/cluster.sh [STORE]     on a login node, in a checkout whose environment the nodes see
#
# STORE lies where every node sees it (default: outputs/first-hour/store). slurm/site.yaml tells account, partitions and
# scratch of your site: edit it first. Without a cluster: slurm/cluster/start gives this machine one (root), and stop takes it away.
# A line that begins with "#> " is what you should see; "..." stands for what differs.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
store=${1:-outputs/first-hour/store}

# 1. Is SLURM there, and which partitions has it?
sinfo
#> PARTITION...

# 2. Can a node do the work? A line a check; one that fails says what to do. (On a node: srun --gpus-per-node=1 slurm/preflight)
$python slurm/preflight --no-gpu --store "$store" ${ONE_MACHINE:+--one-machine}
#> ok      node ...
#> ok      tracking ...

# 3. The sweep: two arms at two sizes of a tiny domain. Small stages share a job. This is what would be built:
sweep=(experiment=smoke arm=sft,rft n_problems=32,48 exec.sweep_name=first-hour exec.store="$store" exec.device=cpu
       tracking=jsonl)
$python -m sweep plan -m "${sweep[@]}"
#> 4 runs = ... unique stages (... without sharing)...

# 4. Submit it. The command returns when SLURM has the graph of jobs; nothing of yours stays alive.
slurm=(hydra/launcher=slurm hydra.launcher.cpus_per_task=1 hydra.launcher.mem_gb=2 hydra.launcher.timeout_min=30
       hydra.launcher.stages_per_job=4)
$python -m sweep -m "${sweep[@]}" "${slurm[@]}"
#> 4 runs = ... built, ... in the queue already, ... to submit

# 5. Look at it, in words and as SLURM tells it.
$python -m sweep status -m "${sweep[@]}"
#> ... of 4 runs complete; ... to build
squeue --me

# 6. A mistake, or a colleague who needs the nodes: take the sweep back. What is built is kept.
$python -m sweep cancel exec.store="$store"
#> cancelled ... jobs of ...; what is built is kept
$python -m sweep status -m "${sweep[@]}"
#> ... to build

# 7. Go on: the same settings, only what is missing. (The whole command again does the same, also for a larger grid.)
$python -m sweep retry exec.store="$store"

# 8. Wait for it here; one would rather log out, and come back to `status`.
$python -m sweep -m "${sweep[@]}" "${slurm[@]}" hydra.launcher.wait=true
$python -m sweep status -m "${sweep[@]}"
#> 4 of 4 runs complete; ... 0 to build

# 9. What a stage printed, by the key that status and plan tell.
key=$(basename "$(ls -d "$store"/train-* | head -1)")
$python -m sweep logs "$key" exec.store="$store"

# 10. One table of it, for `python -m analysis`.
$python -m sweep collect -m "${sweep[@]}" --out "$store/../table"
#> ...base model x 128 problems in ...
