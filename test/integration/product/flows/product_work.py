"""The flow of the product test: as slow as its parameter asks, so that a test can cancel it half-way."""

import time

from prefect import flow, task


@task
def prepare(order: str) -> str:
    return order.upper()


@task
def work(name: str, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
    return f"{name} is done"


@flow(name="product-work")
def product_work(order: str, seconds: float) -> dict[str, str]:
    return {"result": work(prepare(order), seconds)}
