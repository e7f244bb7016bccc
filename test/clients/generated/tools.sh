#!/usr/bin/env bash
# The generators of clients, pinned, into a folder outside the repository: tools.sh FOLDER. What is there stays.
set -euo pipefail
mkdir -p "$1"
tools=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
generator=7.25.0

for program in go java mvn python3; do
  command -v "$program" >/dev/null || { echo "needs $program (Go 1.25 or later; Debian: apt-get install openjdk-17-jdk-headless maven python3-venv)" >&2; exit 1; }
done

[ -x "$tools/bin/oapi-codegen" ] || GOBIN=$tools/bin go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2
[ -f "$tools/openapi-generator-$generator.jar" ] || {
  mvn -q -B dependency:copy -Dartifact=org.openapitools:openapi-generator-cli:$generator -DoutputDirectory="$tools"
  mv "$tools/openapi-generator-cli-$generator.jar" "$tools/openapi-generator-$generator.jar"
}
ln -sf "openapi-generator-$generator.jar" "$tools/openapi-generator.jar"
[ -x "$tools/python/bin/python" ] || python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --requirement "$here/requirements.txt"
