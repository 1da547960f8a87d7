"""A table of the manifests below a folder, as a loop over pandas makes one: a row a file, then all rows together."""

import json
import sys
from pathlib import Path

import pandas as pd


def table(folder: Path) -> pd.DataFrame:
    rows = [pd.json_normalize(json.loads(path.read_text())) for path in sorted(folder.glob("*/manifest.json"))]
    return pd.concat(rows, ignore_index=True)


if __name__ == "__main__":
    print(len(table(Path(sys.argv[1]))))
