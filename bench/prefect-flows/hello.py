"""The flow that bench/prefect.ts starts by both ways: what is measured is the way to its Running, not the flow."""

from prefect import flow


@flow(name="hello")
def hello(input: dict | None = None) -> int:
    return 1
