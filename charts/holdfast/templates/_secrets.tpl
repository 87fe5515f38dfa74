{{- /* The Secrets of the release: their names, those that the chart makes, and the files that pods have of them. */ -}}
{{- define "holdfast.authSecret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-auth" (include "holdfast.fullname" .)) }}
{{- end -}}

{{- /* The Secrets with the password of pods to Redis, with the operators', and with what the bus is signed with. */ -}}
{{- define "holdfast.redisSecret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-auth" (include "holdfast.redisName" .)) }}
{{- end -}}

{{- define "holdfast.operatorSecret" -}}
{{ .Values.redis.inCluster.operatorSecret | default (printf "%s-operator" (include "holdfast.redisName" .)) }}
{{- end -}}

{{- define "holdfast.busSecret" -}}
{{ (.Values.bus | default dict).existingSecret | default (printf "%s-bus-auth" (include "holdfast.fullname" .)) }}
{{- end -}}

{{- /*
A Secret that the chart makes: random, and what it was at an upgrade. It goes with the release: nothing that is in Redis outlives
that. Where nothing can be looked up (`helm template`) it is another one each time.
*/ -}}
{{- define "holdfast.made" -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "holdfast.metadata" (dict "root" .root "name" .name) | nindent 2 }}
type: Opaque
data:
  {{ .key }}: {{ include "holdfast.madeValue" . }}
{{- end -}}

{{- /* What is in it, encoded; the same wherever it is asked for in one rendering, so that pods can have its checksum. */ -}}
{{- define "holdfast.madeValue" -}}
{{- $made := .root.Values.made | default dict -}}
{{- if not (hasKey $made .name) -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace .name | default dict -}}
{{- $_ := dig "data" .key "" $there | default (randAlphaNum 48 | b64enc) | set $made .name -}}
{{- $_ := set .root.Values "made" $made -}}
{{- end -}}
{{- get $made .name -}}
{{- end -}}

{{- /*
Annotations of pods that take a Secret of the chart at their start only. `helm rollback` puts the values of that revision back:
the pods follow.
*/ -}}
{{- define "holdfast.redisChecksum" -}}
{{- $made := list -}}
{{- if not .Values.redis.existingSecret -}}
{{- $made = include "holdfast.madeValue" (dict "root" . "name" (include "holdfast.redisSecret" .) "key" "password") | append $made -}}
{{- end -}}
{{- if not .Values.redis.inCluster.operatorSecret -}}
{{- $made = include "holdfast.madeValue" (dict "root" . "name" (include "holdfast.operatorSecret" .) "key" "password") | append $made -}}
{{- end -}}
{{- with $made -}}
checksum/passwords: {{ join " " . | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "holdfast.busChecksum" -}}
{{- if and (include "holdfast.isSigned" .) (not (.Values.bus | default dict).existingSecret) -}}
checksum/bus: {{ include "holdfast.madeValue" (dict "root" . "name" (include "holdfast.busSecret" .) "key" "secret") | sha256sum }}
{{- end -}}
{{- end -}}

{{- /*
Whether pods sign what they tell each other with a secret of the chart's: not where `extraEnv` brings another. Values that
`--reuse-values` kept of a chart without `bus` have none.
*/ -}}
{{- define "holdfast.isSigned" -}}
{{- $bus := .Values.bus | default dict -}}
{{- $is := or $bus.signed $bus.existingSecret (eq .Values.environment "production") -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "HOLDFAST_BUS__SECRET" .name -}}{{- $is = false -}}{{- end -}}
{{- end -}}
{{- if $is -}}true{{- end -}}
{{- end -}}

{{- /*
Secrets are files: variables are shown by a crash's dump, and inherited by every process that is started. Each list below has an
element for each: the variable that names the file, which is also the file's name, and the Secret with the key that is in it.
*/ -}}
{{- define "holdfast.redisSecrets" -}}
{{- if .Values.redis.urlSecret }}
- {variable: HOLDFAST_REDIS__URL, secret: {{ .Values.redis.urlSecret | quote }}, key: url}
{{- end }}
{{- if or .Values.redis.inCluster.enabled .Values.redis.existingSecret }}
- {variable: HOLDFAST_REDIS__PASSWORD, secret: {{ include "holdfast.redisSecret" . | quote }}, key: password}
{{- end }}
{{- end -}}

{{- define "holdfast.tokenSecrets" -}}
{{- if not .Values.auth.jwksUrl }}
- {variable: HOLDFAST_AUTH__SECRET, secret: {{ include "holdfast.authSecret" . | quote }}, key: secret}
{{- end }}
{{- end -}}

{{- define "holdfast.chatSecrets" -}}
{{- include "holdfast.redisSecrets" . }}
{{- include "holdfast.tokenSecrets" . }}
{{- with .Values.auth.existingSecret }}
- {variable: HOLDFAST_AUTH__PREVIOUS_SECRET, secret: {{ . | quote }}, key: previousSecret, optional: true}
{{- end }}
{{- if include "holdfast.isSigned" . }}
- {variable: HOLDFAST_BUS__SECRET, secret: {{ include "holdfast.busSecret" . | quote }}, key: secret}
{{- with (.Values.bus | default dict).existingSecret }}
- {variable: HOLDFAST_BUS__PREVIOUS_SECRET, secret: {{ . | quote }}, key: previousSecret, optional: true}
{{- end }}
{{- end }}
{{- if .Values.push.webhookUrl }}
- {variable: HOLDFAST_PUSH__WEBHOOK_SECRET, secret: {{ .Values.push.existingSecret | quote }}, key: secret}
{{- end }}
{{- end -}}

{{- /* Of such a list: the variables, the mount, the volume. */ -}}
{{- define "holdfast.secretVariables" -}}
{{- range fromYamlArray . }}
- {name: {{ .variable }}_FILE, value: /etc/holdfast/secrets/{{ .variable }}}
{{- end }}
{{- end -}}

{{- define "holdfast.secretMount" -}}
{{- if fromYamlArray . -}}
- {name: holdfast-secrets, mountPath: /etc/holdfast/secrets, readOnly: true}
{{- end -}}
{{- end -}}

{{- /* `secrets`: such a list; `root`: the top scope. */ -}}
{{- define "holdfast.secretVolume" -}}
{{- if fromYamlArray .secrets -}}
- name: holdfast-secrets
  projected:
    {{- if include "holdfast.hasUsersOfPlatform" .root }}
    defaultMode: 292  # 0444: the platform may give pods no group of their own
    {{- else }}
    defaultMode: 288  # 0440: its group is fsGroup
    {{- end }}
    sources:
      {{- range fromYamlArray .secrets }}
      - secret: {name: {{ .secret | quote }}, items: [{key: {{ .key }}, path: {{ .variable }}}]{{ if .optional }}, optional: true{{ end }}}
      {{- end }}
{{- end -}}
{{- end -}}
