#!/usr/bin/env bash
# The first hour with a table in CSV: what is one method's data worth in another's? No torch, no GPU.
#
#   bash csv.sh [WHAT]      WHAT is installed: a checkout or a wheel (default: the checkout that this file is in)
#
# It works in a new folder, first-hour-csv, and takes a minute or two. A line that begins with "#> " is what you should see;
# "..." stands for what differs.
set -euo pipefail
what=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
mkdir first-hour-csv && cd first-hour-csv

# 1. An environment of its own, and the analysis alone in it: numpy, scipy, pandas, pyarrow, matplotlib, but no torch.
python3 -m venv environment
environment/bin/python -m pip install -q "$what"
python=environment/bin/python
$python -c 'import importlib.util; print("torch is", "here" if importlib.util.find_spec("torch") else "not needed")'
#> torch is not needed

# 2. A table, a row a run: two methods, four sizes, two seeds, and the accuracy of each run on one test set, in percent.
cat > table.csv <<END
method,examples,seed,accuracy
SFT,500,0,41.2
SFT,500,1,42.1
SFT,1000,0,48.0
SFT,1000,1,47.5
SFT,2000,0,54.0
SFT,2000,1,54.9
SFT,4000,0,60.1
SFT,4000,1,59.4
RFT,500,0,47.0
RFT,500,1,48.3
RFT,1000,0,54.1
RFT,1000,1,53.6
RFT,2000,0,59.7
RFT,2000,1,60.5
RFT,4000,0,64.6
RFT,4000,1,65.5
END

# 3. Ask too early: the columns have other names than the tool looks for, and it says which it found and what to do.
$python -m analysis multiplier table.csv || true
#> error: table.csv: no column 'arm'; the columns are method, examples, seed, accuracy; name yours with --arm...

# 4. Name the columns. A percentage is said to be one: nothing is guessed.
columns=(--arm method --x examples --y accuracy --unit percent)
$python -m analysis multiplier table.csv "${columns[@]}"
#> RFT over SFT: ...× [...] at error ...

#    Read it as: SFT needs so many examples for one of RFT's, at the same error; 95 % limits in brackets. A warning below it
#    says what the table cannot know (here: how many test problems there were).

# 5. A wrong word gets the nearest right one.
$python -m analysis multiplier table.csv "${columns[@]}" --baseline STF || true
#> error: table.csv: baseline 'STF' is not in the table (did you mean SFT?); its arms are RFT, SFT; name one with --baseline
$python -m analysis multiplyer table.csv || true
#> error: argument COMMAND: 'multiplyer' is none of ...(did you mean multiplier?)...

# 6. What every option means, its unit and its default:
$python -m analysis multiplier --help
#> ...(default: 0.95)

# 7. The same as JSON for a program; at a number of RFT's examples in place of an error.
$python -m analysis multiplier table.csv "${columns[@]}" --at-size 1000 --json > answer.json
$python -c 'import json; found = json.load(open("answer.json")); print(found["arm"], found["at_size"], "examples")'
#> RFT 1000... examples

# 8. The laws behind it: parameters of each method's curve, with intervals.
$python -m analysis fit table.csv "${columns[@]}"
#> RFT, power: converged, ...
#>   multiplier: read by this law and by a curve without one
#>   b = ...

# 9. What to run next, so that the answer is known within a factor of 1.1 either way.
$python -m analysis design table.csv "${columns[@]}" --width 1.1
#> RFT over SFT: ...

# 10. A page with all of it, figures and tables too: open report/index.html in a browser; it needs no server.
$python -m analysis report table.csv "${columns[@]}" --out report
#> report/index.html
