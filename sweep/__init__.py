"""The pipeline on one screen.

    problems, teacher -> dsyn --+
                                +-> sft -> samples -> advantages -> train -> evaluate -> collect
    base model ------- base ----+   (pi_sft)  (D+, D-)  (q_values)   (RFT, DPO, ...)        |
                                                                                      python -m analysis

    stages.py      what each of these needs and builds: read this first
    bench.py       what building one takes: parents, domain, randomness, checkpoints, cost
    plan.py        the grid's unique stages, their keys, what is built and what is new
    artifacts.py   a stage's key, its folder and its manifest
    results.py     manifests to one table
    config.py      the schema of conf/: exp (identity) apart from exec (resources)
    tracking.py    metrics.jsonl and Weights & Biases; wandb_runs.py reads finished runs back
    launchers/     local worker processes, or a graph of SLURM jobs
    methods/ sources/ models/ data/    algorithms, whose solutions, torch, problems

Imports point down only:

    __main__ -> launchers -> plan, stages -> bench, results -> config, artifacts, tracking
             -> sources, methods, models -> data

sources, methods and models do not import each other, and tests/test_layers.py holds all of this.
"""
