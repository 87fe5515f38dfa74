"""Whose tokens a drill on a cluster uses: what the release itself believes."""

import base64
from typing import Any

import jwt
import pytest

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.local.waiting import TargetFailed
from support.fixtures_kubectl import World

SECRET = "a-secret-of-tests-that-is-long-enough"


def objects(*variables: dict[str, Any]) -> dict[str, Any]:
    """A release with these variables, whose tokens are signed with the Secret of another team."""
    template = {"spec": {"containers": [{"name": "sidecar"}, {"name": "holdfast", "env": list(variables)}]}}
    return {
        "namespace/mine": {"metadata": {"labels": {"holdfast.dev/drills": "allowed"}}},
        "deployment/holdfast": {"spec": {"template": template}},
        "secret/tokens-of-sso": {"data": {"hmac": base64.b64encode(SECRET.encode()).decode()}},
    }


def signed_by(key: str) -> dict[str, Any]:
    """As the chart writes it for `auth.existingSecret`."""
    return {"name": "HOLDFAST_AUTH__SECRET", "valueFrom": {"secretKeyRef": {"name": "tokens-of-sso", "key": key}}}


async def test_tokens_have_the_secret_the_issuer_and_the_audience_of_the_release(world: World) -> None:
    """With `auth.existingSecret` there is no Secret of the release's name, and other issuers are refused."""
    issuer = {"name": "HOLDFAST_AUTH__ISSUER", "value": "https://sso.example"}
    audience = {"name": "HOLDFAST_AUTH__AUDIENCE", "value": "chat"}
    store = {"name": "HOLDFAST_STORE__URL", "value": "firestore://my-project"}
    world.write(objects=objects(issuer, audience, store, signed_by("hmac")))
    cluster = Cluster("context", "mine", "holdfast")
    await cluster.enter()
    claims = jwt.decode(cluster.token("ann"), SECRET, ["HS256"], audience="chat", issuer="https://sso.example")
    assert (claims["sub"], cluster.store) == ("ann", "firestore")


async def test_a_release_without_a_secret_is_refused_in_plain_words(world: World) -> None:
    """With a JWKS the key that signs is nowhere in the cluster; a traceback about a missing Secret would not say so."""
    world.write(objects=objects({"name": "HOLDFAST_AUTH__JWKS_URL", "value": "https://sso.example/keys"}))
    with pytest.raises(TargetFailed, match="no secret to sign tokens with"):
        await Cluster("context", "mine", "holdfast").enter()
    world.write(objects=objects(signed_by("absent")))
    with pytest.raises(TargetFailed, match="secret tokens-of-sso has no key absent"):
        await Cluster("context", "mine", "holdfast").enter()


async def test_release_is_found_by_its_labels_and_described_for_the_report(world: World) -> None:
    """With `fullnameOverride` its objects have another name; a report without versions cannot be compared with the next one."""
    labels = {"app.kubernetes.io/instance": "mine", "app.kubernetes.io/component": "chat", "helm.sh/chart": "holdfast-0.1.0"}
    containers = [{"name": "sidecar"}, {"name": "holdfast", "image": "holdfast:1", "env": [signed_by("hmac")]}]
    there = {"metadata": {"name": "messages", "labels": labels}, "spec": {"template": {"spec": {"containers": containers}}}}
    another = {"metadata": {"name": "other", "labels": labels | {"app.kubernetes.io/instance": "other"}}, "spec": {}}
    named = {"deployment/messages": there, "deployment/other": another, "--raw//version": {"gitVersion": "v1.34.4"}}
    world.write(objects=objects() | named)
    cluster = Cluster("context", "mine", "mine")
    await cluster.enter()
    assert cluster.deployment == "messages"
    assert cluster.ran_on == "image holdfast:1, chart holdfast-0.1.0, Kubernetes v1.34.4"
