"""The few calls the host itself makes to Prefect's API. Flow runs' own calls are made by the pool processes.

Outages and refusals are told apart here once: `PrefectAway` may go through later, `PrefectRefused` will not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import httpx

from .protocol import State, state_of

_TIMEOUT_SECONDS = 20.0


class PrefectAway(Exception):
    """Prefect cannot be reached or is not able to answer now."""


class PrefectRefused(Exception):
    """Prefect answered that the request is wrong."""


class FlowRunMissing(PrefectRefused):
    """Prefect does not know the flow run."""


@dataclass(frozen=True)
class Transition:
    """What Prefect made of a proposed state. It answers 200 also when it refuses: `status` tells."""

    status: str
    state: State | None
    reason: str | None
    wait_seconds: float
    transition_id: str | None
    body: Mapping[str, Any] | None
    """The state as Prefect gave it."""


@dataclass(frozen=True)
class FlowRun:
    """A flow run as far as the host looks at it."""

    state: State
    transition_id: str | None
    run_count: int
    body: Mapping[str, Any]
    """All that Prefect said of it."""


def _transition_id(state: Mapping[str, Any] | None) -> str | None:
    return ((state or {}).get("state_details") or {}).get("transition_id")


class PrefectApi:
    """A client of Prefect's API. Every method may raise PrefectAway and PrefectRefused."""

    def __init__(self, url: str, api_key: str | None, auth: str | None = None) -> None:
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        basic = None if not auth else httpx.BasicAuth(*auth.split(":", 1))
        self._http = httpx.AsyncClient(base_url=url, headers=headers, auth=basic, timeout=_TIMEOUT_SECONDS)
        self.reachable = False

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            self.reachable = False
            raise PrefectAway(f"{self._http.base_url}: {type(error).__name__} {error}".strip()) from error
        self.reachable = True
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise PrefectAway(f"{method} {path}: {response.status_code}")
        if response.status_code in (401, 403):
            raise PrefectAway(f"{method} {path}: {response.status_code}: check MILLRACE_PREFECT_API_KEY")
        if response.status_code == 404:
            raise FlowRunMissing(f"{method} {path}: not found")
        if response.status_code >= 400:
            raise PrefectRefused(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response.json() if response.content else None

    async def healthy(self) -> bool:
        try:
            await self._call("GET", "/health")
        except (PrefectAway, PrefectRefused):
            return False
        return True

    async def read(self, flow_run_id: str) -> FlowRun:
        """Raises FlowRunMissing."""
        run = await self._call("GET", f"/flow_runs/{flow_run_id}")
        state = run["state"]
        if state is None:
            raise PrefectRefused(f"flow run {flow_run_id} has no state")
        return FlowRun(state_of(state), _transition_id(state), int(run.get("run_count") or 0), run)

    async def propose(
        self, flow_run_id: str, type_: str, transition_id: str, message: str | None = None, *, force: bool = False
    ) -> Transition:
        """Proposes a state; the id makes a repeat of the same proposal harmless. Raises FlowRunMissing."""
        state = {
            "type": type_,
            "name": type_.capitalize(),
            "message": message,
            "state_details": {"transition_id": transition_id},
        }
        answer = await self._call("POST", f"/flow_runs/{flow_run_id}/set_state", {"state": state, "force": force})
        details, made = answer.get("details") or {}, answer.get("state")
        return Transition(
            status=answer["status"],
            state=None if made is None else state_of(made),
            reason=details.get("reason"),
            wait_seconds=float(details.get("delay_seconds") or 0),
            transition_id=_transition_id(made),
            body=made,
        )

    async def register(self, found: Mapping[str, Any], deployment: str) -> str:
        """Creates or updates a flow and its deployment; returns the deployment's id.

        The deployment has no work pool, so no stock worker takes its runs.
        """
        flow = await self._call("POST", "/flows/", {"name": found["flow"]})
        body = {
            "name": deployment,
            "flow_id": flow["id"],
            "entrypoint": found["entrypoint"],
            "path": found["path"],
            "version": found["version"],
            "description": found["description"],
            "parameter_openapi_schema": found["schema"],
            # The flow itself checks its parameters; what is wrong then ends as a readable FAILED, not as a refused request.
            "enforce_parameter_schema": False,
            "tags": ["millrace"],
        }
        made = await self._call("POST", "/deployments/", body)
        return str(made["id"])
