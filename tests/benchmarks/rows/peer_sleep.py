"""A Hydra application that sleeps: its launchers' own cost a job."""

import time

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

ConfigStore.instance().store("asleep", {"seconds": 2.0, "number": 0})


@hydra.main(version_base="1.3", config_path=None, config_name="asleep")
def main(config: DictConfig) -> None:
    time.sleep(config.seconds)


if __name__ == "__main__":
    main()
