{{- /* What the NetworkPolicies have in common, and which ports the values name. */ -}}

{{- /*
Who reaches metrics, probes and health: everything in the cluster, unless the values narrow it. `holdfast status --namespace` comes
by way of the API server, from addresses that no selector of pods names; there is nothing of users on that port.
*/ -}}
{{- define "holdfast.internalIngress" -}}
- ports: [{port: internal}]
  {{- $values := .Values.networkPolicy }}
  {{- if or $values.monitoringNamespace $values.internalFrom }}
  from:
    - podSelector:
        matchLabels:
          {{- include "holdfast.release" . | nindent 10 }}
    {{- with $values.monitoringNamespace }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}}
    {{- end }}
    {{- with $values.internalFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "holdfast.metadataServer" -}}
- ports: [{port: 80}, {port: 988}]  # which gives Workload Identity its tokens
  to: [{ipBlock: {cidr: 169.254.169.252/30}}, {ipBlock: {cidr: 169.254.170.23/32}}]  # the second: EKS Pod Identity
{{- end -}}

{{- /* The ports of pods count: those of OpenShift's DNS listen on 5353, of Gardener's on 8053, of vcluster's on 1053. */ -}}
{{- define "holdfast.dns" -}}
- ports:
    {{- range list 53 1053 5353 8053 }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- define "holdfast.egress" -}}
{{ include "holdfast.dns" . }}
{{- if .Values.redis.inCluster.enabled }}
- ports: [{port: 6379}]
  to:
    - podSelector:
        matchLabels:
          {{- include "holdfast.redisSelector" . | nindent 10 }}
{{- else }}
- ports:
    {{- range splitList " " (include "holdfast.redisPorts" .) | uniq }}
    - port: {{ . }}
    {{- end }}
{{- end }}
- ports: [{port: 9000}]
  to:
    - podSelector:
        matchLabels:
          {{- include "holdfast.selector" . | nindent 10 }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /*
A rule for 443 and the ports of `urls`, and of the collector of traces and the proxy in `env`. 8443: where the pods behind a Service
on 443 listen, Keycloak's and most ingress controllers'; the name of a load balancer of this cluster leads to them without leaving it.
*/ -}}
{{- define "holdfast.outward" -}}
{{- $ports := list "443" "8443" -}}
{{- range .urls -}}
{{- $ports = include "holdfast.urlPort" . | append $ports -}}
{{- end -}}
{{- range .env -}}
{{- if and (regexMatch "^(OTEL_EXPORTER_OTLP_(TRACES_)?ENDPOINT|(?i:https?_proxy))$" .name) .value -}}
{{- $ports = include "holdfast.urlPort" .value | append $ports -}}
{{- end -}}
{{- end -}}
- ports:
    {{- range uniq $ports }}
    - port: {{ . }}
    {{- end }}
{{- end -}}

{{- define "holdfast.urlPort" -}}
{{- regexFind "^([a-z]+://)?[^/?#]*" . | regexFind ":[0-9]+$" | trimPrefix ":" | default (regexMatch "^(http|ws):" . | ternary "80" "443") -}}
{{- end -}}

{{- /*
On which ports the Redis outside, or its Sentinels and the servers that these name, are reached. A URL in a Secret cannot be read
here, nor what Sentinels say: `redis.port` and the usual ones.
*/ -}}
{{- define "holdfast.redisPorts" -}}
{{- $redis := .Values.redis -}}
{{- $host := regexFind "^[a-z]+://[^/?#]*" $redis.url -}}
{{- if $redis.urlSecret -}}
{{ int $redis.port }} 6379 6380 26379
{{- else if or $redis.sentinel.nodes (hasPrefix "sentinel" $redis.url) -}}
{{- range $redis.sentinel.nodes | default (splitList "," $host) -}}
{{ regexFind ":[0-9]+$" . | trimPrefix ":" | default "26379" }} {{/* */ -}}
{{- end -}}
{{ int $redis.port }} 6379 6380
{{- else if $redis.url -}}
{{ regexFind ":[0-9]+$" $host | trimPrefix ":" | default "6379" }}
{{- else -}}
{{ int $redis.port }}
{{- end -}}
{{- end -}}
