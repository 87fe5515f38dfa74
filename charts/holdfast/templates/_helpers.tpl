{{- define "holdfast.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "holdfast.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "holdfast.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "holdfast.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* 52 characters at most: Kubernetes makes a label of a StatefulSet's name and a hash, and a label has 63. */ -}}
{{- define "holdfast.redisName" -}}
{{- include "holdfast.fullname" . | trunc 46 | trimSuffix "-" }}-redis
{{- end -}}

{{- /* What all pods of the release carry, and no other pod. */ -}}
{{- define "holdfast.release" -}}
app.kubernetes.io/name: {{ include "holdfast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "holdfast.selector" -}}
{{ include "holdfast.release" . }}
app.kubernetes.io/component: chat
{{- end -}}

{{- define "holdfast.redisSelector" -}}
{{ include "holdfast.release" . }}
app.kubernetes.io/component: redis
{{- end -}}

{{- define "holdfast.controllerSelector" -}}
{{ include "holdfast.release" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "holdfast.probeSelector" -}}
{{ include "holdfast.release" . }}
app.kubernetes.io/component: probe
{{- end -}}

{{- define "holdfast.labels" -}}
{{ include "holdfast.release" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /*
Name, labels and annotations of an object. `root`: the top scope; `name`: where it is not the release's own, or `suffix`: what
is added to that; `labels`, `annotations`: of this object, they win over the common ones.
*/ -}}
{{- define "holdfast.metadata" -}}
{{- $values := .root.Values -}}
name: {{ .name | default (include "holdfast.fullname" .root) }}{{ with .suffix }}-{{ . }}{{ end }}
labels:
  {{- merge (include "holdfast.labels" .root | fromYaml) (.labels | default dict) ($values.commonLabels | default dict) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) ($values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The labels of a pod: `selector` names the template that its owner selects it by, `own` its component's values. */ -}}
{{- define "holdfast.podLabels" -}}
{{- merge (include .selector .root | fromYaml) (.own.podLabels | default dict) (.root.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{- /*
What every pod of the release has, whatever runs in it. `own`: its component's values. Where they say nothing of nodes,
tolerations or priority, the top ones count.
*/ -}}
{{- define "holdfast.pod" -}}
{{- $values := .root.Values -}}
enableServiceLinks: false
{{- with concat ($values.imagePullSecrets | default list) ($values.global.imagePullSecrets | default list) }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "string" . | ternary dict .) "name") | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "holdfast.podSecurityContext" .root | nindent 2 }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.nodeSelector | default $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations | default $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.priorityClassName | default $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Constraints of the values; one that selects no pods gets the selector of its component. */ -}}
{{- define "holdfast.spread" -}}
{{- range .own.topologySpreadConstraints }}
- {{ merge (dict) . (dict "labelSelector" (dict "matchLabels" (include $.selector $.root | fromYaml))) | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{- /* An image's name by way of `global.imageRegistry`, which takes the place of the registry that the name begins with. */ -}}
{{- define "holdfast.mirrored" -}}
{{- $image := .image -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $image = regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $image "" | printf "%s/%s" . -}}
{{- end -}}
{{- $image -}}
{{- end -}}

{{- /* A quantity of memory as Kubernetes or Redis writes it, in bytes. */ -}}
{{- define "holdfast.bytes" -}}
{{- $text := kindIs "string" . | ternary . (printf "%.0f" (float64 .)) -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "kb" 1024 "mb" 1048576 "gb" 1073741824 -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number $text) | default 1 | float64) | int64 -}}
{{- end -}}

{{- define "holdfast.image" -}}
{{ include "holdfast.mirrored" (dict "root" . "image" .Values.image.repository) }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
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

{{- /* The ServiceAccounts: one that the chart makes, one that is there, or the namespace's default. */ -}}
{{- define "holdfast.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "holdfast.fullname" .) "default") -}}
{{- end -}}

{{- define "holdfast.controllerServiceAccount" -}}
{{- $account := .Values.controller.serviceAccount -}}
{{- $account.name | default ($account.create | ternary (printf "%s-controller" (include "holdfast.fullname" .)) "default") -}}
{{- end -}}

{{- define "holdfast.isScaled" -}}
{{- if and (not .Values.demo.enabled) (or .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled) -}}true{{- end -}}
{{- end -}}

{{- /* How many pods there are at the least. */ -}}
{{- define "holdfast.fewest" -}}
{{- if .Values.demo.enabled -}}1
{{- else if .Values.autoscaling.hpa.enabled -}}{{ .Values.autoscaling.hpa.minReplicas }}
{{- else if .Values.autoscaling.keda.enabled -}}{{ .Values.autoscaling.keda.minReplicas }}
{{- else -}}{{ .Values.replicaCount }}
{{- end -}}
{{- end -}}

{{- define "holdfast.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /*
Whether the platform names the user and the groups of pods, not the chart: OpenShift refuses others than those that it gave to the
namespace. The value has the name and the meaning that other charts gave it.
*/ -}}
{{- define "holdfast.hasUsersOfPlatform" -}}
{{- $how := dig "compatibility" "openshift" "adaptSecurityContext" "auto" .Values.global -}}
{{- if or (eq $how "force") (and (eq $how "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}true{{- end -}}
{{- end -}}

{{- define "holdfast.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "holdfast.hasUsersOfPlatform" .) }}
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* What chat pods and the controller are told alike: who they are, Redis, the log. */ -}}
{{- define "holdfast.environment" -}}
- name: INSTANCE_ID
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if not .Values.redis.urlSecret }}
- {name: HOLDFAST_REDIS__URL, value: {{ include "holdfast.redisUrl" . | quote }}}
{{- end }}
{{- if .Values.redis.caSecret }}
- {name: HOLDFAST_REDIS__CA_FILE, value: /etc/holdfast/redis/ca.crt}
{{- end }}
- {name: HOLDFAST_LOG__LEVEL, value: {{ .Values.log.level | quote }}}
- {name: HOLDFAST_LOG__FORMAT, value: {{ .Values.log.format | quote }}}
{{- end -}}

{{- /* The store, of chat pods alone: the controller has no way into it. */ -}}
{{- define "holdfast.store" -}}
- {name: HOLDFAST_STORE__URL, value: {{ include "holdfast.storeUrl" . | quote }}}
{{- with .Values.firestore.emulatorHost }}
- {name: FIRESTORE_EMULATOR_HOST, value: {{ . | quote }}}
{{- end }}
{{- if .Values.firestore.credentialsSecret }}
- {name: GOOGLE_APPLICATION_CREDENTIALS, value: /etc/holdfast/firestore/credentials.json}
{{- end }}
{{- end -}}

{{- /* The files that this environment names, and a place for temporary ones. */ -}}
{{- define "holdfast.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.redis.caSecret }}
- {name: redis-ca, mountPath: /etc/holdfast/redis, readOnly: true}
{{- end }}
{{- end -}}

{{- define "holdfast.storeMounts" -}}
{{- if .Values.firestore.credentialsSecret }}
- {name: firestore-credentials, mountPath: /etc/holdfast/firestore, readOnly: true}
{{- end }}
{{- end -}}

{{- define "holdfast.volumes" -}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- with .Values.redis.caSecret }}
- name: redis-ca
  secret: {secretName: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- define "holdfast.storeVolumes" -}}
{{- with .Values.firestore.credentialsSecret }}
- name: firestore-credentials
  secret: {secretName: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- /* By whom the tokens of `helm test` and of the probe are signed. */ -}}
{{- define "holdfast.tokens" -}}
- {name: HOLDFAST_AUTH__ISSUER, value: {{ .Values.auth.issuer | quote }}}
- {name: HOLDFAST_AUTH__AUDIENCE, value: {{ .Values.auth.audience | quote }}}
{{- if .Values.auth.jwksUrl }}
- {name: HOLDFAST_AUTH__JWKS_URL, value: {{ .Values.auth.jwksUrl | quote }}}
{{- if .Values.auth.jwksAllowHttp }}
- {name: HOLDFAST_AUTH__JWKS_ALLOW_HTTP, value: "true"}
{{- end }}
{{- end }}
{{- end -}}
