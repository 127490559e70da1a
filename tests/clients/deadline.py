"""Every wait is for an event and has an end; all of them together end with the whole run."""

import os
import time

RUN_ENDS = time.monotonic() + float(os.environ.get("CLIENT_TESTS_SECONDS", "170"))


class Late(AssertionError):
    """What was awaited did not happen in time."""


class Deadline:
    """Some seconds from now, or the end of the run if that is sooner."""

    def __init__(self, seconds):
        self.at = min(time.monotonic() + seconds, RUN_ENDS)

    def passed(self):
        return time.monotonic() >= self.at

    def left(self):
        """Seconds, for a timeout that must not be zero."""
        return max(self.at - time.monotonic(), 0.001)

    def wait(self, condition):
        """Waits for a notification; false when the time is up."""
        if self.passed():
            return False
        condition.wait(self.left())
        return True
