"""The Prometheus of `invoices up --observe` reads whoever says where it serves its metrics."""

from __future__ import annotations

import json
import socket

import pytest
import yaml

from config.settings import load_settings
from tests.observability.rules import RULE_FILES
from workers.cli.up import RULES, embedded_prometheus, metrics_ports
from workers.embedded import prometheus
from workers.embedded.home import is_open_to_others
from workers.embedded.prometheus import EmbeddedPrometheus, free_port

LINES = [
    '{"url": "http://127.0.0.1:9400/metrics", "event": "metrics.listening", "level": "info"}',
    "worker1 | 2026-11-29 14:10:13 [info     ] metrics.listening              url=http://127.0.0.1:9401/metrics",
    "worker2 | \x1b[1mmetrics.listening\x1b[0m \x1b[36murl\x1b[0m=\x1b[35mhttp://0.0.0.0:9402/metrics\x1b[0m",
    "web     | listening on http://127.0.0.1:8420/",
]


@pytest.fixture
def ours(tmp_path):
    """One that is not started."""
    return EmbeddedPrometheus(tmp_path / "home", RULE_FILES, 9099)


def targets(tmp_path):
    """Whom it reads."""
    (group,) = json.loads((tmp_path / "home" / "prometheus" / "targets.json").read_text())
    return group["targets"]


def test_each_process_that_says_where_it_listens_is_read_once(ours, tmp_path):
    assert targets(tmp_path) == []
    for line in [*LINES, *LINES, '{"event": "pump.started"}', "intake | listening on http://127.0.0.1:1/"]:
        ours.take(line)
    assert targets(tmp_path) == ["127.0.0.1:8420", "127.0.0.1:9400", "127.0.0.1:9401", "127.0.0.1:9402"]


def test_its_configuration_has_our_rules_and_its_data_lie_in_a_private_home(ours, tmp_path):
    folder = tmp_path / "home" / "prometheus"
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert configuration["rule_files"] == [str(path) for path in RULE_FILES]
    assert configuration["scrape_configs"][0]["file_sd_configs"] == [{"files": [str(folder / "targets.json")]}]
    assert f"--storage.tsdb.path={folder / 'data'}" in ours.process().argv
    assert "--web.listen-address=127.0.0.1:9099" in ours.process().argv
    assert ours.url == "http://127.0.0.1:9099"
    assert not is_open_to_others(tmp_path / "home")


def test_a_port_that_is_taken_is_not_chosen(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(prometheus, "FIRST_PORT", taken.getsockname()[1])
        monkeypatch.setattr(prometheus, "PORTS", 1)
        with pytest.raises(OSError, match="is free"):
            free_port()


def test_where_none_is_installed_it_is_said_and_all_goes_on(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded_prometheus(load_settings({"INVOICES_HOME": str(tmp_path)})) is None
    assert "No Prometheus is installed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_processes_serve_metrics_where_the_settings_say_or_on_the_next_free_port(tmp_path):
    home = {"INVOICES_HOME": str(tmp_path)}
    assert metrics_ports(load_settings(home), asked_for=True) == {"INVOICES_METRICS_PORT": "9400+"}
    assert metrics_ports(load_settings(home), asked_for=False) == {}
    for asked_for in (True, False):
        assert metrics_ports(load_settings(home | {"INVOICES_METRICS_PORT": "9500+"}), asked_for=asked_for) == {}
        one = load_settings(home | {"INVOICES_METRICS_PORT": "9500"})  # as the container image has it
        assert metrics_ports(one, asked_for=asked_for) == {"INVOICES_METRICS_PORT": "9500+"}


def test_the_rules_it_is_given_are_those_of_the_folder():
    assert sorted(RULES.glob("*.rules.yaml")) == sorted(RULE_FILES)
