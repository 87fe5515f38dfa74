{{- /* Values that are right one by one and cannot work together, each with the reason. Included once, by the Deployment. */ -}}
{{- define "holdfast.check" -}}
{{- $values := .Values -}}
{{- $name := include "holdfast.fullname" . -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" $name) -}}
{{- fail (printf "fullnameOverride: Kubernetes takes no Service named %s: set a name that begins with a letter and has no dots, or name the release so" $name) -}}
{{- end -}}

{{- if eq $values.environment "production" -}}
{{- if $values.firestore.emulatorHost -}}
{{- fail "firestore.emulatorHost: the emulator keeps nothing; it is not for environment: production" -}}
{{- end -}}
{{- if $values.demo.enabled -}}
{{- fail "demo.enabled: a store that ends with its pod is not for environment: production" -}}
{{- end -}}
{{- if $values.development.sync -}}
{{- fail "development.sync: code that can be written to is not for environment: production" -}}
{{- end -}}
{{- end -}}

{{- if eq $values.environment "production" -}}
{{- $redis := $values.redis -}}
{{- if not $redis.inCluster.enabled -}}
{{- if not (or $redis.tls $redis.urlSecret (hasPrefix "rediss:" ($redis.url | default "")) (hasPrefix "sentinels:" ($redis.url | default ""))) -}}
{{- fail "redis.tls: a Redis outside is reached by TLS in environment: production (redis.tls, or a rediss:// or sentinels:// URL)" -}}
{{- end -}}
{{- $password := or $redis.existingSecret $redis.urlSecret $values.envFrom -}}
{{- range $values.extraEnv -}}
{{- if hasPrefix "HOLDFAST_REDIS__PASSWORD" .name -}}{{- $password = true -}}{{- end -}}
{{- end -}}
{{- if not $password -}}
{{- fail "redis.existingSecret: a Redis outside has a password in environment: production (a Secret with the key `password`, or redis.urlSecret)" -}}
{{- end -}}
{{- end -}}
{{- if hasPrefix "http:" ($values.push.webhookUrl | default "") -}}
{{- fail "push.webhookUrl: notifications are sent by https:// in environment: production" -}}
{{- end -}}
{{- if $values.auth.jwksAllowHttp -}}
{{- fail "auth.jwksAllowHttp: the keys of tokens come by https:// in environment: production" -}}
{{- end -}}
{{- end -}}

{{- if not (or $values.demo.enabled $values.firestore.project) -}}
{{- fail "firestore.project: name the project (or demo.enabled=true for a first look without Firestore)" -}}
{{- end -}}
{{- if and $values.demo.enabled $values.firestore.project -}}
{{- fail "demo.enabled: a demo keeps nothing in Firestore; leave firestore.project empty" -}}
{{- end -}}

{{- if not (or $values.auth.secret $values.auth.existingSecret $values.auth.jwksUrl) -}}
{{- fail "auth: set auth.secret, auth.existingSecret or auth.jwksUrl: whose tokens are believed?" -}}
{{- end -}}
{{- if and $values.auth.jwksUrl (or $values.auth.secret $values.auth.existingSecret) -}}
{{- fail "auth: a secret or auth.jwksUrl, not both: whose tokens are believed?" -}}
{{- end -}}
{{- $jwksIsLocal := regexMatch "^http://(localhost|127[.]0[.]0[.]1|\\[::1\\])(:[0-9]+)?([/?]|$)" ($values.auth.jwksUrl | default "") -}}
{{- if and (hasPrefix "http:" ($values.auth.jwksUrl | default "")) (not $jwksIsLocal) (not $values.auth.jwksAllowHttp) -}}
{{- fail "auth.jwksUrl: the keys of tokens come by https:// (auth.jwksAllowHttp: where a service mesh encrypts what goes by http://)" -}}
{{- end -}}
{{- if and $values.auth.secret $values.auth.existingSecret -}}
{{- fail "auth: auth.secret or auth.existingSecret, not both" -}}
{{- end -}}
{{- if and $values.auth.secret (lt (len $values.auth.secret) 32) -}}
{{- fail "auth.secret: at least 32 bytes (RFC 7518)" -}}
{{- end -}}

{{- if and $values.probe.enabled $values.auth.jwksUrl (not $values.probe.tokensSecret) -}}
{{- fail "probe.tokensSecret: with auth.jwksUrl the probe cannot sign the tokens of its users; name a Secret that holds them" -}}
{{- end -}}

{{- $redis := $values.redis -}}
{{- $url := $redis.url | default "" -}}
{{- $outside := list $redis.url $redis.urlSecret $redis.host $redis.sentinel.nodes | compact -}}
{{- if and $redis.inCluster.enabled $outside -}}
{{- fail "redis: a Redis outside and one in the cluster; switch redis.inCluster.enabled off" -}}
{{- end -}}
{{- if and (not $redis.inCluster.enabled) (ne (len $outside) 1) -}}
{{- fail "redis: name one Redis: redis.url, redis.urlSecret, redis.host or redis.sentinel.nodes (or switch redis.inCluster.enabled on)" -}}
{{- end -}}
{{- if and $redis.sentinel.nodes (not $redis.sentinel.service) -}}
{{- fail "redis.sentinel.service: the name that the Sentinels give to the primary" -}}
{{- end -}}
{{- if and $redis.caSecret (not (or $redis.tls $redis.urlSecret (hasPrefix "rediss:" $url) (hasPrefix "sentinels:" $url))) -}}
{{- fail "redis.caSecret: there is nothing to trust without TLS (redis.tls, or a rediss:// URL)" -}}
{{- end -}}
{{- if contains "@" ($url | replace (regexFind "//[^:@/]*@" $url) "") -}}
{{- fail "redis.url: no password in it, everybody who may read the Deployment would read it; use redis.existingSecret or redis.urlSecret" -}}
{{- end -}}

{{- if and ($values.bus | default dict).acceptUnsigned (not (include "holdfast.isSigned" .)) -}}
{{- fail "bus.acceptUnsigned: nothing is signed here (bus.signed)" -}}
{{- end -}}

{{- if lt (include "holdfast.grace" . | int) (include "holdfast.needed" . | int) -}}
{{- fail (printf "terminationGracePeriodSeconds: %s is less than preStop + window + flush + 15 = %s: the kubelet would kill a pod that drains" (include "holdfast.grace" .) (include "holdfast.needed" .)) -}}
{{- end -}}

{{- $memory := $values.resources.limits.memory -}}
{{- if lt (include "holdfast.bytes" $memory | int64) (include "holdfast.bytes" "160Mi" | int64) -}}
{{- fail (printf "resources.limits.memory: %v is less than 160Mi: an idle pod uses 105 MB, and one refuses connections from 85 %% of the limit on" $memory) -}}
{{- end -}}
{{- $memory = $values.controller.resources.limits.memory -}}
{{- if and $values.controller.enabled (lt (include "holdfast.bytes" $memory | int64) (include "holdfast.bytes" "128Mi" | int64)) -}}
{{- fail (printf "controller.resources.limits.memory: %v is less than 128Mi: an idle controller uses 109 MB" $memory) -}}
{{- end -}}
{{- $memory = $redis.inCluster.resources.limits.memory -}}
{{- if and $redis.inCluster.enabled (ge (include "holdfast.bytes" $redis.inCluster.maxMemory | int64) (include "holdfast.bytes" $memory | int64)) -}}
{{- fail (printf "redis.inCluster.maxMemory: %s is not below resources.limits.memory = %v: the kernel would kill Redis before Redis refuses a write" $redis.inCluster.maxMemory $memory) -}}
{{- end -}}

{{- $cpu := $values.autoscaling.hpa.cpuPerPod -}}
{{- if and $values.autoscaling.hpa.enabled (ge (trimSuffix "m" $cpu | int) 1000) -}}
{{- fail (printf "autoscaling.hpa.cpuPerPod: %s is never exceeded: an instance uses one CPU (1000m) at most" $cpu) -}}
{{- end -}}
{{- with $values.resources.limits.cpu -}}
{{- $limit := 0 -}}
{{- if hasSuffix "m" (toString .) -}}{{- $limit = trimSuffix "m" . | int -}}{{- else -}}{{- $limit = mulf (float64 .) 1000.0 | int -}}{{- end -}}
{{- if and $values.autoscaling.hpa.enabled (ge (trimSuffix "m" $cpu | int) $limit) -}}
{{- fail (printf "autoscaling.hpa.cpuPerPod: %s is never exceeded below resources.limits.cpu = %v" $cpu .) -}}
{{- end -}}
{{- end -}}

{{- if and $values.autoscaling.hpa.enabled $values.autoscaling.keda.enabled -}}
{{- fail "autoscaling: HPA or KEDA, not both" -}}
{{- end -}}
{{- if and $values.autoscaling.keda.enabled (not $values.autoscaling.keda.prometheusAddress) -}}
{{- fail "autoscaling.keda.prometheusAddress: where KEDA asks for the connections" -}}
{{- end -}}
{{- range $name, $scaler := $values.autoscaling -}}
{{- if $scaler.enabled -}}
{{- if $values.demo.enabled -}}
{{- fail (printf "autoscaling.%s: a demo is one pod" $name) -}}
{{- end -}}
{{- if gt (int $scaler.minReplicas) (int $scaler.maxReplicas) -}}
{{- fail (printf "autoscaling.%s: minReplicas %d is more than maxReplicas %d" $name (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- end -}}
{{- if gt (mul 10 (int $scaler.connectionsPerPod)) (mul 7 (int $values.limits.connections)) -}}
{{- fail (printf "autoscaling.%s.connectionsPerPod: %d is more than 70 %% of limits.connections = %d: pods would be full before others are there" $name (int $scaler.connectionsPerPod) (int $values.limits.connections)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $values.push.webhookUrl (not $values.push.existingSecret) -}}
{{- fail "push.existingSecret: a webhook needs the secret that signs it" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress.hosts: name one host at least" -}}
{{- end -}}
{{- if and $values.gateway.enabled (not $values.gateway.parentRefs) -}}
{{- fail "gateway.parentRefs: name one Gateway at least" -}}
{{- end -}}
{{- if and (or $values.monitoring.rules.enabled $values.monitoring.dashboards.enabled) (not $values.monitoring.runbookUrl) -}}
{{- fail "monitoring.runbookUrl: where you publish docs/runbooks: every alert and every panel links to it" -}}
{{- end -}}
{{- if and $values.monitoring.rules.enabled (not $values.monitoring.grafanaUrl) -}}
{{- fail "monitoring.grafanaUrl: your Grafana: every alert links to a dashboard" -}}
{{- end -}}
{{- if and $values.service.nodePort (eq $values.service.type "ClusterIP") -}}
{{- fail "service.nodePort: needs service.type: NodePort" -}}
{{- end -}}

{{- range concat ($values.extraEnv | default list) ($values.controller.extraEnv | default list) ($values.probe.extraEnv | default list) -}}
{{- if regexMatch "^(INSTANCE_ID|HOLDFAST_(STORE|REDIS)__URL|HOLDFAST_HTTP__(HOST|PORT|INTERNAL_PORT)|HOLDFAST_DRAIN__.*|HOLDFAST_READINESS__.*|HOLDFAST_LIMITS__CONNECTIONS|HOLDFAST_PROBE__(URLS|USERS|PORT|TOKEN_FILES|INTERVAL_SECONDS|ROUND_SECONDS)|HOLDFAST_AUTH__(SECRET|JWKS_URL|JWKS_ALLOW_HTTP)(_FILE)?)$" .name -}}
{{- fail (printf "extraEnv: %s has a value of its own in this chart" .name) -}}
{{- end -}}
{{- end -}}
{{- range $variables := list
  (dict "extraEnv" $values.extraEnv "secrets" (include "holdfast.chatSecrets" .))
  (dict "extraEnv" $values.controller.extraEnv "secrets" (include "holdfast.redisSecrets" .)) -}}
{{- range $secret := fromYamlArray $variables.secrets -}}
{{- range $variables.extraEnv -}}
{{- if eq (trimSuffix "_FILE" .name) $secret.variable -}}
{{- fail (printf "extraEnv: %s: pods have it as a file of the Secret %s (key %s) already; put it there, or leave the other value out" .name $secret.secret $secret.key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if and (hasPrefix "HOLDFAST_BUS__SECRET" .name) ($values.bus | default dict).existingSecret -}}
{{- fail (printf "bus: bus.existingSecret or %s in extraEnv, not both" .name) -}}
{{- end -}}
{{- end -}}
{{- range concat ($values.extraVolumes | default list) ($values.controller.extraVolumes | default list) ($values.probe.extraVolumes | default list) -}}
{{- if has .name (list "tmp" "holdfast-secrets" "redis-ca" "firestore-credentials" "data" "code" "probe-tokens") -}}
{{- fail (printf "extraVolumes: the name %s is the chart's own" .name) -}}
{{- end -}}
{{- end -}}
{{- range concat ($values.initContainers | default list) ($values.extraContainers | default list) ($values.controller.initContainers | default list) ($values.controller.extraContainers | default list) -}}
{{- if has .name (list "holdfast" "controller" "code") -}}
{{- fail (printf "extraContainers: the name %s is the chart's own" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
