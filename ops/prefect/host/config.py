"""Settings of the host, from the environment and the command line (docs/protocol.md, "Environment")."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

_TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


class ConfigError(Exception):
    """A setting that cannot be; the message says which and what it should be."""


@dataclass(frozen=True)
class Config:
    nats_urls: tuple[str, ...]
    nats_token: str | None
    nats_creds: str | None
    prefect_url: str
    prefect_api_key: str | None
    otlp_url: str | None
    pool: str
    processes: int
    home: Path
    http_port: int
    log_level: str
    flows: tuple[Path, ...]
    deployment: str
    drain_seconds: float


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name, "") or str(default)
    if not text.isdigit() or not least <= int(text) <= most:
        raise ConfigError(f"{name} is {text!r}: give a whole number from {least} to {most}")
    return int(text)


def _flow_dirs(arguments: Sequence[str]) -> tuple[Path, ...]:
    dirs = tuple(Path(text).resolve() for text in arguments)
    for folder in dirs:
        if not folder.is_dir():
            raise ConfigError(f"--flows {folder}: there is no such folder")
    return dirs


def load(argv: Sequence[str], env: Mapping[str, str]) -> Config:
    """The settings.

    Raises:
        ConfigError: when one is missing or cannot be.
    """
    parser = argparse.ArgumentParser(prog="python -m host", description=__import__("host").__doc__)
    parser.add_argument("--flows", action="append", default=[], metavar="DIR", help="folder of flow modules; repeatable")
    parser.add_argument("--deployment", default="main", help="name of the deployment of each flow found (main)")
    args = parser.parse_args(argv)
    prefect_url = (env.get("MILLRACE_PREFECT_URL") or "").rstrip("/")
    if not prefect_url:
        raise ConfigError("MILLRACE_PREFECT_URL is not set: give Prefect's API, e.g. http://127.0.0.1:4200/api")
    pool = env.get("MILLRACE_POOL") or "default"
    if not _TOKEN.match(pool):
        raise ConfigError(f'MILLRACE_POOL is {pool!r}: use letters, digits, "-" and "_", at most 64')
    home = Path(env.get("MILLRACE_HOST_HOME") or Path.home() / ".millrace" / "flow-host").resolve()
    urls = env.get("MILLRACE_NATS_URL") or "nats://127.0.0.1:4222"
    return Config(
        nats_urls=tuple(url.strip() for url in urls.split(",") if url.strip()),
        nats_token=env.get("MILLRACE_NATS_TOKEN") or None,
        nats_creds=env.get("MILLRACE_NATS_CREDS") or None,
        prefect_url=prefect_url,
        prefect_api_key=env.get("MILLRACE_PREFECT_API_KEY") or None,
        otlp_url=(env.get("MILLRACE_OTLP_URL") or "").rstrip("/") or None,
        pool=pool,
        processes=_number(env, "MILLRACE_HOST_PROCESSES", 2, 1, 64),
        home=home,
        http_port=_number(env, "MILLRACE_HTTP_PORT", 0, 0, 65_535),
        log_level=env.get("MILLRACE_LOG_LEVEL") or "info",
        flows=_flow_dirs(args.flows),
        deployment=args.deployment,
        drain_seconds=float(_number(env, "MILLRACE_HOST_DRAIN_SECONDS", 10, 0, 3_600)),
    )


def child_env(config: Config, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a pool process: Prefect's settings for a quick, quiet client with a home of its own."""
    prefect_home = config.home / "prefect"
    given = {
        "PREFECT_API_URL": config.prefect_url,
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "DO_NOT_TRACK": "1",
        # It would fail a pool process that starts before Prefect does.
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # Without a receiver the label of the span would cost a request per flow run and lead nowhere.
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "true" if config.otlp_url else "false",
        "MILLRACE_HOST_RESULTS": str(config.home / "results"),
        "MILLRACE_FLOWS": os.pathsep.join(str(folder) for folder in config.flows),
        "MILLRACE_DEPLOYMENT": config.deployment,
        "MILLRACE_LOG_LEVEL": config.log_level,
        "PYTHONUNBUFFERED": "1",
    }
    if config.prefect_api_key:
        given["PREFECT_API_KEY"] = config.prefect_api_key
    if config.otlp_url:
        given["MILLRACE_OTLP_URL"] = config.otlp_url
    # Prefect answers 500 while its database is locked or it goes down; the wrapped set_state makes a repeat harmless.
    defaults = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500", "PREFECT_LOCAL_STORAGE_PATH": str(config.home / "storage")}
    # PREFECT_API_AUTH_STRING and the like of the host's own environment pass through.
    return {**defaults, **env, **given}
