"""For each alert: what makes it fire, and what looks like trouble and does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Series, and their values every minute in promtool's notation: ``0+60x480`` begins at 0 and grows by 60, 480 times.
Series = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """``fires``: the labels of each alert but its name, from the series in ``trouble``; ``calm`` gives none."""

    alert: str
    trouble: Series
    fires: tuple[Mapping[str, str], ...]
    calm: Series
    at: str = "10m"
    more_calm: tuple[Series, ...] = field(default=())


def histogram(metric: str, le: str, labels: str, all_of_them: str, in_time: str) -> Series:
    """A histogram's counts: those within the goal and all."""
    comma = f"{labels}," if labels else ""
    return {
        f'{metric}_bucket{{{comma}le="{le}"}}': in_time,
        f"{metric}_count{{{labels}}}": all_of_them,
    }


def gauge(series: str, values: str) -> Series:
    """One series."""
    return {series: values}


def burn(alert: str, metric: str, le: str, labels: str = "", **fires: str) -> Case:
    """A minute brings sixty. Half of them late wakes somebody; one in two hundred does not, nor a single late one."""
    return Case(
        alert,
        trouble=histogram(metric, le, labels, "0+60x480", "0+30x480"),
        fires=({"severity": "page", **fires}, {"severity": "ticket", **fires}),
        calm=histogram(metric, le, labels, "0+600x480", "0+597x480"),
        # One late an hour; half late until 35 minutes ago; half late for six minutes only.
        more_calm=(
            histogram(metric, le, labels, "0x59 1x59 2x59 3x59 4x59 5x59 6x120", "0x480"),
            histogram(metric, le, labels, "0+60x480", "0+30x445 13410+60x34"),
            histogram(metric, le, labels, "0+60x480", "0+60x474 28470+30x5"),
        ),
        at="8h",
    )


CALLS = 'invoices_provider_calls_total{account="shop",call="create",outcome="%s"}'
#: Its open invoices are closed, and watched for late payments.
WATCHING = 'invoices_provider_calls_total{account="watching",call="look_up",outcome="%s"}'
COMMITS = 'stage="create"'

CASES: tuple[Case, ...] = (
    burn("PayableBurn", "invoices_payable_seconds", "5.0", 'account="shop"', account="shop"),
    burn("ExpiryBurn", "invoices_expiry_lateness_seconds", "1.0"),
    burn("DeliveryBurn", "invoices_event_delivered_seconds", "60.0"),
    Case(
        "AgendaLate",
        trouble=gauge('invoices_agenda_overdue_seconds{stage="create",instance="a"}', "0+20x20"),
        fires=({"severity": "page", "stage": "create"},),
        calm=gauge('invoices_agenda_overdue_seconds{stage="create",instance="a"}', "0 31 0 31 31 0 31 0 31 0 31 31"),
    ),
    Case(
        "NoWorker",
        trouble=gauge('invoices_build_info{role="web",version="1"}', "1x20"),
        fires=({"severity": "page", "role": "worker"},),
        calm=gauge('invoices_build_info{role="worker",version="1"}', "1x20"),
    ),
    Case(
        "NoWeb",
        trouble=gauge('invoices_build_info{role="worker",version="1"}', "1x20"),
        fires=({"severity": "page", "role": "web"},),
        calm=gauge('invoices_build_info{role="web",version="1"}', "1x20"),
    ),
    Case(
        "StoreAway",
        trouble=gauge('invoices_store_readable{instance="a"}', "1x3 0x20"),
        fires=({"severity": "page"},),
        calm={'invoices_store_readable{instance="a"}': "0x20", 'invoices_store_readable{instance="b"}': "1x20"},
    ),
    Case(
        "StoreSlow",
        trouble={
            f'invoices_commit_seconds_bucket{{{COMMITS},le="1.0"}}': "0+54x20",
            f'invoices_commit_seconds_bucket{{{COMMITS},le="2.5"}}': "0+60x20",
            f'invoices_commit_seconds_bucket{{{COMMITS},le="+Inf"}}': "0+60x20",
            f"invoices_commit_seconds_count{{{COMMITS}}}": "0+60x20",
        },
        fires=({"severity": "ticket"},),
        calm={
            f'invoices_commit_seconds_bucket{{{COMMITS},le="0.5"}}': "0+600x20",
            f'invoices_commit_seconds_bucket{{{COMMITS},le="1.0"}}': "0+600x20",
            f'invoices_commit_seconds_bucket{{{COMMITS},le="+Inf"}}': "0+601x20",
            f"invoices_commit_seconds_count{{{COMMITS}}}": "0+601x20",
        },
    ),
    Case(
        "ClockSkew",
        trouble=gauge("invoices_clock_skew_seconds", "-3x20"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_clock_skew_seconds", "0.2 0.3 4 0.1 -0.2 0.3 -4 0.1 0.2 0.1 0.1"),
    ),
    Case(
        "ParkedRows",
        trouble=gauge("invoices_parked", "0x3 2x20"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_parked", "0x20"),
    ),
    Case(
        "KeyRefused",
        trouble={
            'invoices_account_refused{account="shop"}': "0x3 1x20",
            'invoices_account_refused{account="b"}': "0x20",
            WATCHING % "answered": "0+10x20",
            WATCHING % "key_refused": "0+20x20",
        },
        fires=({"severity": "page", "account": "shop"}, {"severity": "page", "account": "watching"}),
        calm=gauge('invoices_account_refused{account="shop"}', "0 0 1 0 0 0 1 0 0 0 1"),
        more_calm=({WATCHING % "answered": "0+20x20", WATCHING % "turned_away": "0+10x20"},),
    ),
    Case(
        "ProviderDown",
        trouble={CALLS % "answered": "0+10x20", CALLS % "timed_out": "0+20x20"},
        fires=({"severity": "page", "account": "shop"},),
        calm={CALLS % "answered": "0+20x20", CALLS % "timed_out": "0+10x20", CALLS % "order_refused": "0+90x20"},
        more_calm=({CALLS % "answered": "0x20", CALLS % "timed_out": "0x5 1x15"},),
    ),
    Case(
        "InDoubtOld",
        trouble=gauge("invoices_in_doubt_oldest_seconds", "0+60x40"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_in_doubt_oldest_seconds", "0+60x14 0+60x20"),
        at="20m",
    ),
    Case(
        "Contradiction",
        trouble=gauge("invoices_contradictions_open", "0x3 1x20"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_contradictions_open", "0x20"),
    ),
    Case(
        "UnmatchedCallbacks",
        trouble=gauge("invoices_unmatched_callbacks", "0x3 1x40"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_unmatched_callbacks", "3x10 0 3x14"),
        at="25m",
    ),
    Case(
        "ProviderDrift",
        trouble={
            'invoices_provider_drift_open{account="shop",instance="a"}': "0x3 2x20",
            'invoices_provider_drift_open{account="b",instance="a"}': "0x23",
        },
        fires=({"severity": "ticket", "account": "shop"},),
        calm=gauge('invoices_provider_drift_open{account="shop",instance="a"}', "0x20"),
    ),
    Case(
        "RejectedMessages",
        trouble=gauge("invoices_rejected_messages", "7x10 8x40"),
        fires=({"severity": "ticket"},),
        calm=gauge("invoices_rejected_messages", "7x40"),
        at="30m",
        more_calm=(gauge("invoices_rejected_messages", "7x10 2x40"),),
    ),
    Case(
        "EndpointDisabled",
        trouble={
            'invoices_endpoint_disabled{endpoint="ep_1"}': "0x3 1x20",
            'invoices_endpoint_disabled{endpoint="ep_2"}': "0x23",
        },
        fires=({"severity": "ticket", "endpoint": "ep_1"},),
        calm=gauge('invoices_endpoint_disabled{endpoint="ep_1"}', "0x20"),
    ),
    Case(
        "StreamBehind",
        trouble=gauge("invoices_stream_behind_seconds", "0+15x20"),
        fires=({"severity": "page"},),
        calm=gauge("invoices_stream_behind_seconds", "29x20"),
    ),
)
