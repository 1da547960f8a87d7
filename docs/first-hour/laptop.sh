#!/usr/bin/env bash
# The first hour on a laptop: the two commands of the README, at a small scale first.
#
#   bash docs/first-hour/laptop.sh      in a checkout
#
# On Debian or Ubuntu with Python 3.11 or newer. The first command installs into .venv (a few minutes, once); the rest takes
# some five minutes on two cores. A line that begins with "#> " is what you should see; "..." stands for what differs.
set -euo pipefail
cd "$(dirname "$0")/../.."

# 1. What is there to make?
make help
#> reproduce...the study on new replicates...
#> test...the test suite

# 2. `make reproduce` is the study on three replicates that nobody has run: half an hour. The same recipe on a tiny domain,
#    two arms at four sizes, takes minutes and shows every step of it: sweep, table, report. A line tells how far it is.
make reproduce experiment=smoke replicates=7 grid="arm=sft,rft n_problems=16,32,48,64"
#> ... runs = ... unique stages...
#> ...base model x 128 problems in outputs/smoke/table
#> outputs/smoke/report/index.html

# 3. Again: what is built is not built twice. It is over in seconds, with the same report.
make reproduce experiment=smoke replicates=7 grid="arm=sft,rft n_problems=16,32,48,64"
#> ... 0 to build
#> outputs/smoke/report/index.html (as it was: made of the same table, options and code)

# 4. How far a sweep is, and what it would still build (nothing):
.venv/bin/python -m sweep status -m experiment=smoke replicate=7 arm=sft,rft n_problems=16,32,48,64
#> 8 of 8 runs complete; ... 0 to build

# 5. What one of RFT's problems is worth in SFT's. So small a study decides nothing, and says so.
.venv/bin/python -m analysis multiplier outputs/smoke/table --of RFT
#> RFT over SFT: ...

# 6. `make test` runs style, types and more than 3,000 tests, a quarter of an hour. Two of its files, in its place here:
make .venv/.dev
.venv/bin/python -m pytest tests/test_credit.py tests/test_tuning.py
#> ... passed...

# 7. The two commands at full scale are these; give them when there is time:
make -n reproduce
#> .venv/bin/python -m sweep -m experiment=reproduce replicate=...
