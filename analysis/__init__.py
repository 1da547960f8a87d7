"""From a table of runs to the multiplier, its interval, its figure and its page.

    table, read          any table of runs, checked            -> Table
    resample             joint draws of all cell means         -> Draws
    forms, profile, fit  the laws and how they are fitted      -> FitResult
    multiplier           the horizontal shift                  -> Multiplier
    verdicts             claims, rules and rulings             -> Verdict
    figures, style       one function a figure
    sheets, page, report tables, and the page that holds all
    simulate             tables with a known truth

Of the pipeline it knows `sweep.results.read_table` alone.
"""
