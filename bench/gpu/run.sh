#!/bin/sh
# The kit on the machine with the GPU: unpacks the pieces beside this file, finds the libraries, and asks.
#
#   sh run.sh FOLDER [options of kit.ts]     FOLDER gets the answers; options: --device cpu --shape tiny --seconds 360
set -eu

here=$(cd "$(dirname "$0")" && pwd)
answers=${1:?a folder for the answers}
shift
kit=${KIT_FOLDER:-$here/kit}
mkdir -p "$kit" "$answers"
answers=$(cd "$answers" && pwd)
if [ ! -e "$kit/unpacked" ]; then
  (cd "$here" && sha256sum -c --quiet pieces.sha256)
  cat "$here"/piece-* | tar -xzf - -C "$kit"
  touch "$kit/unpacked"
fi

# What the kit does not bring is the machine's own.
sh "$here/ask.sh" > "$answers/machine.txt"
libraries=$kit/libraries
mkdir -p "$libraries"
path=$libraries
for library in libcublasLt.so.13 libcublas.so.13 libcurand.so.10 libcudart.so.13 libcudnn.so.9; do
  found=$(sed -n "s/^$library=//p" "$answers/machine.txt")
  if [ ! -e "$libraries/$library" ] && [ -n "$found" ]; then
    ln -s "$found" "$libraries/$library"
    path=$path:$(dirname "$found")
  fi
done
# cuDNN is opened by its short name too.
if [ -e "$libraries/libcudnn.so.9" ] && [ ! -e "$libraries/libcudnn.so" ]; then
  ln -s libcudnn.so.9 "$libraries/libcudnn.so"
fi
runtime=$kit/app/node_modules/onnxruntime-node
provider=libonnxruntime_providers_cuda.so
binaries=$runtime/bin/napi-v6/linux/x64
if [ ! -e "$binaries/$provider" ]; then
  version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$runtime/package.json")
  found=$(sed -n "s/^provider=$version //p" "$answers/machine.txt" | head -n 1)
  if [ -n "$found" ]; then
    ln -s "$found" "$binaries/$provider"
    ln -sf "$(dirname "$found")/libonnxruntime_providers_shared.so" "$binaries/libonnxruntime_providers_shared.so"
  fi
fi

node=$kit/bin/node
export LD_LIBRARY_PATH="$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PATH="$kit/bin:$PATH"
cd "$kit/app"
exec "$node" bench/gpu/kit.js --out "$answers" "$@"
