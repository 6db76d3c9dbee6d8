"""Signals that reach a training at a certain step, inside the process that tests it."""

import os


def sender(number, after):
    """Stands in for `runs.check_loss`: sends this process a signal when it sees a certain step."""

    def check_loss(value, step, learning_rate):
        if step == after:
            os.kill(os.getpid(), number)

    return check_loss
