"""Tenants take turns."""

from icecore.server.training.turns import Turns


def taken(turns: Turns[str]) -> list[str]:
    """The order in which one worker would do them; a job's name begins with its tenant's."""
    jobs = []
    while (job := turns.take()) is not None:
        jobs.append(job)
        turns.end(job.rstrip("0123456789"))
    return jobs


def test_a_hundred_jobs_of_one_tenant_delay_another_by_one() -> None:
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.put("many", f"many{number}")
    turns.put("few", "few0")
    order = taken(turns)
    assert order.index("few0") == 1, f"the small tenant waited: {order[:5]}"
    assert [job for job in order if job != "few0"] == [f"many{n}" for n in range(100)]


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


def test_who_was_just_served_is_behind_one_who_comes_later() -> None:
    turns: Turns[str] = Turns()
    turns.put("a", "a1")
    assert turns.take() == "a1"
    turns.put("a", "a2")
    turns.put("b", "b1")
    turns.end("a")
    assert taken(turns) == ["b1", "a2"]


def test_a_free_worker_goes_to_who_has_none() -> None:
    turns: Turns[str] = Turns()
    for number in range(4):
        turns.put("a", f"a{number}")
    assert [turns.take(), turns.take()] == ["a0", "a1"]
    turns.put("b", "b0")
    turns.put("b", "b1")
    turns.end("a")
    assert turns.take() == "b0", "a has one running and got another"
    turns.end("a")
    assert turns.take() == "a2", "both have none and b was served last"
