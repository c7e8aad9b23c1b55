"""The programs that reluviz is compared with: a plain PyTorch loop, and a plain Lightning module.

Both are written in the obvious way for this problem, without unnecessary work. `run(updates)` makes updates and
returns the seconds they took; `loss()` returns the loss of the last minibatch.
"""

import time
from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.measure import torch_threads
from reluviz.training.lightning_startup import quiet


class PlainLoop:
    """Minibatch by minibatch: draw, forward, backward, step.

    Args:
        network: nn.Sequential(Linear(1, W), ReLU(), Linear(W, 1)).
        optimizer: the optimiser of its trained parameters.
        x: inputs [N].
        y: outputs [N].
        batch: the size of a minibatch, drawn with replacement; None for full batches.
        cores: the number of threads that torch may use.
        drawn: minibatches drawn in advance, [K, B], used repeatedly; None to draw each one.
    """

    def __init__(
        self,
        network: nn.Sequential,
        optimizer: Optimizer,
        x: Tensor,
        y: Tensor,
        batch: int | None,
        cores: int = 1,
        drawn: Tensor | None = None,
    ) -> None:
        self.network, self.optimizer, self.batch = network, optimizer, batch
        self.x, self.y = x[:, None], y[:, None]
        self.cores, self.drawn = cores, drawn
        self.last = torch.tensor(torch.nan)

    def run(self, updates: int) -> float:
        """Make updates and return the seconds they took."""
        network, optimizer, x, y, batch = self.network, self.optimizer, self.x, self.y, self.batch
        criterion = nn.MSELoss()
        with torch_threads(self.cores):
            started = time.perf_counter()
            for k in range(updates):
                if batch is None:
                    loss = criterion(network(x), y)
                else:
                    drawn = self.drawn
                    i = torch.randint(len(x), (batch,)) if drawn is None else drawn[k % len(drawn)]
                    loss = criterion(network(x[i]), y[i])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            self.last = loss.detach()
            return time.perf_counter() - started

    def loss(self) -> float:
        """Return the last minibatch's loss."""
        return float(self.last)


class PlainModule(L.LightningModule):
    """The same training as a LightningModule."""

    def __init__(self, network: nn.Sequential, optimizer: Optimizer) -> None:
        super().__init__()
        self.network, self.optimizer = network, optimizer
        self.criterion = nn.MSELoss()
        self.last = torch.tensor(torch.nan)
        self.started = self.ended = 0.0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a minibatch."""
        x, y = batch
        loss: Tensor = self.criterion(self.network(x), y)
        self.last = loss.detach()
        return loss

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser."""
        return self.optimizer

    def on_train_start(self) -> None:
        """Start the clock; the setup before is done once and not counted."""
        self.started = time.perf_counter()

    def on_train_end(self) -> None:
        """Stop the clock."""
        self.ended = time.perf_counter()


class Minibatches:
    """An iterable of `updates` minibatches, drawn one by one, without the DataLoader's collation."""

    def __init__(self, x: Tensor, y: Tensor, batch: int | None, updates: int) -> None:
        self.x, self.y, self.batch, self.updates = x[:, None], y[:, None], batch, updates

    def __len__(self) -> int:
        return self.updates

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.updates):
            if self.batch is None:
                yield self.x, self.y
            else:
                i = torch.randint(len(self.x), (self.batch,))
                yield self.x[i], self.y[i]


class PlainLightning:
    """A plain module in an ordinary Trainer without a logger, a progress bar or checkpoints.

    Arguments as for `PlainLoop`.
    """

    def __init__(
        self, network: nn.Sequential, optimizer: Optimizer, x: Tensor, y: Tensor, batch: int | None, cores: int = 1
    ) -> None:
        self.x, self.y, self.batch, self.cores = x, y, batch, cores
        self.module = PlainModule(network, optimizer)

    def run(self, updates: int) -> float:
        """Make updates and return the seconds they took, without those to build the Trainer."""
        with quiet(), torch_threads(self.cores):
            trainer = L.Trainer(
                accelerator="cpu",
                max_epochs=1,
                logger=False,
                enable_progress_bar=False,
                enable_checkpointing=False,
                enable_model_summary=False,
            )
            trainer.fit(self.module, Minibatches(self.x, self.y, self.batch, updates))
        return self.module.ended - self.module.started

    def loss(self) -> float:
        """Return the last minibatch's loss."""
        return float(self.module.last)
