"""The flow of the chaos test: small, but with tasks, so that Prefect has something to lose."""

from prefect import flow, task


@task
def check(amounts: list[float]) -> list[float]:
    if not amounts:
        raise ValueError("an order has at least one amount")
    return amounts


@task
def add(amounts: list[float]) -> float:
    return sum(amounts)


@flow(name="chaos-sum")
def chaos_sum(order: str, amounts: list[float]) -> dict[str, object]:
    return {"order": order, "total": add(check(amounts))}
