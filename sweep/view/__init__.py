"""What a person sees of a sweep, which changes nothing: one picture of it, as a page and in the terminal.

standing.py     what of a plan is built, being built, in the queue, or was tried: read from the store and SLURM
cells.py        the grid as a map, and the state of every stage and run
remaining.py    how long the rest takes, from what ended
curves.py       training curves, thinned       log_end.py   the end of a log, made harmless
picture.py      all of that as one record
page.py         the record as one HTML file (page.js, page.css)      serve.py   the same on loopback
screen.py       the record as lines of a terminal
"""
