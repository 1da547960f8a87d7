"""The same configuration as a plain Hydra application, for hydra-submitit-launcher: what a user of Hydra writes."""

import hydra
from omegaconf import DictConfig

from sweep.commands.words import CONF


@hydra.main(version_base="1.3", config_path=CONF, config_name="config")
def main(config: DictConfig) -> None:
    print(config.n_problems)


if __name__ == "__main__":
    main()
