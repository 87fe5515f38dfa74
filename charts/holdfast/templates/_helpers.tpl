{{- define "holdfast.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: chat
{{- end -}}

{{- define "holdfast.labels" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "holdfast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "holdfast.authSecret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-auth" (include "holdfast.fullname" .)) }}
{{- end -}}

{{- define "holdfast.redisUrl" -}}
{{- if .Values.redis.inCluster.enabled -}}
redis://{{ include "holdfast.fullname" . }}-redis:6379/0
{{- else -}}
{{ .Values.redis.url }}
{{- end -}}
{{- end -}}

{{- define "holdfast.storeUrl" -}}
{{- if .Values.demo.enabled -}}
sqlite:////data/holdfast.db
{{- else -}}
firestore://{{ .Values.firestore.project }}{{ with .Values.firestore.database }}/{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "holdfast.needed" -}}
{{- add .Values.drain.preStopSeconds .Values.drain.windowSeconds .Values.drain.flushSeconds 15 -}}
{{- end -}}

{{- define "holdfast.grace" -}}
{{- .Values.terminationGracePeriodSeconds | default (include "holdfast.needed" . | int) -}}
{{- end -}}

{{- define "holdfast.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "holdfast.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "holdfast.check" -}}
{{- if and (eq .Values.environment "production") .Values.firestore.emulatorHost -}}
{{- fail "firestore.emulatorHost: the emulator keeps nothing; it is not for environment: production" -}}
{{- end -}}
{{- if and (eq .Values.environment "production") .Values.demo.enabled -}}
{{- fail "demo.enabled: a store that ends with its pod is not for environment: production" -}}
{{- end -}}
{{- if not (or .Values.demo.enabled .Values.firestore.project) -}}
{{- fail "firestore.project: name the project (or demo.enabled=true for a first look without Firestore)" -}}
{{- end -}}
{{- if not (or .Values.auth.secret .Values.auth.existingSecret .Values.auth.jwksUrl) -}}
{{- fail "auth: set auth.secret, auth.existingSecret or auth.jwksUrl: whose tokens are believed?" -}}
{{- end -}}
{{- if and .Values.auth.secret (lt (len .Values.auth.secret) 32) -}}
{{- fail "auth.secret: at least 32 bytes (RFC 7518)" -}}
{{- end -}}
{{- if not (or .Values.redis.inCluster.enabled .Values.redis.url) -}}
{{- fail "redis.url: name the Redis, or switch redis.inCluster.enabled on" -}}
{{- end -}}
{{- if and .Values.redis.inCluster.enabled .Values.redis.url -}}
{{- fail "redis.url: a Redis outside and one in the cluster; switch redis.inCluster.enabled off" -}}
{{- end -}}
{{- if lt (include "holdfast.grace" . | int) (include "holdfast.needed" . | int) -}}
{{- fail (printf "terminationGracePeriodSeconds: %s is less than preStop + window + flush + 15 = %s: the kubelet would kill a pod that drains" (include "holdfast.grace" .) (include "holdfast.needed" .)) -}}
{{- end -}}
{{- if and .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled -}}
{{- fail "autoscaling: HPA or KEDA, not both" -}}
{{- end -}}
{{- if and .Values.push.webhookUrl (not .Values.push.existingSecret) -}}
{{- fail "push.existingSecret: a webhook needs the secret that signs it" -}}
{{- end -}}
{{- end -}}
