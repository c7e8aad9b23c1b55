"""The sweepers, where Hydra looks for plugins. Hydra imports this at every start, so it imports little itself."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, which can also resume a sweep, and keeps nothing of a job that has ended."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Read the `Sweep` from the function that `reluviz train` passed to Hydra; launchers call the sweep's job."""
        self.reluviz_sweep: Any = task_function.sweep  # type: ignore[attr-defined]
        if self.reluviz_sweep.in_this_process:
            from reluviz.cli.hydra_run import CachingLoader

            loader: Any = CachingLoader(hydra_context.config_loader)
            hydra_context = HydraContext(loader, hydra_context.callbacks)
        super().setup(hydra_context=hydra_context, task_function=self.reluviz_sweep.make_job(), config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run every combination of the values that vary."""
        self.start_sweep()
        return self.reluviz_sweep.run(self.launcher, self.split_arguments(self.all_overrides(arguments), None)[0])

    def start_sweep(self) -> None:
        """Check that the sweep may start, and write its configuration to its folder, as Hydra does."""
        self.reluviz_sweep.check_queue()
        assert self.config is not None
        from reluviz.files import SWEEP_FILE

        OmegaConf.save(self.config, self.reluviz_sweep.folder / SWEEP_FILE)

    def all_overrides(self, arguments: list[str]) -> Any:
        """Return the parsed overrides of the sweep: those of the experiment first, then the arguments."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return parser.parse_overrides([*self._parse_config(), *arguments])


class SearchSweeper(GridSweeper):
    """Searches for the settings with the smallest loss, with Optuna."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run trials one after another; each is chosen from the results of the earlier ones."""
        from reluviz.cli.sweep.search import search

        self.start_sweep()
        return search(self.reluviz_sweep, self.launcher, self.all_overrides(arguments))


for name, sweeper in (("reluviz_grid", GridSweeper), ("reluviz_search", SearchSweeper)):
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name=name,
        node=BasicSweeperConf(_target_=f"{__name__}.{sweeper.__name__}"),
        provider="reluviz",
    )
