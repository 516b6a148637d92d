import numpy as np
import pytest

from labkit.training.history import History

CLASSES = ("basophil", "monocyte", "platelet")


@pytest.fixture
def make_history():
    def make_history(epochs, planned=10, best=None, origin="", batches=4):
        """A training whose losses fall, with the best validation accuracy where it is told."""
        history = History(classes=CLASSES, planned_epochs=planned, origin=origin)
        for epoch in range(1, epochs + 1):
            accuracy = 0.9 if epoch == best else 0.5 + 0.001 * epoch
            history.append(
                {
                    "epoch": epoch,
                    "train_loss": 1 / epoch,
                    "train_accuracy": 0.6,
                    "train_f1": 0.5,
                    "val_loss": 1.2 / epoch,
                    "val_accuracy": accuracy,
                    "val_f1": 0.4,
                    "seconds": 2.0,
                }
            )
            history.confusion_matrices.append(np.diag([8, 9, 10]) + [[0, 2, 0]] * 3)
            history.batch_losses.append([1.5 / epoch] * batches)
        return history

    return make_history
