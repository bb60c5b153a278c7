"""The search for open jobs: words, filters, orders, pages."""

import json
import re
from base64 import urlsafe_b64encode

from tests.jobs.world import Json, World, ok, refused


async def titles(world: World, **params: object) -> list[str]:
    page = await ok(await world.http.get("/v1/jobs", params=params))
    assert page["next_cursor"] is None
    return [job["title"] for job in page["items"]]


async def all_pages(world: World, limit: int, **params: object) -> list[Json]:
    """Every job of a list, fetched in pages; no page is empty or longer than asked for."""
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        page = await ok(await world.http.get("/v1/jobs", params={**params, **cursor, "limit": limit}))
        assert 1 <= len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        assert len(page["items"]) == limit
        cursor = {"cursor": page["next_cursor"]}


async def a_few(world: World) -> None:
    await world.job(title="Python developer", skills=["Python", "SQL"], rate_min_cents=5_000, rate_max_cents=8_000)
    await world.job(
        title="Rust engineer",
        skills=["rust"],
        kind="fixed",
        rate_min_cents=9_000,
        rate_max_cents=15_000,
        description="Rewriting a Python service.",
    )
    await world.job(
        title="Designer", skills=["figma"], rate_min_cents=4_000, rate_max_cents=20_000, description="Drawing tokens."
    )


async def test_words_filters_and_orders(world: World) -> None:
    await a_few(world)
    newest = ["Designer", "Rust engineer", "Python developer"]
    cases: list[tuple[dict[str, object], list[str]]] = [
        ({}, newest),
        ({"sort": "newest"}, newest),
        ({"sort": "oldest"}, newest[::-1]),
        ({"sort": "rate_high"}, ["Designer", "Rust engineer", "Python developer"]),
        ({"sort": "rate_low"}, ["Designer", "Python developer", "Rust engineer"]),
        ({"q": "python"}, ["Rust engineer", "Python developer"]),
        ({"q": "python", "sort": "relevance"}, ["Python developer", "Rust engineer"]),
        ({"q": "developers"}, ["Python developer"]),
        ({"q": "python -rust"}, ["Python developer"]),
        ({"q": '"python developer"'}, ["Python developer"]),
        ({"q": "figma or rust"}, ["Designer", "Rust engineer"]),
        ({"q": "cobol"}, []),
        ({"q": "the"}, []),
        ({"q": "   "}, newest),
        ({"skills": "python"}, ["Python developer"]),
        ({"skills": "PYTHON,sql"}, ["Python developer"]),
        ({"skills": ["python", "sql"]}, ["Python developer"]),
        ({"skills": "python,rust"}, []),
        ({"skills": ","}, newest),
        ({"kind": "fixed"}, ["Rust engineer"]),
        ({"rate_min_cents": 9_000}, ["Designer", "Rust engineer"]),
        ({"rate_min_cents": 15_001}, ["Designer"]),
        ({"rate_max_cents": 5_000}, ["Designer", "Python developer"]),
        ({"rate_max_cents": 3_999}, []),
        ({"q": "python", "kind": "fixed", "rate_min_cents": 10_000}, ["Rust engineer"]),
    ]
    for params, expected in cases:
        assert await titles(world, **params) == expected, params


async def test_wrong_queries_are_refused(world: World) -> None:
    wrong: list[tuple[dict[str, object], int]] = [
        ({"sort": "best"}, 422),
        ({"sort": "relevance"}, 422),
        ({"kind": "weekly"}, 422),
        ({"q": "x" * 201}, 422),
        ({"rate_min_cents": "-1"}, 422),
        ({"rate_min_cents": "1_000"}, 422),
        ({"rate_min_cents": "1e3"}, 422),
        ({"rate_min_cents": "١"}, 422),
        ({"rate_max_cents": str(10**13 + 1)}, 422),
        ({"rate_max_cents": "9" * 5_000}, 422),
        ({"skills": ["x"] * 21}, 422),
        ({"mine": "perhaps"}, 422),
        ({"limit": 0}, 400),
        ({"limit": 101}, 400),
        ({"limit": "x"}, 400),
        ({"cursor": "x"}, 400),
        ({"cursor": ""}, 400),
        ({"q": "\x00"}, 400),
    ]
    for params, status in wrong:
        refused(await world.http.get("/v1/jobs", params=params), status)


async def test_a_cursor_fits_its_own_list_only(world: World) -> None:
    await a_few(world)
    sorts = ("newest", "oldest", "rate_high", "rate_low", "relevance")
    shapes = {"newest": 1, "oldest": 1, "rate_high": 2, "rate_low": 2, "relevance": 3}
    for made_for in sorts:
        made = await ok(await world.http.get("/v1/jobs", params={"q": "python or figma", "sort": made_for, "limit": 1}))
        for used_for in sorts:
            params = {"q": "python or figma", "sort": used_for, "cursor": made["next_cursor"]}
            response = await world.http.get("/v1/jobs", params=params)
            assert response.status_code == (200 if shapes[made_for] == shapes[used_for] else 400)
    refused(await world.client.get("/v1/bids", cursor=made["next_cursor"]), 400, "bad_page")


async def test_forged_cursors_are_bad_cursors(world: World) -> None:
    job_id = (await world.job())["id"]
    forged: list[object] = [
        [],
        {},
        [1, 2],
        ["x", job_id],
        ["2026-01-01T00:00:00", job_id],
        ["0001-01-01T00:00:00+14:00", job_id],
        ["9999-12-31T23:59:59-14:00", job_id],
        ["9" * 30, job_id],
        ["٣", job_id],
        ["1", "x"],
        ["2026-01-01T00:00:00Z", "1", "x"],
        ["0001-01-01T00:00:00+14:00", "1", job_id],
    ]
    for parts in forged:
        cursor = urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
        for sort in ("newest", "rate_high", "relevance"):
            response = await world.http.get("/v1/jobs", params={"q": "x", "sort": sort, "cursor": cursor})
            refused(response, 400)


async def test_pages_hold_everything_once(world: World) -> None:
    for number in range(7):
        await world.job(
            title=f"Python {'python ' * (number % 3)}{number}", rate_min_cents=100, rate_max_cents=100 + number % 2
        )
    for sort in ("newest", "oldest", "rate_high", "rate_low", "relevance"):
        whole = await all_pages(world, 100, q="python", sort=sort)
        assert len(whole) == 7
        assert await all_pages(world, 2, q="python", sort=sort) == whole
        assert await all_pages(world, 7, q="python", sort=sort) == whole


async def test_what_opens_meanwhile_is_on_no_later_page(world: World) -> None:
    for number in range(4):
        await world.job(title=f"Python {number}")
    for sort in ("newest", "rate_low", "relevance"):
        first = await ok(await world.http.get("/v1/jobs", params={"q": "python", "sort": sort, "limit": 2}))
        new = await world.job(title="Python python python", rate_min_cents=9_000)
        params = {"q": "python", "sort": sort, "limit": 100, "cursor": first["next_cursor"]}
        rest = await ok(await world.http.get("/v1/jobs", params=params))
        seen = [job["id"] for job in first["items"] + rest["items"]]
        assert len(seen) == len(set(seen))
        if sort != "rate_low":
            assert new["id"] not in seen
        await ok(await world.client.post(f"/v1/jobs/{new['id']}/close"))


async def test_a_hostile_query_is_words_at_most(world: World) -> None:
    await a_few(world)
    for text in (
        "'; DROP TABLE jobs; --",
        "a & | ! b",
        "((((",
        "\\",
        "%",
        "🦄",
        "<->",
        ":*",
        '"',
        "-" * 200,
        "or or or",
    ):
        await ok(await world.http.get("/v1/jobs", params={"q": text}))
        await ok(await world.http.get("/v1/jobs", params={"q": text, "sort": "relevance"}))
    assert len(await titles(world)) == 3


async def test_the_indexes_are_used(world: World) -> None:
    await world.job()
    await world.sql(
        """
        WITH made AS (
            INSERT INTO jobs SELECT gen_random_uuid(), now(), now(), 1, $1, 'Job', 'Work', '{x}', 'hourly', n, n, 'USD',
            'open', now() - n * interval '1 second', NULL FROM generate_series(1, 20000) n RETURNING *
        )
        INSERT INTO job_search SELECT id, opened_at, kind, rate_min_cents, rate_max_cents,
        ARRAY['skill' || rate_min_cents], to_tsvector('english', 'word' || rate_min_cents) FROM made
        """,
        world.client.id,
    )
    await world.sql("ANALYZE job_search")
    for condition, index in (
        ("ORDER BY opened_at DESC, job_id DESC LIMIT 20", "ix_job_search_newest"),
        ("WHERE tsv @@ websearch_to_tsquery('english', 'word77')", "ix_job_search_tsv"),
        ("WHERE skill_keys @> '{skill77}'", "ix_job_search_skill_keys"),
        ("ORDER BY rate_max_cents DESC, job_id DESC LIMIT 20", "ix_job_search_rate_max"),
        ("ORDER BY rate_min_cents, job_id LIMIT 20", "ix_job_search_rate_min"),
    ):
        plan = "\n".join(row[0] for row in await world.sql(f"EXPLAIN SELECT job_id FROM job_search {condition}"))
        assert re.search(index, plan), plan
