"""Compose files as topologies: the shipped ones as Compose itself reads them, overlays, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from maro.testbed.compose_file import ComposeFile, find_topology, read_compose_file
from maro.testbed.compose_service import Mount, Service
from maro.testbed.topology import TopologyError, shipped_topologies
from tests.support.compose_config import compose_config

SHIPPED = [topology.name for topology in shipped_topologies()]
AGENT = find_topology("rollout").with_name("agent.yaml")
SETTINGS: list[dict[str, str]] = [
    {},
    {"ACTORS": "7", "WORKERS": "2", "NODES": "3", "STAGES": "5", "RESTART": "no", "MAIN_RESTART": "always"},
    {"RESTART": "on-failure:2", "REDIS_RESTART": "unless-stopped", "SEED": "9", "TARGET": "", "EXIT_ZERO": ""},
    {"MARO_IMAGE": "mine:1", "REDIS_IMAGE": "valkey/valkey:8", "MARO_GROUP": "g", "JOB_ID": "j", "MARO_REPORT": "json"},
]


def as_compose_says(service: Service, file: ComposeFile) -> dict[str, Any]:
    """A service of ours in the form of `docker compose config`, as far as we read it."""
    return {
        "image": service.image,
        "build": str(service.build) if service.build else None,
        "entrypoint": None if service.entrypoint is None else list(service.entrypoint),
        "command": None if service.command is None else list(service.command),
        "environment": dict(service.environment),
        "labels": dict(service.labels),
        "restart": service.restart,
        "replicas": service.replicas,
        "depends_on": dict(service.depends_on),
        "init": service.init,
        "mounts": [(mount.kind, mount.source, mount.target) for mount in service.mounts],
        "ports": list(service.ports),
    }


def of_compose(service: dict[str, Any]) -> dict[str, Any]:
    """The same of what Compose says."""
    published = [port.get("published") for port in service.get("ports", [])]
    return {
        "image": service.get("image", ""),
        "build": service.get("build", {}).get("context"),
        "entrypoint": service["entrypoint"],
        "command": service["command"],
        "environment": service.get("environment", {}),
        "labels": service.get("labels", {}),
        "restart": service.get("restart", "no"),
        "replicas": service.get("scale", service.get("deploy", {}).get("replicas", 1)),
        "depends_on": {name: need["condition"] for name, need in service.get("depends_on", {}).items()},
        "init": service.get("init", False),
        "mounts": [(mount["type"], mount.get("source", ""), mount["target"]) for mount in service.get("volumes", [])],
        "ports": [int(port) for port in published if port],
    }


def assert_same(*files: Path, environment: dict[str, str], arguments: tuple[str, ...] = ()) -> None:
    """We read the files as Compose does."""
    theirs = compose_config(*files, environment=environment, arguments=arguments)
    ours = read_compose_file(*files, environment=environment)
    assert ours.project == theirs["name"]
    assert {name: as_compose_says(service, ours) for name, service in ours.services.items()} == {
        name: of_compose(service) for name, service in theirs["services"].items()
    }


@pytest.mark.parametrize(
    ("topology", "settings", "with_agent"), list(itertools.product(SHIPPED, range(len(SETTINGS)), (False, True)))
)
def test_the_shipped_topologies_are_read_as_compose_reads_them(topology: str, settings: int, with_agent: bool) -> None:
    """Under every setting of their variables, with and without the overlay."""
    file = find_topology(topology)
    environment = {"COMPOSE_PROJECT_NAME": "p-1", **SETTINGS[settings]} if with_agent else SETTINGS[settings]
    assert_same(file, *([AGENT] if with_agent else []), environment=environment)


@pytest.mark.parametrize("topology", SHIPPED)
def test_the_shipped_topologies_have_components_and_a_redis(topology: str) -> None:
    """And what the `x-maro` block names is among them."""
    file = read_compose_file(find_topology(topology))
    assert file.redis == "redis"
    components = {service.name for service in file.components}
    assert {file.block["verdict"], file.block["crash"]} <= components
    assert components == set(file.services) - {"redis"}


COMPONENT = "environment: [COMPONENT_TYPE=a]"


def write(folder: Path, text: str, name: str = "compose.yaml") -> Path:
    file = folder / name
    file.write_text(dedent(text))
    return file


EVERYTHING = """
    x-common: &common
      image: mine
      restart: unless-stopped
      environment: &environment {A: 1, B: $PLACE}
    services:
      a:
        <<: *common
        command: python "a b" 'c d' e\\ f ${X:-1 2} $$PLACE "q\\"r"
        entrypoint: ""
        environment:
          <<: *environment
          COMPONENT_TYPE: a
          B:
          F: 1.50
          G: 1.0
          I: 12345678901
          T: true
          N: no
          Y: yes
          O: 0755
          H: 0x1F
          S: 12:30
          U: 1_000
          Q: "01"
        labels: [a=b, c]
        scale: 2
        depends_on: [b]
        volumes:
          - ./d:/d:ro
          - data:/n
          - /anonymous
          - {type: tmpfs, target: /t}
        ports: ["6379:6379", "127.0.0.1:80:80/tcp", 99]
        init: "${INIT:-true}"
      b:
        build: sub
        command: []
        environment: [A=1, B, C=, "D=x=y"]
        labels: {x: 1, y: true, z: null}
        restart: "on-failure"
        entrypoint: sh -c 'a b'
        env_file: [given.env, {path: missing.env, required: false}]
      off:
        image: x
        profiles: [debug]
    volumes: {data: {}}
    """
OVERLAY = """
    services:
      a:
        command: [other]
        environment: [A=2, "Z=${Z:-z}"]
        labels: {a: q}
        depends_on: {c: {condition: service_healthy}}
        volumes: ["./e:/d"]
        ports: ["7000:1"]
        restart: "no"
      c:
        image: c
    """
ENV_FILES = {
    "given.env": """
# said
Q=1
export R = two words  # not this
S='$X # yes'
T="a\\tb ${Q}\\$" # no

V=${X:-v}
PLACE
""",
    ".env": "X=from dot env\nPLACE=/not/this\nINIT=false\n",
}


@pytest.mark.parametrize("with_env", [False, True])
@pytest.mark.parametrize("overlay", [False, True])
def test_what_users_write_is_read_as_compose_reads_it(tmp_path: Path, with_env: bool, overlay: bool) -> None:
    """Every form of every part that is read, and what an overlay does to it."""
    files = [write(tmp_path, EVERYTHING), *([write(tmp_path, OVERLAY, "over.yaml")] if overlay else [])]
    for name, text in ENV_FILES.items():
        if with_env or name != ".env":
            (tmp_path / name).write_text(text)
    assert_same(*files, environment={"PLACE": "/home/me", "COMPOSE_PROJECT_NAME": "p"})


def test_variables_given_go_before_the_environment(tmp_path: Path) -> None:
    """And both before the `.env` beside the file."""
    file = write(tmp_path, "services: {a: {environment: {COMPONENT_TYPE: '$X$Y$Z'}}}")
    (tmp_path / ".env").write_text("X=dot\nY=dot\nZ=dot")
    read = read_compose_file(file, variables={"X": "given"}, environment={"X": "env", "Y": "env"})
    assert read.services["a"].component_type == "givenenvdot"


def test_three_ways_to_say_that_a_service_is_a_component(tmp_path: Path) -> None:
    """The environment, a label, the block; the first of them counts."""
    file = write(
        tmp_path,
        """
        x-maro: {components: {c: from-block, b: not-this}}
        services:
          a: {environment: {COMPONENT_TYPE: from-env}, labels: {maro.component-type: not-this}}
          b: {labels: {maro.component-type: from-label}}
          c: {image: x}
          d: {image: x}
        """,
    )
    read = read_compose_file(file)
    assert {service.name: service.component_type for service in read.components} == {
        "a": "from-env",
        "b": "from-label",
        "c": "from-block",
    }


@pytest.mark.parametrize(
    ("services", "redis"),
    [
        ("redis: {image: mine}, cache: {image: redis}", "redis"),
        ("cache: {image: 'host:5000/library/redis:8@sha256:0'}", "cache"),
        ("cache: {image: valkey/valkey}", "cache"),
        ("cache: {image: redis-exporter}", None),
    ],
)
def test_the_redis_is_found_by_its_name_or_its_image(tmp_path: Path, services: str, redis: str | None) -> None:
    """Where the block does not name it."""
    file = write(tmp_path, f"services: {{a: {{environment: [COMPONENT_TYPE=a]}}, {services}}}")
    assert read_compose_file(file).redis == redis


def test_the_block_may_name_the_redis(tmp_path: Path) -> None:
    """Among several."""
    services = f"a: {{{COMPONENT}}}, one: {{image: redis}}, two: {{image: redis}}"
    text = f"{{x-maro: {{redis: two}}, services: {{{services}}}}}"
    assert read_compose_file(write(tmp_path, text)).redis == "two"


BAD_FILES = {
    "services: {db: {image: postgres}}": "no service is a component; give one COMPONENT_TYPE in its environment",
    "{}": "is no compose file: it has no services",
    "services: [a]": "is no compose file: it has no services",
    "services: {a: [": "is no YAML that is understood here",
    "services: {a: {command: !reset null}}": "is no YAML that is understood here",
    "services: {a: 5}": "services.a has to be a mapping, not 5",
    f"services: {{a: {{{COMPONENT}, extends: b}}}}": "services.a says `extends`, which is not read here",
    f"{{include: [x], services: {{a: {{{COMPONENT}}}}}}}": "says `include`, which is not read here",
    f"services: {{a: {{{COMPONENT}, restart: maybe}}}}": "services.a.restart is 'maybe'; it can be no, on-failure",
    f"services: {{a: {{{COMPONENT}, scale: few}}}}": "services.a is to have 'few' replicas",
    f"services: {{a: {{{COMPONENT}, command: 'a \"'}}}}": "services.a.command is 'a \"', which has an error",
    f"services: {{a: {{{COMPONENT}, command: {{a: b}}}}}}": "services.a.command has to be a string or a list",
    f"services: {{a: {{{COMPONENT}, depends_on: [z]}}}}": "services.a depends on 'z', which is no service",
    f"services: {{a: {{{COMPONENT}, ports: ['x:1']}}}}": "services.a.ports holds 'x:1'",
    "services: {a: {environment: {X: [1]}}}": "services.a.environment: each value has to be a string",
    "services: {a: {environment: 5}}": "services.a.environment has to be a mapping, or a list of NAME=value, not 5",
    "services: {a: {command: '${X:?say which}'}}": "services.a.command: the variable X is required: say which; set it",
    "{x-maro: {components: {z: t}}, services: {a: {image: x}}}": "x-maro names the service 'z'; the file's",
    "{x-maro: [a], services: {a: {image: x}}}": "x-maro has to be a mapping",
    f"{{x-maro: {{redis: z}}, services: {{a: {{{COMPONENT}}}}}}}": "x-maro says `redis: z`, but the services are a",
    f"services: {{a: {{{COMPONENT}}}, b: {{image: redis}}, c: {{image: valkey}}}}": "b, c are all a Redis; name the",
    f"services: {{a: {{{COMPONENT}}}, redis: {{scale: 2}}}}": "redis is the group's Redis, so it has to",
    f"services: {{a: {{{COMPONENT}, env_file: none.env}}}}": "none.env can't be read",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_bad_file_is_refused_in_one_clear_line(tmp_path: Path, text: str) -> None:
    """It names the file, the place and the reason."""
    file = write(tmp_path, text)
    with pytest.raises(TopologyError) as refusal:
        read_compose_file(file, environment={})
    assert BAD_FILES[text] in str(refusal.value)
    assert str(file.parent) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("line", ["not a pair", "A='open", 'B="open', "C='a' b"])
def test_a_bad_line_in_a_file_of_variables_is_named(tmp_path: Path, line: str) -> None:
    """By its number."""
    (tmp_path / ".env").write_text(f"X=1\n{line}\n")
    with pytest.raises(TopologyError, match=r"line 2 of .*\.env"):
        read_compose_file(write(tmp_path, f"services: {{a: {{{COMPONENT}}}}}"))


def test_a_topology_is_found_by_its_name_or_its_path(tmp_path: Path) -> None:
    """What is neither is refused, with the names that there are."""
    mine = write(tmp_path, "services: {}")
    assert find_topology("mesh").name == "mesh.yaml"
    assert find_topology(mine) == find_topology(str(mine)) == mine
    with pytest.raises(TopologyError, match=r"no topology 'mash'. There are: counter, mesh, multi-learner"):
        find_topology("mash")
    with pytest.raises(TopologyError, match=r"there is no compose file .*/none\.yaml"):
        find_topology("none.yaml")


def test_mounts_are_told_apart(tmp_path: Path) -> None:
    """A path of the host, a volume, nothing but a place."""
    file = write(tmp_path, f"services: {{a: {{{COMPONENT}, volumes: ['~/x:/x', 'v:/v:ro', /w]}}}}")
    assert read_compose_file(file).services["a"].mounts == (
        Mount("bind", str(Path.home() / "x"), "/x"),
        Mount("volume", "v", "/v"),
        Mount("volume", "", "/w"),
    )
