"""What can be set, all of it by environment variables that begin with ``PREFECT_NATS_``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Optional

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class NatsMessagingSettings(BaseSettings):
    """Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="PREFECT_NATS_", extra="ignore")

    url: str = Field("nats://127.0.0.1:4222", description="One or more servers, separated by commas.")
    user: Optional[str] = None
    password: Optional[SecretStr] = None
    token: Optional[SecretStr] = None
    creds_file: Optional[Path] = Field(None, description="Credentials file of a NATS account's user.")

    stream_prefix: str = Field("PREFECT", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    subject_prefix: str = Field("prefect", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    replicas: int = Field(1, ge=1, le=5)
    events_max_age: float = Field(7 * 86_400, ge=60)
    logs_max_age: float = Field(3_600, ge=60, description="Logs are streamed to browsers; Prefect's database keeps them.")
    duplicate_window: float = Field(300, ge=1, description="How long an event's id is remembered.")

    ack_wait: float = Field(30, ge=1, description="After so long without a word a message goes to another consumer.")
    max_retries: int = Field(3, ge=0, description="Deliveries after the first one; then it becomes a dead letter.")
    publish_timeout: float = Field(5, gt=0, description="Longest wait for the server's word that a message is stored.")
    outbox_size: int = Field(
        10_000,
        ge=0,
        description="Messages kept in memory while the server is away. 0: publishing raises instead.",
    )


@lru_cache(maxsize=1)
def settings() -> NatsMessagingSettings:
    """The settings of this process, read once."""
    return NatsMessagingSettings()
