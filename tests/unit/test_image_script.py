"""deploy/image.sh picks the tool that works, and names the base as that tool can build on it. Tools are stand-ins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "image.sh"
ID = "sha256:" + "0123456789ab" * 5 + "0123"
DIGEST = "python@sha256:" + "f" * 64
#: Answers as the real ones do. KNOWN is what can be fetched, HERE what need not be.
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$1 $2" in
  info*) exit "$(cat "$0.info")" ;;
  pull*) [ "$2" = "$KNOWN" ] ;;
  "image inspect") case $4 in *RepoDigests*) echo "$DIGEST" ;; *) [ "$5" = "$HERE" ] && echo "$ID" ;; esac ;;
  inspect*) case $5 in *Digest*) echo "${DIGEST#*@}" ;; *) [ "$6" = "$HERE" ] && echo "${ID#sha256:}" ;; esac ;;
esac
"""


@pytest.fixture
def build(tmp_path):
    """Runs the script where the named tools are, and tells what it said and what they were asked."""

    def run(base, known="", here="", **tools):
        for name in ("deploy", "dist", "bin"):
            (tmp_path / name).mkdir()
        shutil.copy(SCRIPT, tmp_path / "deploy")
        (tmp_path / "dist" / "invoices-1.2-py3-none-any.whl").touch()
        for name, works in tools.items():
            tool = tmp_path / "bin" / name
            tool.write_text(STAND_IN)
            tool.chmod(0o755)
            tool.with_name(f"{name}.info").write_text("0" if works else "1")
        for name in ("dirname", "basename", "cat", "ls", "wc", "cut", "git"):
            if found := shutil.which(name):
                (tmp_path / "bin" / name).symlink_to(found)
        environment = {"PATH": str(tmp_path / "bin"), "BASE": base, "CALLS": str(tmp_path / "calls")}
        environment |= {"KNOWN": known, "HERE": here, "ID": ID, "DIGEST": DIGEST}
        ran = subprocess.run(
            ["/bin/sh", tmp_path / "deploy" / "image.sh"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return ran, calls

    return run


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_a_tag_that_can_be_fetched_is_built_on_by_its_digest(build, tool):
    ran, calls = build("python:3.13", known="python:3.13", **{tool: True})
    assert ran.returncode == 0, ran.stderr
    assert calls[-1].startswith(f"{tool} build ")
    assert f"BASE={DIGEST} " in calls[-1]
    assert "VERSION=1.2" in calls[-1]


def test_a_tool_that_does_not_work_is_passed_over(build):
    ran, calls = build("python:3.13", known="python:3.13", docker=False, podman=False, buildah=True)
    assert ran.returncode == 0, ran.stderr
    assert calls[-1].startswith("buildah build ")
    assert "--format docker" in calls[-1]


@pytest.mark.parametrize("base", ["own-base:1", ID])
@pytest.mark.parametrize(("tool", "named"), [("docker", "invoices-base:0123456789ab"), ("podman", ID), ("buildah", ID)])
def test_an_image_that_is_only_here_can_be_built_on(build, tool, named, base):
    """Docker's builder looks for an id at a registry, so it gets a name."""
    ran, calls = build(base, here=base, **{tool: True})
    assert ran.returncode == 0, ran.stderr
    assert f"BASE={named} " in calls[-1]
    assert (f"docker tag {ID} {named}" in calls) == (tool == "docker")


def test_a_base_that_is_nowhere_is_told_in_one_line(build):
    ran, calls = build("no-such:1", buildah=True)
    assert ran.returncode == 1
    assert ran.stderr == "image: no-such:1 can be neither fetched nor found here\n"
    assert not any(" build " in call for call in calls)


def test_where_no_tool_works_nothing_is_tried(build):
    ran, calls = build("python:3.13", docker=False)
    assert ran.returncode == 1
    assert ran.stderr == "image: docker, podman or buildah is needed, and none works here\n"
    assert calls == ["docker info"]
