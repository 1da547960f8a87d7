"""From a table of runs to the multiplier, its interval, its figure and its page.

    tables/     any table of runs, checked                                     -> Table
    laws/       the laws, and how they are fitted                              -> FitResult, SurfaceFit
    noise/      seed variance, by arm and in contrasts; joint draws of all cell means    -> Draws
    worth/      the horizontal shift, as a value or a bound: the multiplier    -> Multiplier, Shape
    design/     how wide an interval will be; what to run next                 -> NextRuns
    claims/     claims, declared rules, rulings                                -> Verdict
    figures/    one function a figure
    report/     tables, and the page that holds all
    held_out, map                  errors at sizes held out; one ingredient changed at a time
    commands, terminal             the command line as functions, JSON and text
    published/  others' tables

Of the pipeline it knows `sweep.table`, `sweep.arms` and `sweep.wandb_file` alone. LOG.md keeps what was measured.
"""
