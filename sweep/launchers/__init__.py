"""Launchers: how a plan is run. `local` on this machine, `slurm` as a graph of jobs through Submitit."""
