"""Jobs over HTTP: from draft to closed, who sees what, editing with an ETag."""

from typing import Any
from uuid import uuid4

from events.jobs import JobClosed, JobOpened
from tests.jobs.world import JOB, World, ok, refused


async def test_a_job_is_posted_as_a_draft(world: World) -> None:
    response = await world.client.post("/v1/jobs", JOB)
    job = await ok(response, 201)
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert {name: job[name] for name in JOB} == JOB
    assert job["status"] == "draft"
    assert job["client_id"] == str(world.client.id)
    assert job["currency"] == "USD"
    assert job["created_at"].endswith("Z")
    assert await ok(await world.client.get(response.headers["location"])) == job
    assert await world.events() == []


async def test_a_draft_is_its_owners_alone(world: World) -> None:
    path = f"/v1/jobs/{(await world.draft())['id']}"
    refused(await world.http.get(path), 404, "not_found")
    for member in (world.stranger, world.talent, world.admin):
        refused(await member.get(path), 404)
        refused(await member.patch(path, {"title": "Mine"}), 404)
        refused(await member.post(f"{path}/publish"), 404)
        refused(await member.post(f"{path}/close"), 404)
        refused(await member.post(f"{path}/bids", {"rate_cents": 1, "cover_letter": "x"}), 404)
        refused(await member.get(f"{path}/bids"), 404)
    assert (await ok(await world.http.get("/v1/jobs")))["items"] == []


async def test_posting_needs_the_role_client(world: World) -> None:
    refused(await world.talent.post("/v1/jobs", JOB), 403, "missing_role")
    refused(await world.http.post("/v1/jobs", json=JOB), 401)


async def test_a_published_job_is_everybodys(world: World) -> None:
    draft = await world.draft()
    job = await ok(await world.client.post(f"/v1/jobs/{draft['id']}/publish"))
    assert job["status"] == "open"
    assert await ok(await world.http.get(f"/v1/jobs/{job['id']}")) == job
    assert (await ok(await world.http.get("/v1/jobs")))["items"] == [job]
    (event,) = await world.events(job["id"])
    assert (event.type, event.sequence, event.source) == (JobOpened.type_, "1", "/services/jobs")
    assert event.data == {
        "job_id": job["id"],
        "client_id": str(world.client.id),
        "title": JOB["title"],
        "opened_at": job["opened_at"],
    }


async def test_publishing_twice_and_closing_a_draft_are_refused(world: World) -> None:
    draft = await world.draft()
    refused(await world.client.post(f"/v1/jobs/{draft['id']}/close"), 409, "invalid_state")
    await ok(await world.client.post(f"/v1/jobs/{draft['id']}/publish"))
    refused(await world.client.post(f"/v1/jobs/{draft['id']}/publish"), 409, "invalid_state")
    assert len(await world.events(draft["id"])) == 1


async def test_others_see_an_open_job_but_do_not_run_it(world: World) -> None:
    path = f"/v1/jobs/{(await world.job())['id']}"
    for member in (world.stranger, world.talent, world.admin):
        refused(await member.patch(path, {"title": "Mine"}), 403)
        refused(await member.post(f"{path}/publish"), 403)
        refused(await member.post(f"{path}/close"), 403)
    for call in (world.http.patch(path, json={}), world.http.post(f"{path}/publish"), world.http.post(f"{path}/close")):
        refused(await call, 401)


async def test_a_closed_job_is_its_owners_and_bidders(world: World) -> None:
    job = await world.job()
    await world.bid(job)
    path = f"/v1/jobs/{job['id']}"
    closed = await ok(await world.client.post(f"{path}/close"))
    assert closed["status"] == "closed"
    assert closed["closed_at"] is not None
    for member in (world.client, world.talent):
        assert await ok(await member.get(path)) == closed
        assert len((await ok(await member.get(f"{path}/bids")))["items"]) == 1
    for member in (world.stranger, world.admin):
        refused(await member.get(path), 404)
    refused(await world.http.get(path), 404)
    refused(await world.client.post(f"{path}/close"), 409, "invalid_state")
    refused(await world.client.patch(path, {"title": "Later"}), 409, "invalid_state")
    refused(await world.talent.patch(path, {"title": "Later"}), 403)
    assert (await ok(await world.http.get("/v1/jobs")))["items"] == []
    opened, gone = await world.events(job["id"])
    assert (opened.type, gone.type, gone.sequence) == (JobOpened.type_, JobClosed.type_, "2")
    assert gone.data == {"job_id": job["id"], "client_id": str(world.client.id), "closed_at": closed["closed_at"]}


async def test_editing_changes_what_is_sent_and_no_more(world: World) -> None:
    job = await world.job()
    edited = await ok(await world.client.patch(f"/v1/jobs/{job['id']}", {"title": "Rust engineer", "skills": ["rust"]}))
    assert edited == job | {"title": "Rust engineer", "skills": ["rust"], "updated_at": edited["updated_at"]}
    assert edited["updated_at"] > job["updated_at"]
    found = await ok(await world.http.get("/v1/jobs", params={"q": "rust", "skills": "RUST"}))
    assert [item["id"] for item in found["items"]] == [job["id"]]
    assert (await ok(await world.http.get("/v1/jobs", params={"q": "solidity"})))["items"] == []


async def test_if_match_guards_against_lost_edits(world: World) -> None:
    job = await world.draft()
    path = f"/v1/jobs/{job['id']}"
    etag = (await world.client.get(path)).headers["etag"]
    first = await world.client.patch(path, {"title": "One"}, **{"If-Match": etag})
    assert first.headers["etag"] != etag
    refused(await world.client.patch(path, {"title": "Two"}, **{"If-Match": etag}), 412, "precondition_failed")
    assert (await ok(await world.client.get(path)))["title"] == "One"
    await ok(await world.client.patch(path, {"title": "Three"}, **{"If-Match": first.headers["etag"]}))
    await ok(await world.client.patch(path, {"title": "Four"}, **{"If-Match": "*"}))


WRONG: list[dict[str, Any]] = [
    {"title": ""},
    {"title": "   "},
    {"title": "x" * 201},
    {"title": None},
    {"title": 1},
    {"description": ""},
    {"description": "x" * 20_001},
    {"skills": "python"},
    {"skills": [""]},
    {"skills": ["a,b"]},
    {"skills": ["x" * 51]},
    {"skills": ["x"] * 21},
    {"skills": None},
    {"kind": "weekly"},
    {"rate_min_cents": 0},
    {"rate_min_cents": -1},
    {"rate_min_cents": 1.5},
    {"rate_min_cents": "8000"},
    {"rate_min_cents": True},
    {"rate_min_cents": 12_001},
    {"rate_max_cents": 10**13 + 1},
    {"rate_max_cents": 7_999},
    {"client_id": "0192f3a4-0000-7000-8000-000000000000"},
    {"status": "open"},
]


async def test_wrong_fields_are_refused(world: World) -> None:
    draft = await world.draft()
    for change in WRONG:
        for response in (
            await world.client.post("/v1/jobs", JOB | change),
            await world.client.patch(f"/v1/jobs/{draft['id']}", change),
        ):
            refused(response, 422)
            assert all("input" not in error for error in response.json()["errors"]), change
    assert (await ok(await world.client.get("/v1/jobs", mine=True)))["items"] == [draft]


async def test_every_field_is_needed(world: World) -> None:
    for missing in JOB:
        refused(await world.client.post("/v1/jobs", {k: v for k, v in JOB.items() if k != missing}), 422)


async def test_only_dollars(world: World) -> None:
    await ok(await world.client.post("/v1/jobs", JOB | {"currency": "USD"}), 201)
    refused(await world.client.post("/v1/jobs", JOB | {"currency": "EUR"}), 422)


async def test_ids_that_are_none_are_unknown(world: World) -> None:
    for name in ("jobs", "bids", "offers", "engagements", "invoices", "payments", "transactions", "refunds"):
        for wrong in (str(uuid4()), "x", "1", "%00", "..%2f"):
            refused(await world.client.get(f"/v1/{name}/{wrong}"), 404)
    refused(await world.client.post(f"/v1/jobs/{uuid4()}/publish"), 404)
    refused(await world.client.patch("/v1/jobs/nope", {"title": "x"}), 404)


async def test_my_jobs_are_all_of_mine(world: World) -> None:
    drafts = [await world.draft(title=f"Job {number}") for number in range(3)]
    await ok(await world.client.post(f"/v1/jobs/{drafts[0]['id']}/publish"))
    mine = await ok(await world.client.get("/v1/jobs", mine=True))
    assert [job["title"] for job in mine["items"]] == ["Job 2", "Job 1", "Job 0"]
    open_ones = await ok(await world.client.get("/v1/jobs", mine=True, status="open"))
    assert [job["title"] for job in open_ones["items"]] == ["Job 0"]
    assert (await ok(await world.stranger.get("/v1/jobs", mine=True)))["items"] == []
    refused(await world.http.get("/v1/jobs", params={"mine": "true"}), 401)
    refused(await world.client.get("/v1/jobs", mine=True, status="gone"), 422)


async def test_a_bad_token_is_refused_even_where_none_is_needed(world: World) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    refused(await world.http.get("/v1/jobs", headers=headers), 401)
