"""A Hydra application that sleeps: its launchers' own cost a job.

With `libraries`, the folder that they lie in, a job's process imports first what a process that trains a model needs.
"""

import sys
import time

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

ConfigStore.instance().store("asleep", {"seconds": 2.0, "number": 0, "libraries": ""})


@hydra.main(version_base="1.3", config_path=None, config_name="asleep")
def main(config: DictConfig) -> None:
    if config.libraries and config.libraries not in sys.path:
        sys.path.append(config.libraries)
        from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401
    time.sleep(config.seconds)


if __name__ == "__main__":
    main()
