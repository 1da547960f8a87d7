"""What a card is worth: SFT's use of its peak, pairs a second, TRL beside both; tokens sampled beside `generate`.

python tests/benchmarks/bench_gpu.py [--out FILE.json] [--sizes 135M,1.2B]       `make bench-gpu`
Without a card: a dry run with a tiny model, whose figures mean nothing. bf16 weights with fp32 masters, rows of GSM8K's
length, one warm-up run that is not counted. Utilisation is model FLOP (6 a parameter and token, the output layer's at
trained tokens alone, attention's with them) over the card's dense bf16 peak.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from sampling_sized import by_engine, by_generate
from training_sized import PEAKS, SIZES, Size, Timed, ours, pairs_of, policy_of, rows_of, trls

from sweep.installed import device_of_vllm
from sweep.models import Policy

HOW = {"precision": "bf16", "micro_batch_tokens": 16384, "max_logits": 2**28}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/bench_gpu.json"), help="file to write")
    has_card = torch.cuda.is_available()
    parser.add_argument(
        "--sizes", default="135M,1.2B" if has_card else "0.2M", help="parameters of the models, by commas"
    )
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    device = "cuda" if has_card else "cpu"
    card = torch.cuda.get_device_name() if has_card else "no card: a dry run"
    figures: dict[str, object] = {"card": card, "torch": torch.__version__}

    def keep(found: dict[str, float]) -> None:
        for key, figure in found.items():
            figures[key] = figure
            print(f"{key}: {figure:,.3g}", flush=True)
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")

    for name in asked.sizes.split(","):
        keep(measured(SIZES[name], device, card))
    keep(pilot())


def measured(size: Size, device: str, card: str) -> dict[str, float]:
    n_updates, batch_size = (10, 128) if device == "cuda" else (2, 16)
    n, out = n_updates * batch_size, {}
    rows = rows_of(size, n)
    policy = policy_of(size, device)
    compilers = ("off", "inductor") if device == "cuda" else ("off",)
    for compiler in compilers:
        done = _second(policy, rows, n_updates, batch_size, device, compiler=compiler, **HOW)
        label = f"{size.name} SFT" + (" compiled" if compiler != "off" else "")
        out[f"{label} tokens/s"] = done.n_tokens / done.seconds
        if peak := next((p for kind, p in PEAKS.items() if kind in card), None):
            out[f"{label} MFU"] = flop(size, rows) * n_updates * batch_size / len(rows) / done.seconds / peak
    for label, data in (("DPO", pairs_of(size, n)), ("per-step DPO", pairs_of(size, n, 0.6))):
        done = _second(policy, data, n_updates, batch_size, device, **HOW)
        out[f"{size.name} {label} pairs/s"] = done.n_items / done.seconds
        theirs = trls(copy.deepcopy(policy), data, n_updates, batch_size, device, bf16=device == "cuda")
        out[f"{size.name} {label} times TRL"] = theirs.seconds / done.seconds
    theirs = trls(copy.deepcopy(policy), rows, n_updates, batch_size, device, bf16=device == "cuda")
    out[f"{size.name} SFT times TRL"] = out[f"{size.name} SFT tokens/s"] / (theirs.n_tokens / theirs.seconds)
    out |= sampled(size, policy, device)
    if device == "cuda":
        out[f"{size.name} peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
    return out


def sampled(size: Size, policy: Policy, device: str) -> dict[str, float]:
    """Tokens a second of 1,024 prompts x 8, 256 tokens at most, in bf16, the second time, and beside `generate`."""
    n_prompts, n_most, max_rows = (1024, 256, 1024) if device == "cuda" else (4, 8, 32)
    prefixes = [row.prefix for row in rows_of(size, n_prompts)]
    theirs = by_generate(policy, prefixes[: n_prompts // 4], 8, n_most, max_rows, torch.bfloat16)
    out = {f"{size.name} generate tokens/s": theirs.n_tokens / theirs.seconds}
    has_vllm = find_spec("vllm") is not None and device_of_vllm() == device
    for engine in ("slots", *(("vllm",) if has_vllm else ())):
        by_engine(policy, engine, prefixes[:8], 8, n_most, max_rows, "bf16")
        mine = by_engine(policy, engine, prefixes, 8, n_most, max_rows, "bf16")
        out[f"{size.name} {engine} tokens/s"] = mine.n_tokens / mine.seconds
        out[f"{size.name} {engine} times generate"] = mine.n_tokens / mine.seconds / (theirs.n_tokens / theirs.seconds)
    return out | evaluated(size, policy, n_most, max_rows, 1319 if device == "cuda" else 4)


def evaluated(size: Size, policy: Policy, n_most: int, max_rows: int, n: int) -> dict[str, float]:
    """Seconds of one evaluation, a greedy and a sampled solution a problem, each as long as it may be."""
    prefixes = [row.prefix for row in rows_of(size, n)]
    how = (prefixes, 1, n_most, max_rows, "bf16")
    seconds = sum(by_engine(policy, "slots", *how, temperature=t).seconds for t in (0.0, 0.7))
    return {f"{size.name} evaluation of {n} problems, s": seconds}


def pilot() -> dict[str, float]:
    """Seconds of a sweep of 4 arms at 2 sizes from an empty store, where model and files are (docs/how-to/lab.md)."""
    model, files = Path("models/smollm2_135m"), Path("data/gsm_symbolic")
    if not (torch.cuda.is_available() and model.is_dir() and files.is_dir()):
        print(f"no pilot: it needs a card, {model} and {files}", flush=True)
        return {}
    grid = ["arm=sft,rft,dpo,step_dpo", "n_problems=1024,2048", "seed=1", f"model.path={model}", "model.revision=null"]
    with tempfile.TemporaryDirectory() as store:
        where = [f"exec.store={store}", "exec.sweep_name=pilot", "exec.engine=slots", "tracking=jsonl"]
        began = time.perf_counter()
        command = [sys.executable, "-m", "sweep", "-m", "experiment=scaling_gsm_symbolic", *grid, *where]
        subprocess.run(command, check=True)
        return {"pilot of 8 runs, s": time.perf_counter() - began}


def _second(policy, data, n_updates, batch_size, device, **how) -> Timed:  # type: ignore[no-untyped-def]
    ours(policy, data, 2, batch_size, device, **how)
    return ours(policy, data, n_updates, batch_size, device, **how)


def flop(size: Size, rows: list) -> float:
    """Model FLOP of reading every row once, forward and backward."""
    heads = size.hidden_size // size.n_heads * (size.n_heads + size.n_kv_heads)
    of_layers = size.n_layers * (2 * size.hidden_size * heads + 3 * size.hidden_size * size.mlp_size)
    total = 0.0
    for row in rows:
        n_trained = len(row.continuation.split()) + 1
        n = len(row.prefix.split()) + 1 + n_trained
        total += 6 * of_layers * n + 6 * size.n_words * size.hidden_size * n_trained
        total += 3 * 2 * size.n_layers * size.hidden_size * n * n  # causal: half of 4 n^2
    return total


if __name__ == "__main__":
    main()
