{{- define "invoices.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "invoices" $name) }}{{ $name = printf "%s-invoices" $name }}{{ end -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "invoices.selector" -}}
app.kubernetes.io/name: invoices
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "invoices.labels" -}}
{{ include "invoices.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: invoices
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "invoices.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "invoices.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "invoices.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{- define "invoices.env" -}}
{{- /* A name of extraEnv is not given twice: an API server refuses that. */ -}}
{{- $extra := .extra -}}
{{- $own := list -}}
{{- range $extra }}{{ $own = append $own .name }}{{ end -}}
{{- with .root -}}
{{- $secrets := .Values.secrets -}}
{{- $env := dict "INVOICES_DATABASE_URL" .Values.database.url "INVOICES_BROKER_URL" .Values.broker.url -}}
{{- $_ := set $env "INVOICES_ACCOUNTS" (.Values.accounts | toJson) -}}
{{- $_ := set $env "INVOICES_HOME" "/var/lib/invoices" -}}
{{- $_ := set $env "INVOICES_LOG_FORMAT" "json" -}}
{{- $_ := set $env "INVOICES_WEB_HOST" "0.0.0.0" -}}
{{- $_ := set $env "INVOICES_WEB_PORT" "8420" -}}
{{- $_ := set $env "INVOICES_METRICS_PORT" "9400" -}}
{{- $_ := set $env "INVOICES_METRICS_ALLOW" (.Values.metrics.allow | join ",") -}}
{{- with .Values.redis.url }}{{ $_ := set $env "INVOICES_REDIS_URL" . }}{{ end -}}
{{- with .Values.publicUrl }}{{ $_ := set $env "INVOICES_PUBLIC_URL" . }}{{ end -}}
{{- $files := dict "SECRET_KEY" $secrets.secretKey "DATABASE_PASSWORD" $secrets.databasePassword -}}
{{- $files = merge $files (dict "BROKER_PASSWORD" $secrets.brokerPassword "REDIS_PASSWORD" $secrets.redisPassword) -}}
{{- $_ := set $files "OIDC_CLIENT_SECRET" $secrets.oidcClientSecret -}}
{{- range $name, $key := $files }}{{ if $key }}
{{- $_ := set $env (printf "INVOICES_%s_FILE" $name) (printf "/run/secrets/invoices/%s" $key) }}
{{- end }}{{ end -}}
{{- range $name, $value := merge (deepCopy .Values.settings) $env }}
{{- if not (has $name $own) }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- with $extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "invoices.container" -}}
image: {{ include "invoices.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  {{- $extra := .extraEnv | default list }}
  {{- $names := list }}
  {{- range $extra }}{{ $names = append $names .name }}{{ end }}
  {{- range .root.Values.extraEnv }}{{ if not (has .name $names) }}{{ $extra = append $extra . }}{{ end }}{{ end }}
  {{- include "invoices.env" (dict "root" .root "extra" $extra) | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/invoices, readOnly: true}
  - {name: home, mountPath: /var/lib/invoices}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "invoices.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .root.Values.secrets.existingSecret | quote }}
      defaultMode: 0440
      items:
        {{- $secrets := .root.Values.secrets }}
        {{- $keys := list $secrets.secretKey $secrets.databasePassword $secrets.brokerPassword $secrets.redisPassword }}
        {{- $keys = append $keys $secrets.oidcClientSecret }}
        {{- if .seesKeys }}{{ $keys = concat $keys $secrets.providerKeys }}{{ end }}
        {{- range $keys | compact | uniq }}
        - {key: {{ . | quote }}, path: {{ . | quote }}}
        {{- end }}
  - name: home
    emptyDir: {sizeLimit: 64Mi}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- /* What the schema can't say: values that fit one by one, and not together. */ -}}
{{- define "invoices.checks" -}}
{{- $values := .Values -}}
{{- $variables := list -}}
{{- range concat $values.extraEnv $values.intake.extraEnv $values.worker.extraEnv $values.web.extraEnv $values.beat.extraEnv }}
{{- $variables = append $variables .name }}{{ end -}}
{{- range $name, $account := $values.accounts }}{{ range $field, $value := $account }}{{ if kindIs "string" $value -}}
{{- $key := trimPrefix "file:/run/secrets/invoices/" $value -}}
{{- if and (ne $key $value) (not (has $key $values.secrets.providerKeys)) -}}
{{- fail (printf "accounts.%s.%s: %s is not among secrets.providerKeys, so no pod gets that file" $name $field $key) -}}
{{- end -}}
{{- $key = trimPrefix "env:" $value -}}
{{- if and (ne $key $value) (not (has $key $variables)) -}}
{{- fail (printf "accounts.%s.%s: %s is in no extraEnv, so no pod gets that variable" $name $field $key) -}}
{{- end -}}
{{- end }}{{ end }}{{ end -}}
{{- with $values.autoscaling }}{{ if .enabled -}}
{{- range $field := list "minReplicas" "fallbackReplicas" }}{{ if gt (int (index $values.autoscaling $field)) (int $values.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.%s: is above autoscaling.maxReplicas" $field) -}}
{{- end }}{{ end }}
{{- end }}{{ end -}}
{{- with $values.ingress }}{{ if and .enabled (not (hasKey $values.settings "INVOICES_WEB_ALLOWED_HOSTS")) -}}
{{- if ne .host (get (urlParse $values.publicUrl) "hostname") -}}
{{- fail (printf "ingress.host: web would answer 421 to %s: publicUrl must name it, or settings.INVOICES_WEB_ALLOWED_HOSTS" .host) -}}
{{- end }}{{ end }}{{ end -}}
{{- $usual := dict "amqp" 5672 "amqps" 5671 "sentinel" 26379 "redis" 6379 "rediss" 6379 "postgresql+psycopg" 5432 -}}
{{- if $values.networkPolicy.enabled }}{{ range $server := list "database" "broker" "redis" -}}
{{- with index $values $server "url" -}}
{{- $hosts := regexReplaceAll "^://(.*@)?|\\[[^]]*]" (regexFind "://[^/?#]*" .) "" -}}
{{- $named := regexFindAll ":[0-9]+" $hosts -1 | default (list (printf ":%d" (get $usual (splitList "://" . | first) | int))) -}}
{{- $port := int (index $values.networkPolicy $server "port") -}}
{{- range $named }}{{ if ne (trimPrefix ":" . | int) $port -}}
{{- fail (printf "networkPolicy.%s.port: is %d, and %s.url leads to %s" $server $port $server .) -}}
{{- end }}{{ end -}}
{{- end }}{{ end }}{{ end -}}
{{- end }}
