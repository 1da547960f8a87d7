"""From a table of runs to the multiplier, its interval, its figure and its page.

    table, outcomes, read   any table of runs, checked                          -> Table
    seeds, pairing, resample   seed variance, by arm and in contrasts; joint draws of all cell means    -> Draws
    forms, profile, saturating, fit   the laws and how they are fitted          -> FitResult
    chinchilla              the two-variable law                                -> ChinchillaFit
    multiplier, reading     the horizontal shift, as a value or a bound         -> Multiplier
    shape, delta            m(e), bands, parallelism, pooled, Fieller; fast interval
    validate, width, design held-out errors; what to run next
    variants, record        the map: one ingredient changed at a time; verdicts beside those of a larger study
    verdicts                claims, declared rules, rulings
    figures, diagnostics, style       one function a figure
    sheet, sheets, page, sections, colophon, report   tables, and the page that holds all
    commands, printing, words         the command line as functions, JSON and text
    published               others' tables
    simulate                tables with a known truth

Of the pipeline it knows `sweep.results.read_table` alone. LOG.md keeps what was measured.
"""
