"""Hugging Face Trainer and TRL: trainer_state.json of a checkpoint, its log_history an entry a logging or evaluation.

Source: transformers/trainer_callback.py, TrainerState, of transformers 5.23 and TRL 1.16.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.tables.formats.log import Content, Format, Log, logged, meaning_of, shown, wanted


def _is_it(content: Content) -> bool:
    return {"log_history", "global_step"} <= content.document.keys()


def _read(content: Content) -> Log:
    rows: list[dict[str, Any]] = []
    for number, entry in enumerate(wanted(content.document, "log_history", list, str(content.path)), 1):
        place = f"{content.path}, entry {number} of log_history"
        if not isinstance(entry, dict):
            raise ValueError(f"{place}: an object was expected, found {shown(entry)}")
        step = wanted(entry, "step", int, place)
        rows.append(logged(entry, place) | {"step": step})
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    return Log(pd.DataFrame(rows), {name: meaning_of(name) for name in names}, step="step")


FORMATS = (Format("trainer-state", "trainer_state.json of a Hugging Face or TRL trainer", _is_it, _read),)
