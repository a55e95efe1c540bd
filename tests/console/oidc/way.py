"""The way to an issuer and back."""

from __future__ import annotations

BACK = "/console/sign-in/oidc/back"


def begin(browser, issuer, **query):
    """To the issuer; what it sends back with."""
    went = browser.get("/console/sign-in/oidc", params=query)
    assert went.status_code == 303, went.text
    return issuer.authorize(went.headers["location"])
