"""Every page of the console, and an address of each in the scene: what holds for all is tested for all."""

from __future__ import annotations

from collections.abc import Mapping

from tests.console.scene import Scene

#: By the route's path: where such a page is, `{scene.ids[dpkg-48231]}` stands for an id. A page that is missing here
#: fails `test_every_page.py`.
PAGES: Mapping[str, str] = {
    "/console/": "/console/",
    "/console/audit": "/console/audit",
    "/console/accounts": "/console/accounts",
    "/console/settings": "/console/settings",
    "/console/accounts/{name}": "/console/accounts/nebulox",
    "/console/invoices": "/console/invoices",
    "/console/contradictions": "/console/contradictions?all=1",
    "/console/deliveries": "/console/deliveries",
    "/console/deliveries/{id}": "/console/deliveries/17",
    "/console/doubts": "/console/doubts",
    "/console/endpoints": "/console/endpoints",
    "/console/endpoints/add": "/console/endpoints/add",
    "/console/endpoints/{id}": "/console/endpoints/{scene.receivers[failing]}",
    "/console/invoices/{id}": "/console/invoices/{scene.ids[dpkg-48221]}",
    "/console/invoices/{id}/raw/{kind}/{number}": "/console/invoices/{scene.ids[dpkg-48231]}/raw/event/{scene.event}",
    "/console/endpoints/{id}/replay": "/console/endpoints/{scene.receivers[failing]}/replay?what=newest",
    "/console/people": "/console/people",
    "/console/people/add": "/console/people/add",
    "/console/people/tokens/add": "/console/people/tokens/add",
    "/console/people/tokens/{id}": "/console/people/tokens/{scene.token}",
    "/console/people/{id}": "/console/people/{scene.person}",
    "/console/rejected": "/console/rejected",
    "/console/rejected/{id}": "/console/rejected/1",
    "/console/unmatched": "/console/unmatched",
    "/console/unmatched/{id}": "/console/unmatched/{scene.callback}",
    "/console/jobs": "/console/jobs",
    "/console/jobs/new": "/console/jobs/new?do=cancel&status=queued",
    "/console/jobs/{id}": "/console/jobs/{scene.job}",
    "/console/jobs/{id}/failures": "/console/jobs/{scene.finished_job}/failures",
    "/console/search": "/console/search?q=twice",
}
#: Routes that answer GET and are no pages.
NO_PAGES = frozenset(
    {"/", "/console", "/console/static/{name}", "/console/live", "/console/language", "/console/{rest:path}"}
) | {
    "/console/audit.csv",
    "/console/jobs/{id}/failures.jsonl",
    "/console/invoices.csv",
    "/console/audit.jsonl",
}


def address(pattern: str, scene: Scene) -> str:
    """Where a page of this route is, in the scene."""
    return PAGES[pattern].format(scene=scene)
