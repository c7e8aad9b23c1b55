"""Where Hydra looks for sweepers; it imports this whenever it starts, so that there is little here."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, which goes on where a sweep stopped and keeps nothing of a job that has ended."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the sweep from the function that `reluviz train` gave to Hydra, and let the launcher call its job."""
        self.ours: Any = task_function.sweep  # type: ignore[attr-defined]
        if self.ours.here:
            from reluviz.cli.composed_configs import ReusingLoader

            loader: Any = ReusingLoader(hydra_context.config_loader)
            hydra_context = HydraContext(loader, hydra_context.callbacks)
        super().setup(hydra_context=hydra_context, task_function=self.ours.job(), config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run every combination of what varies."""
        self.begin()
        return self.ours.run(self.launcher, self.split_arguments(self.parsed(arguments), None)[0])

    def begin(self) -> None:
        """Keep the sweep's own configuration in its folder, as Hydra does."""
        self.ours.begin()
        assert self.config is not None
        OmegaConf.save(self.config, self.ours.folder / "multirun.yaml")

    def parsed(self, arguments: list[str]) -> Any:
        """Return the overrides of the sweep, the preset ones first."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return parser.parse_overrides([*self._parse_config(), *arguments])


class SearchSweeper(GridSweeper):
    """Looks for the settings with the smallest loss, by Optuna."""

    def sweep(self, arguments: list[str]) -> Any:
        """Try settings one after another, each chosen in view of what came before."""
        from reluviz.cli.sweep.search import search

        self.begin()
        return search(self.ours, self.launcher, self.parsed(arguments))


for name, sweeper in (("reluviz_grid", GridSweeper), ("reluviz_search", SearchSweeper)):
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name=name,
        node=BasicSweeperConf(_target_=f"{__name__}.{sweeper.__name__}"),
        provider="reluviz",
    )
