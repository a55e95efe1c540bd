"""Acting on everything that matches: asked for with a count, a sample and a reason; and the job's own page."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.console.scene import OPERATOR
from tests.contracts.store_cases import change, created, invoice_of, judge, order, rows, take
from workers.store.acts import Act, bare_url
from workers.store.bulk_jobs import CANCEL, REPLAY, Deal
from workers.store.endpoints import list_endpoints
from workers.store.operate.bulk import begin, work_on
from workers.store.reads.selection import Selection
from workers.store.tables import ACT, BULK
from workers.web.api.jobs import JobRunner
from workers.web.console import job_failures as failures_page
from workers.web.console import jobs as jobs_page

NEW, PLACE = "/console/jobs/new", "/console/jobs"
#: Who may begin which kind.
MAY = {
    "cancel": {"operator", "admin"},
    "recheck": {"operator", "admin"},
    "create_again": {"operator", "admin"},
    "replay": {"operator", "admin"},
    "mark": {"finance", "admin"},
}
ROLES = ("viewer", "operator", "finance", "admin")
OTHERS = {"reason": "Ticket 9", "seen": "100"}


def fields_of(kind, scene, **more):
    own = {"mark": {"status": "failed"}, "replay": {"endpoint": scene.receivers["failing"]}}.get(kind, {})
    return {"do": kind, "filter": "status=queued", **OTHERS, **own, **more}


def jobs(scene):
    known = {scene.job, scene.finished_job}
    return [row for row in rows(scene.database, BULK) if row.id not in known]


def finish_the_scenes_own(scene):
    """The scene has one that runs."""
    change(scene.database, BULK, BULK.c.id == scene.job, state="stopped")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", MAY)
def test_each_kind_is_for_the_roles_that_may_do_it_to_one(ground, scene, kind, role):
    asked = ground.get(f"{NEW}?do={kind}&status=queued", role=role)
    begun = ground.post(PLACE, fields_of(kind, scene), role=role)

    if role in MAY[kind]:
        assert asked.status_code == 200
        assert f'<input type="hidden" name="do" value="{kind}">' in asked.text
        assert begun.status_code == 303, begun.text
        (job,) = jobs(scene)
        assert begun.headers["location"] == f"{PLACE}/{job.id}"
        assert (job.kind, job.by, job.origin, job.reason) == (kind, "j.brandt", "console 10.4.2.17", "Ticket 9")
        assert ground.outside.woken == 1
    else:
        assert asked.status_code == begun.status_code == 403
        assert jobs(scene) == []


@pytest.mark.parametrize("role", ROLES)
def test_the_list_leads_to_it_where_anything_may_be_done(ground, role):
    page = ground.get("/console/invoices?status=queued", role=role).text

    assert ('href="/console/jobs/new?status=queued"' in page) == (role != "viewer")
    assert ground.get(f"{NEW}?status=queued", role=role).status_code == (403 if role == "viewer" else 200)


def test_the_page_shows_how_many_a_sample_and_what_will_change(ground, scene):
    take(scene.store, *(order(f"more-{number}") for number in range(12)))

    page = ground.get(f"{NEW}?do=cancel&status=queued,paid").text

    queued, paid = 14, 3
    assert f"Cancel {queued + paid} invoices" in page
    assert len(re.findall(r"<tr data-row id=", page)) == 10
    assert f"Possible with {queued} of the newest {queued + paid}" in page
    assert f"{paid} paid" in page
    assert "a payment that comes all the same is kept as a contradiction" in page


def test_more_than_a_thousand_are_said_to_be_more(ground, scene):
    take(scene.store, *(order(f"more-{number}") for number in range(1001)))

    assert "Cancel more than 1,000 invoices" in ground.get(f"{NEW}?do=cancel&status=queued").text


def test_a_filter_that_matches_nothing_shows_no_form(ground, scene):
    page = ground.get(f"{NEW}?do=cancel&status=queued&asset=DOGE").text

    assert "No invoice matches" in page
    assert f'action="{PLACE}"' not in page
    begun = ground.post(PLACE, fields_of("cancel", scene, filter="status=queued&asset=DOGE"))
    assert begun.status_code == 422
    assert "No invoice matches any more." in begun.text
    assert jobs(scene) == []


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ({"reason": " "}, 422, "Say why"),
        ({"reason": "x" * 2000}, 422, "too long"),
        ({"filter": "status=payed"}, 400, "can&#39;t be used"),
        ({"filter": "colour=red"}, 400, "can&#39;t be used"),
        ({"filter": "account=nobody"}, 400, "can&#39;t be used"),
        ({"do": "destroy"}, 400, "can&#39;t be used"),
        ({"do": ""}, 400, "can&#39;t be used"),
        ({"colour": "red"}, 400, "can&#39;t be used"),
    ],
)
def test_what_cannot_be_meant_is_said_and_begins_nothing(ground, scene, more, status, says):
    answered = ground.post(PLACE, {**fields_of("cancel", scene), **more})

    assert answered.status_code == status
    assert says in answered.text
    assert jobs(scene) == []


def test_a_mark_needs_its_status_and_a_replay_an_endpoint_that_is_seen(ground, scene):
    assert "Say what they are" in ground.post(PLACE, fields_of("mark", scene, status="pending")).text
    assert "Choose an endpoint" in ground.post(PLACE, fields_of("replay", scene, endpoint="ep_no")).text
    hidden = ground.post(PLACE, fields_of("replay", scene), accounts="zeroxhost")
    assert "Choose an endpoint" in hidden.text
    assert jobs(scene) == []


def test_many_more_than_were_seen_are_looked_at_again(ground, scene):
    take(scene.store, *(order(f"more-{number}") for number in range(40)))

    answered = ground.post(PLACE, fields_of("cancel", scene, seen="2"))

    assert answered.status_code == 409
    assert "look again" in answered.text
    assert "Ticket 9" in answered.text, "what was written is kept"
    assert jobs(scene) == []


def test_who_sees_some_accounts_acts_on_those_only(ground, scene):
    finish_the_scenes_own(scene)
    ground.post(PLACE, fields_of("cancel", scene), accounts="nebulox")

    while work_on(scene.store):
        pass

    assert invoice_of(scene.database, scene.ids["dpkg-48230"]).status == "cancelled"
    cancelled = rows(scene.database, ACT, ACT.c.act == Act.CANCEL.value)
    assert [row.invoice_id for row in cancelled] == [scene.ids["dpkg-48230"]]
    (job,) = jobs(scene)
    assert ground.get(f"{PLACE}/{job.id}", accounts="nebulox").status_code == 200
    assert ground.get(f"{PLACE}/{job.id}", accounts="zeroxhost").status_code == 404
    assert job.id not in ground.get(PLACE, accounts="zeroxhost").text


def test_the_process_carries_it_out_and_its_page_says_what_came_of_it(ground, scene):
    finish_the_scenes_own(scene)
    judge(scene.store, take(scene.store, order("made"))[0], created())
    place = ground.post(PLACE, fields_of("cancel", scene, filter="status=queued,paid")).headers["location"]

    JobRunner(scene.store).work()

    page = ground.get(place).text
    assert "5 of 5" in page
    assert "it is paid" in page
    assert "Ticket 9" in page
    assert "?status=queued,paid" in page
    assert "Stop this job" not in page
    (job,) = jobs(scene)
    assert (job.state, job.done, job.failed) == ("done", 2, 3)
    assert json.loads(rows(scene.database, ACT, ACT.c.act == Act.CANCEL.value)[-1].after)["job"] == job.id


@pytest.mark.parametrize("role", ROLES)
def test_a_running_one_is_stopped_by_whoever_may_do_what_it_does(ground, scene, role):
    page = ground.get(f"{PLACE}/{scene.job}", role=role)
    stopped = ground.post(f"{PLACE}/{scene.job}/stop", {"reason": "a mistake"}, role=role)

    assert page.status_code == 200
    may = role in MAY["cancel"]
    assert ("Stop this job" in page.text) == may
    assert stopped.status_code == (303 if may else 403)
    (row,) = rows(scene.database, BULK, BULK.c.id == scene.job)
    assert row.state == ("stopped" if may else "running")
    if may:
        again = ground.post(f"{PLACE}/{scene.job}/stop", {"reason": "a mistake"}, role=role)
        assert again.status_code == 409
        assert "there is nothing to stop" in again.text
        assert rows(scene.database, ACT)[-1].reason == "a mistake"


@pytest.mark.parametrize("role", ROLES)
def test_a_running_one_is_paused_and_resumed_by_whoever_may_do_what_it_does(ground, scene, role):
    may = role in MAY["cancel"]
    paused = ground.post(f"{PLACE}/{scene.job}/pause", {"reason": "the provider asks"}, role=role)
    page = ground.get(f"{PLACE}/{scene.job}", role=role).text
    resumed = ground.post(f"{PLACE}/{scene.job}/resume", {"reason": "it is well"}, role=role)

    assert paused.status_code == resumed.status_code == (303 if may else 403)
    assert ("Resume this job" in page, "It is paused" in page) == (may, may)
    (row,) = rows(scene.database, BULK, BULK.c.id == scene.job)
    assert row.state == "running"
    assert ground.outside.woken == (2 if may else 0)
    if may:
        assert [one.reason for one in rows(scene.database, ACT)[-2:]] == ["the provider asks", "it is well"]
        again = ground.post(f"{PLACE}/{scene.job}/resume", {"reason": "once more"}, role=role)
        assert (again.status_code, "there is nothing to resume" in again.text) == (409, True)


def test_all_that_failed_is_there_page_by_page_and_as_a_file(ground, scene, monkeypatch):
    monkeypatch.setattr(failures_page, "PAGE", 2)
    monkeypatch.setattr(failures_page, "EXPORTED", 2)
    finish_the_scenes_own(scene)
    place = ground.post(PLACE, fields_of("cancel", scene, filter="status=paid,failed")).headers["location"]
    JobRunner(scene.store).work()
    (job,) = jobs(scene)
    first = ground.get(f"{place}/failures")
    (more,) = re.findall(r'href="(\?after=\d+)"', first.text)
    lines = [json.loads(line) for line in ground.get(f"{place}/failures.jsonl").text.splitlines()]

    assert job.failed > 2
    assert f"{place}/failures.jsonl" in ground.get(place).text
    assert first.text.count("<tr data-row") == 2
    assert ground.get(f"{place}/failures{more}").text.count("<tr data-row") == min(2, job.failed - 2)
    assert len(lines) == job.failed
    assert set(lines[0]) == {"invoice", "order_id", "why"}
    assert all(line["why"] in {"it is paid", "it is failed"} for line in lines)
    assert ground.get(f"{place}/failures?after=x").status_code == 400


def test_what_failed_of_a_job_is_told_to_nobody_who_does_not_see_the_job(ground, scene):
    for name in ("failures", "failures.jsonl"):
        assert ground.get(f"{PLACE}/{scene.finished_job}/{name}", accounts="zeroxhost").status_code == 404


def test_a_stop_needs_a_reason(ground, scene):
    answered = ground.post(f"{PLACE}/{scene.job}/stop", {"reason": ""})

    assert answered.status_code == 422
    assert "Say why" in answered.text


@pytest.mark.parametrize("job_id", ["job_" + "0" * 32, "rpl_" + "0" * 32, "x", "inv_1", "%00", "j" * 400])
def test_a_job_that_nobody_knows_is_a_page_that_says_so(ground, job_id):
    assert ground.get(f"{PLACE}/{job_id}").status_code == 404
    assert ground.post(f"{PLACE}/{job_id}/stop", {"reason": "why"}).status_code == 404


def test_jobs_are_listed_newest_first_page_by_page(ground, scene, monkeypatch):
    monkeypatch.setattr(jobs_page, "PAGE", 1)

    first = ground.get(PLACE).text
    (older,) = re.findall(r'href="(\?before=job_[0-9a-f]+)"', first)

    assert f'id="{scene.job}"' in first
    assert f'id="{scene.finished_job}"' in ground.get(f"{PLACE}{older}").text
    assert ground.get(f"{PLACE}?before=inv_1").status_code == 400


def test_a_cross_site_form_begins_nothing(ground, scene):
    answered = ground.post(PLACE, fields_of("cancel", scene), headers={"sec-fetch-site": "cross-site"})

    assert answered.status_code == 403
    assert jobs(scene) == []


def test_what_others_wrote_is_shown_as_text(ground, scene):
    finish_the_scenes_own(scene)
    reason = "<script>alert(1)</script>"
    place = ground.post(PLACE, fields_of("cancel", scene, reason=reason)).headers["location"]

    for page in (ground.get(place).text, ground.get(PLACE).text):
        assert reason not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_command_does_the_same(ground):
    page = ground.get(f"{NEW}?do=cancel&status=queued&account=nebulox").text

    (command,) = re.findall(r'<div class="command"><code>([^<]*)</code>', page)
    listing, _, each = (part.strip() for part in command.split("|"))
    assert shlex.split(listing) == shlex.split("invoices list --status queued --account nebulox --limit 0 --json")
    assert each == "xargs -n 1 invoices cancel --reason REASON"
    assert '<div class="command">' not in ground.get(f"{NEW}?do=cancel&needs=person").text


def test_one_job_waits_for_nobody_that_is_stopped(ground, scene):
    finish_the_scenes_own(scene)
    job = begin(scene.store, OPERATOR, Deal(CANCEL), Selection(statuses=("queued",)), "")
    ground.post(f"{PLACE}/{job.id}/stop", {"reason": "no"})

    JobRunner(scene.store).work()

    assert invoice_of(scene.database, scene.ids["dpkg-48230"]).status == "queued"


def test_who_sees_some_accounts_is_told_neither_of_endpoints_of_all_nor_from_where_others_acted(ground, scene):
    receivers = {one.id: one for one in scene.database.read(list_endpoints)}
    everybodys = next(one for one in receivers.values() if one.accounts is None)
    job = begin(
        scene.store,
        OPERATOR,
        Deal(REPLAY, endpoint_id=everybodys.id),
        Selection(accounts=frozenset({"nebulox"})),
        "account=nebulox",
    )
    place = f"{PLACE}/{job.id}"

    for told in (OPERATOR.origin, everybodys.id):
        assert told in ground.get(place).text
        assert told not in ground.get(place, accounts="nebulox").text
        assert told not in ground.get(PLACE, accounts="nebulox").text
    assert bare_url(everybodys.url) not in ground.get(PLACE, accounts="nebulox").text
    assert OPERATOR.name in ground.get(place, accounts="nebulox").text


@pytest.mark.parametrize(
    "chosen",
    [
        "status=paid&status=queued",
        "&".join(["status=queued"] * 9),
        "&".join(["a="] * 300),
        "q=%00",
        "q=%ff",
        "q=a%E2%80%AEb",
        "anomaly=late&misspelled=1",
        "status=nothing",
    ],
)
def test_a_filter_that_no_page_wrote_begins_nothing(ground, scene, chosen):
    """A part that is passed over would let an act go to more than was meant."""
    assert ground.post(PLACE, fields_of("cancel", scene, filter=chosen)).status_code == 400
    assert jobs(scene) == []
