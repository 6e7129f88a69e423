"""What can go wrong, as classes: nobody needs to read a message to decide."""

from __future__ import annotations

from typing import Any, Optional


class NotStored(Exception):
    """No stream has stored the message: none listens on its subject, or the server was away for too long."""


class MessageTimeout(Exception):
    """No message came in the time given."""


class WorkflowMissing(Exception):
    """No workflow of that name was applied."""


class RunEnded(Exception):
    """The run that was waited for failed or was cancelled.

    :ivar status: ``failed`` or ``cancelled``
    :ivar code: the error's code, when it failed
    """

    def __init__(self, run_id: str, status: str, message: str, code: Optional[str] = None) -> None:
        super().__init__(f"run {run_id} {'was cancelled' if status == 'cancelled' else status}: {message}")
        self.run_id = run_id
        self.status = status
        self.code = code

    def __reduce__(self) -> Any:
        # Prefect pickles a task's exception.
        message = str(self.args[0]).split(": ", 1)[-1]
        return (RunEnded, (self.run_id, self.status, message, self.code))
