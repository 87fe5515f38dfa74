"""What the chart renders to, looked at: every shipped set of values, the objects by kind, the pods that would run."""

from typing import Any

from support.helm import CHART, render

SECRET = "0123456789012345678901234567890123"
VALUES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
FILES = "/etc/holdfast/secrets/"
MINIMAL = ("--set", "firestore.project=p", "--set", "auth.existingSecret=s")

Object = dict[str, Any]


def arguments(name: str) -> tuple[str, ...]:
    """One of the shipped sets of values; what a user has to add to it is added."""
    more = ("--set", f"firestore.emulatorHost=10.88.0.1:8080,auth.secret={SECRET}") if name.startswith("cluster") else ()
    return ("-f", str(CHART / "ci" / name), *more)


def rendered(name: str) -> list[Object]:
    """The rendered objects of one of them."""
    return render(*arguments(name))


def only(objects: list[Object], kind: str, name: str = "holdfast") -> Object:
    """The one object of a kind under that name."""
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """All of a kind."""
    return [each for each in objects if each["kind"] == kind]


def deployment(objects: list[Object]) -> Object:
    """The one of the chat pods, whatever its name."""
    (found,) = [
        each
        for each in of_kind(objects, "Deployment")
        if each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "chat"
    ]
    return found


def fullname(objects: list[Object]) -> str:
    """What the names of all objects of the release begin with."""
    return str(deployment(objects)["metadata"]["name"])


def pods(objects: list[Object]) -> list[tuple[dict[str, str], Object]]:
    """(labels, spec) of every pod that would run."""
    found = []
    for each in objects:
        if each["kind"] == "Pod":
            found.append((each["metadata"].get("labels", {}), each["spec"]))
        elif each["kind"] in ("Deployment", "StatefulSet"):
            template = each["spec"]["template"]
            found.append((template["metadata"]["labels"], template["spec"]))
    return found


def containers(spec: Object) -> list[Object]:
    """All of a pod, those that only run at its start among them."""
    return [*spec.get("initContainers", ()), *spec["containers"]]


def chat(objects: list[Object]) -> tuple[Object, Object]:
    """(pod, container) of a chat pod."""
    spec = deployment(objects)["spec"]["template"]["spec"]
    (container,) = [each for each in spec["containers"] if each["name"] == "holdfast"]
    return spec, container


def environ(container: Object) -> dict[str, str]:
    """The settings of a container as its process finds them; values from Secrets and fields are made up, and no file is named."""
    webhook = "whsec_" + "QUFB" * 12
    made_up = {"HOLDFAST_PUSH__WEBHOOK_SECRET": webhook, "HOLDFAST_REDIS__URL": "rediss://:password@host:6379/0"}
    given = {each["name"]: each.get("value") for each in container["env"]}
    files = {name for name, value in given.items() if str(value).startswith(FILES)}
    known = {
        name.removesuffix("_FILE") if name in files else name: None if name in files else value for name, value in given.items()
    }
    return {name: made_up.get(name, SECRET) if value is None else value for name, value in known.items()}


def secret_files(spec: Object) -> dict[str, Object]:
    """The files that a pod has of Secrets, by variable: `{name, key, optional}`."""
    projected = [each["projected"] for each in spec.get("volumes", ()) if "projected" in each]
    return {
        item["path"]: {"name": secret["name"], "key": item["key"], "optional": secret.get("optional", False)}
        for volume in projected
        for secret in (source["secret"] for source in volume["sources"])
        for item in secret["items"]
    }


def secret_references(spec: Object) -> list[Object]:
    """All that a pod takes of Secrets, `{name, key, optional}`: as files and as variables."""
    variables = [each for container in containers(spec) for each in container.get("env", ())]
    told = [each["valueFrom"]["secretKeyRef"] for each in variables if "secretKeyRef" in each.get("valueFrom", {})]
    return [*told, *secret_files(spec).values()]
