"""SLURM: a plan as a graph of array jobs through Submitit, its record on disk, and looking at it in the queue."""
