"""The arms: (source, method) pairs under the names by which tables and figures know them."""
from __future__ import annotations

ARMS = {
    ("teacher", "sft"): "SFT",
    ("self", "sft"): "RFT",
    ("self", "dpo"): "DPO",
    ("self", "step_dpo"): "per-step DPO",
    ("teacher", "sft_more"): "SFT, more updates",
    ("self", "chosen_sft"): "chosen steps only",
    ("self", "random_step_dpo"): "random-step DPO",
    ("self", "distant_dpo"): "DPO, distant pairs",
    ("self_filtered", "sft"): "advantage-filtered RFT",
    ("self", "entropy_matched"): "SFT, entropy-matched",
    ("self_unverified", "sft"): "RFT without verifier",
    ("self_sound", "sft"): "RFT, sound steps",
    ("self_spurious", "sft"): "RFT, spurious steps",
}
BASE_ARM = "base"


def arm(source: str, method: str) -> str:
    """The usual name of a (source, method) pair in tables and legends."""
    return ARMS.get((source, method), f"{method} on {source}")
