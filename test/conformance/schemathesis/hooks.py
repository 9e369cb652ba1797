"""Steers what Schemathesis makes up: any name is a valid model, and nearly every one of them a 404."""

import schemathesis

LEAST_BUDGET_MS = 500


@schemathesis.hook
def map_body(context, body):
    """Leaves what is invalid as it is: only a model's name becomes one that is served, and a budget one that can be met."""
    if not isinstance(body, dict):
        return body
    model, budget_ms = body.get("model"), body.get("latency_budget_ms")
    if isinstance(model, str) and 1 <= len(model) <= 64:
        body = {**body, "model": "stlm-auto"}
    if budget_ms is None or (type(budget_ms) in (int, float) and 0 < budget_ms < LEAST_BUDGET_MS):
        body = {**body, "latency_budget_ms": LEAST_BUDGET_MS}
    return body
