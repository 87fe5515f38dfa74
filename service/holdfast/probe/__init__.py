"""The probe: two users who chat through the public address of the service, and a judge of what each of them was shown.

An undelivered message leaves no observation at any instance, so only a client can notice it. `judge` is pure and decides what a
violation is; `stream` is its view of one conversation; `side` is one user with its client; `prober` says what is done when;
`calls` is REST; `measures` and `exposition` are what Prometheus reads. Nothing here is part of an instance.
"""
