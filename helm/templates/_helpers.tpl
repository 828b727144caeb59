{{- define "eventbus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "eventbus.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "eventbus.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "eventbus.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "eventbus.selector" -}}
app.kubernetes.io/name: {{ include "eventbus.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "eventbus.labels" -}}
{{ include "eventbus.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "eventbus.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "eventbus.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "eventbus.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- if .Values.image.digest -}}{{ printf "%s@%s" $tagged .Values.image.digest }}{{- else -}}{{ $tagged }}{{- end -}}
{{- end -}}

{{- define "eventbus.scales" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling.enabled and keda.enabled exclude each other: two autoscalers would fight for one Deployment" -}}
{{- end -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}

{{/* A value in TOML: scalars are written there as in JSON, tables are written inline. */}}
{{- define "eventbus.tomlValue" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha -}}
{{- if $index }},{{ end }} {{ include "eventbus.tomlKey" $key }} = {{ include "eventbus.tomlValue" (get $ $key) }}
{{- end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $item := . -}}{{- if $index }}, {{ end }}{{ include "eventbus.tomlValue" $item }}{{- end -}}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- define "eventbus.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* What the TOML file says: the values' config, and what the chart decides. */}}
{{- define "eventbus.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $any := ternary "::" "0.0.0.0" (eq .Values.ipFamily "IPv6") -}}
{{- $http := dict "host" $any "port" .Values.ports.public "internal_host" $any "internal_port" .Values.ports.internal "drain_seconds" .Values.drain.seconds -}}
{{- $_ := set $config "http" (merge $http (get $config "http" | default dict)) -}}
{{- range $path, $_ := .Values.secrets -}}
{{- $parts := splitn "." 2 $path -}}
{{- $section := get $config $parts._0 | default dict -}}
{{- $_ := set $section (printf "%s_file" $parts._1) (printf "/etc/eventbus/secrets/%s" $path) -}}
{{- $_ := set $config $parts._0 $section -}}
{{- end -}}
{{- $_ := required "config.kafka.bootstrap_servers is needed" (get (get $config "kafka" | default dict) "bootstrap_servers") -}}
{{- $subscriptions := get $config "subscriptions" | default dict -}}
{{- if and (get $subscriptions "enabled") (not (hasKey $subscriptions "peer_secret_file")) -}}
{{- fail "secrets.subscriptions.peer_secret is needed: config.subscriptions.enabled is true" -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{- define "eventbus.toml" -}}
{{- range $section, $keys := include "eventbus.config" . | fromJson }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "invalid" $value) }}
{{ include "eventbus.tomlKey" $key }} = {{ include "eventbus.tomlValue" $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end -}}

{{/* Ports of egress to brokers, read from their addresses. */}}
{{- define "eventbus.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.config.kafka.bootstrap_servers -}}
{{- $ports = append $ports (trim . | regexFind "[0-9]+$" | int) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* Ports of egress to everything else. */}}
{{- define "eventbus.otherPorts" -}}
{{- $ports := .Values.networkPolicy.egress.ports -}}
{{- $tracing := get .Values.config "tracing" | default dict -}}
{{- $collector := ternary (get $tracing "endpoint") "" (get $tracing "enabled" | default false) -}}
{{- range list (get (get .Values.config "registry" | default dict) "url") $collector | compact -}}
{{- $url := urlParse . -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) | int) -}}
{{- end -}}
{{- $whole := list -}}
{{- range $ports }}{{ $whole = append $whole (int .) }}{{ end -}}
{{- uniq $whole | toJson -}}
{{- end -}}
