#!/usr/bin/env bash
# Builds a control plane's programs from Go modules, at the versions below, into a folder outside the repository; what is there
# already is not built again. programs.sh FOLDER PROGRAM… with PROGRAM one of kube-apiserver, kube-controller-manager,
# kube-scheduler, keda-operator, keda-adapter, otel-collector, egctl, crds. Needs Go 1.26, or an older one that may fetch it
# (GOTOOLCHAIN=auto).
set -euo pipefail
kubernetes=1.36.3
keda=2.21.0
prometheus_operator=0.85.0
gateway_api=1.4.0
envoy_gateway=1.9.1
# The collector's modules have versions of two kinds: what may still change, and what is stable.
collector=0.165.0
collector_stable=1.71.0

folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[ -n "${GOTOOLCHAIN:-}" ] || export GOTOOLCHAIN=auto
export GOWORK=off GOFLAGS=${GOFLAGS:--p=2} CGO_ENABLED=0

# Where a module's files are, which are fetched when they are not there.
module() { go mod download -json "$1" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p'; }

# Kubernetes' own go.mod replaces its parts by folders that its module does not have; they are modules of the same release.
of_kubernetes() {
  local source
  source=$(module "k8s.io/kubernetes@v$kubernetes")
  local work=$folder/kubernetes-$kubernetes
  if [ ! -e "$work/go.mod" ]; then
    mkdir -p "$work"
    cp "$source/go.sum" "$work/go.sum"
    chmod u+w "$work/go.sum"
    sed -E "s#^(\s+k8s.io/\S+) => ./staging/\S+#\1 => \1 v0.${kubernetes#*.}#; s#=>\s+#=> #" "$source/go.mod" >"$work/go.mod"
  fi
  local version=k8s.io/component-base/version
  (cd "$source" && go build -mod=mod "-modfile=$work/go.mod" -trimpath -o "$folder/$1.part" \
    -ldflags "-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=${kubernetes%%.*} -X $version.gitMinor=$(cut -d. -f2 <<<"$kubernetes")" \
    "./cmd/$1")
}

# A module's own command, with the versions that its go.mod names. of_module PROGRAM MODULE@VERSION COMMAND [LDFLAGS]
of_module() {
  local source work
  source=$(module "$2")
  work=$folder/$(basename "$source")-sources
  mkdir -p "$work"
  install -m 644 "$source/go.mod" "$source/go.sum" "$work"
  (cd "$source" && go build -mod=mod "-modfile=$work/go.mod" -trimpath -o "$folder/$1.part" -ldflags "-s -w ${4:-}" "./cmd/$3")
}

# Of a collector's parts those that pass spans on: OTLP in, OTLP out.
of_collector() {
  local work=$folder/$1-$collector-sources
  mkdir -p "$work"
  cat >"$work/builder.yaml" <<END
dist:
  name: $1
  module: img2img/$1
  version: $collector
  output_path: $work
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v$collector
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v$collector
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v$collector_stable
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v$collector_stable
END
  go run "go.opentelemetry.io/collector/cmd/builder@v$collector" --config "$work/builder.yaml" --skip-compilation
  (cd "$work" && go build -trimpath -o "$folder/$1.part" -ldflags '-s -w' .)
}

# The kinds that the manifests have and Kubernetes has not.
definitions() {
  local prometheus gateway envoy scaler
  prometheus=$(module "github.com/prometheus-operator/prometheus-operator@v$prometheus_operator")
  gateway=$(module "sigs.k8s.io/gateway-api@v$gateway_api")
  envoy=$(module "github.com/envoyproxy/gateway@v$envoy_gateway")
  scaler=$(module "github.com/kedacore/keda/v2@v$keda")
  mkdir -p "$folder/crds.part"
  cp "$prometheus"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml \
    "$gateway"/config/crd/standard/gateway.networking.k8s.io_{gateways,httproutes}.yaml \
    "$scaler"/config/crd/bases/*.yaml "$folder/crds.part"
  # A chart's: without its conditions.
  for file in "$envoy"/charts/gateway-crds-helm/templates/generated/*_{backend,client}trafficpolicies.yaml; do
    grep -v '^{{' "$file" >"$folder/crds.part/$(basename "$file")"
  done
  chmod -R u+w "$folder/crds.part"
}

for program in "$@"; do
  # A version more makes another name, so that an old build is not taken for it.
  case $program in
    crds) built=$folder/crds-$keda-$prometheus_operator-$gateway_api-$envoy_gateway ;;
    keda-*) built=$folder/$program-$keda ;;
    otel-collector) built=$folder/$program-$collector ;;
    egctl) built=$folder/$program-$envoy_gateway ;;
    *) built=$folder/$program-$kubernetes ;;
  esac
  if [ ! -e "$built" ]; then
    echo "$program is built"
    case $program in
      kube-*) of_kubernetes "$program" ;;
      keda-*) of_module "$program" "github.com/kedacore/keda/v2@v$keda" "${program#keda-}" "-X github.com/kedacore/keda/v2/version.Version=$keda" ;;
      egctl) of_module egctl "github.com/envoyproxy/gateway@v$envoy_gateway" egctl ;;
      otel-collector) of_collector "$program" ;;
      crds) definitions ;;
    esac
    mv "$folder/$program.part" "$built"
  fi
  ln -sfn "$built" "$folder/$program"
done
