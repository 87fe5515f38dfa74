"""Who we are for the API server."""

from kubernetes.config.config_exception import ConfigException

from holdfast.errors import ConfigurationError
from kubernetes import client, config


def api(context: str | None = None) -> client.ApiClient:
    """A client of a context of the kubeconfig; without one, of the pod's own service account, else of the current context.

    Raises:
        ConfigurationError: there is no such access.
    """
    try:
        if context is None:
            try:
                config.load_incluster_config()  # type: ignore[no-untyped-call]  # not annotated
            except ConfigException:
                config.load_kube_config()  # type: ignore[no-untyped-call]  # not annotated
        else:
            config.load_kube_config(context=context)  # type: ignore[no-untyped-call]  # not annotated
    except ConfigException as error:
        raise ConfigurationError(f"no access to Kubernetes: {error}") from None
    return client.ApiClient()
