{{- /*
What pods may do in the Redis of the release: the commands, keys and channels that Holdfast uses, and no others. Operators are
another user, `default`, who may do everything.
*/ -}}
{{- define "holdfast.redisRules" -}}
resetkeys
~registry:world
~registry:era
~instances
~dirty
~instance:*
~head:*
~fate:*
~connections:*
~subscriptions:*
~recent:*
~member:*
resetchannels
&conversation:*
&user:*
&control:*
-@all
{{- range list "del" "exists" "get" "set" "type" "unlink" "pexpire" "pttl" }}
+{{ . }}
{{- end }}
{{- range list "hdel" "hget" "hgetall" "hlen" "hmget" "hset" "hsetnx" "hvals" "sadd" "smembers" "srem" "sscan" }}
+{{ . }}
{{- end }}
{{- range list "zadd" "zcard" "zrange" "zrangebyscore" "zrem" "zremrangebyrank" "zremrangebyscore" "zrevrange" }}
+{{ . }}
{{- end }}
{{- range list "publish" "subscribe" "unsubscribe" "eval" "evalsha" "script|load" "info" "time" "ping" "hello" "auth" "select" "client|setname" }}
+{{ . }}
{{- end }}
{{- end -}}

{{- define "holdfast.redisUrl" -}}
{{- $redis := .Values.redis -}}
{{- if $redis.inCluster.enabled -}}
redis://holdfast@{{ include "holdfast.redisName" . }}:6379/0
{{- else if $redis.url -}}
{{ $redis.url }}
{{- else if $redis.sentinel.nodes -}}
{{ $redis.tls | ternary "sentinels" "sentinel" }}://{{ join "," $redis.sentinel.nodes }}/{{ $redis.sentinel.service }}/{{ int $redis.database }}
{{- else -}}
{{ $redis.tls | ternary "rediss" "redis" }}://{{ with $redis.username }}{{ . }}@{{ end }}{{ $redis.host }}:{{ int $redis.port }}/{{ int $redis.database }}
{{- end -}}
{{- end -}}
