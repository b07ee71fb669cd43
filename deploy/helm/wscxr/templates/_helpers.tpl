{{- define "wscxr.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "wscxr.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "wscxr.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "wscxr.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "wscxr.selector" -}}
app.kubernetes.io/name: {{ include "wscxr.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "wscxr.labels" -}}
{{ include "wscxr.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "wscxr.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wscxr.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "wscxr.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end -}}

{{/* Environment variables from a dict of prefix, settings, secrets and secret files. Helm reads every number as a float, and would
write 100000000 as 1e+08. */}}
{{- define "wscxr.env" -}}
{{- range $name, $value := .settings }}
- name: {{ printf "%s%s" $.prefix (upper $name) }}
  {{- if kindIs "slice" $value }}
  value: {{ toJson $value | quote }}
  {{- else if kindIs "float64" $value }}
  value: {{ if eq (floor $value) $value }}{{ printf "%.0f" $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- range $name, $reference := .secrets }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $reference.name }}
      key: {{ $reference.key }}
{{- end }}
{{- range $name, $reference := .files }}
- name: {{ $name }}
  value: {{ printf "/secrets/%s/%s" (include "wscxr.secretName" $name) $reference.key }}
{{- end }}
{{- end -}}

{{/* WSCXR_API_KEYS_FILE becomes api-keys-file: the name of its volume, and of its folder. */}}
{{- define "wscxr.secretName" -}}
{{- . | lower | replace "_" "-" | trimPrefix "wscxr-" -}}
{{- end -}}

{{- define "wscxr.secretMounts" -}}
{{- range $name, $reference := . }}
- name: {{ include "wscxr.secretName" $name }}
  mountPath: /secrets/{{ include "wscxr.secretName" $name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* The group of the pod reads them, nobody else. */}}
{{- define "wscxr.secretVolumes" -}}
{{- range $name, $reference := . }}
- name: {{ include "wscxr.secretName" $name }}
  secret:
    secretName: {{ $reference.name }}
    defaultMode: 0440
    items:
      - key: {{ $reference.key }}
        path: {{ $reference.key }}
{{- end }}
{{- end -}}

{{/* What both kinds of pods have. */}}
{{- define "wscxr.podSpec" -}}
serviceAccountName: {{ include "wscxr.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
