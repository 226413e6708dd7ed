"""Tenants take turns."""

from icecore.server.training.turns import Turns


def taken(turns: Turns[str]) -> list[str]:
    jobs = []
    while (job := turns.take()) is not None:
        jobs.append(job)
    return jobs


def test_a_hundred_jobs_of_one_tenant_delay_another_by_one() -> None:
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.put("many", f"many-{number}")
    turns.put("few", "few-0")
    order = taken(turns)
    assert order.index("few-0") == 1, f"the small tenant waited: {order[:5]}"
    assert [job for job in order if job != "few-0"] == [f"many-{n}" for n in range(100)]


def test_a_tenants_own_jobs_keep_their_order() -> None:
    turns: Turns[str] = Turns()
    for tenant_id, job in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("a", "a3")]:
        turns.put(tenant_id, job)
    assert taken(turns) == ["a1", "b1", "c1", "a2", "a3"]


def test_a_dropped_job_is_never_taken() -> None:
    turns: Turns[str] = Turns()
    turns.put("a", "a1")
    turns.put("a", "a2")
    assert turns.drop("a", "a1")
    assert not turns.drop("a", "a1"), "it was there twice"
    assert not turns.drop("b", "b1"), "a tenant without jobs has one"
    assert len(turns) == 1
    assert taken(turns) == ["a2"]
