"""The pipeline on one screen.

    problems, teacher -> dsyn --+
                                +-> sft -> samples -> advantages -> pairs -> train -> evaluate -> collect
    base model ------- base ----+   (pi_sft)  (D+, D-)  (q_values)         (RFT, DPO, ...)        |
                                                                                          python -m analysis

    stages.py      what each of these is and depends on: read this first
    build.py       how each is built; bench.py: what a build may use (parents, domain, randomness, checkpoints, cost);
                   training_set.py: what it samples from and is trained on; measuring.py: what nothing is trained on;
                   pretraining.py, finetuning.py: how its weights are trained
    points.py      a command line to grid points; compose.py: grid points to typed leaves
    plan.py        leaves to unique stages, their keys, what is built and what is new
    artifacts.py   a stage's key, its folder and its manifest; builds.py: those under way
    results.py     manifests to one table; probed.py: what was measured beside; table.py: its files, and several as one
    looks.py       the store's record of evaluations on test problems
    arms.py        (source, method) pairs and their names
    config.py      the schema of conf/: exp (identity) apart from exec (resources); leaves.py: a leaf by it
    tracking/      metrics.jsonl, and W&B or trackio as views of it
    commands/      the verbs of the command line
    prepare/       what a sweep starts from, made once before it: files of problems, folders of models
    view/          a sweep as it goes on: a page and the terminal
    memory.py      what a training holds; stage_memory.py: what any stage holds of a card, corrected by measurement
    launchers/     local worker processes (cards.py: on which card), or a graph of SLURM jobs
    methods/ sources/ models/ data/    algorithms, whose solutions, torch, problems

Imports point down only:

    __main__ -> commands -> view -> launchers -> plan, compose, points, stages, build -> bench, results, arms
             -> config, artifacts, tracking -> sources, methods, models -> data

sources, methods and models do not import each other, and tests/test_layers.py holds all of this.
"""
