# SPDX-License-Identifier: Apache-2.0
"""The one way to wait: for a condition, with a limit, and with a message that says what was
missing."""
import time


class NotComing(AssertionError):
    """Raised by a condition that can never become true: the wait ends at once."""


def wait_for(what, condition, seconds=10.0, pause=0.01):
    """Returns the first true value of condition(). what: text, or a function that makes the text
    when the time is over. An exception from condition() counts as "not yet", and is shown at the
    end."""
    deadline = time.monotonic() + seconds
    while True:
        problem = None
        try:
            value = condition()
        except NotComing:
            raise
        except Exception as error:  # what is not there yet may fail in any way
            value, problem = None, error
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {seconds} s in vain: {text}") from problem
        time.sleep(pause)


def holds_for(seconds, condition, pause=0.02):
    """True if condition() stays true for that long. Only for "nothing more happens"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(pause)
    return True
