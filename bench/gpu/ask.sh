#!/bin/sh
# What a machine has of what the kit needs, as lines of `name=value`: its GPU, onnxruntime's CUDA provider, CUDA 13's libraries.
# It reads, and changes nothing. Carry it first; `npm run bench:gpu:pack -- --answer FILE` leaves out what it found.

echo "system=$(uname -sm)"
echo "libc=$(ldd --version 2>&1 | sed -n '1s/.* //p')"
echo "cores=$(getconf _NPROCESSORS_ONLN)"
echo "node=$(node --version 2>/dev/null)"
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader | sed 's/^/gpu=/'
fi
# Where packages of Python, of distributions and NVIDIA's own installers put them.
found=$(find /usr /opt /home /root ${VIRTUAL_ENV:-} ${CONDA_PREFIX:-} -xdev \( -name 'libonnxruntime_providers_cuda.so' \
  -o -name 'libcublasLt.so.13' -o -name 'libcublas.so.13' -o -name 'libcurand.so.10' -o -name 'libcudart.so.13' \
  -o -name 'libcudnn.so.9' \) 2>/dev/null)
for library in libcublasLt.so.13 libcublas.so.13 libcurand.so.10 libcudart.so.13 libcudnn.so.9; do
  echo "$library=$(echo "$found" | grep "/$library$" | head -n 1)"
done
# A provider works with the onnxruntime that it was built with: the package's metadata beside it tells.
echo "$found" | grep 'providers_cuda' | while read -r provider; do
  packages=$(dirname "$provider")/../..
  version=$(ls -d "$packages"/onnxruntime_gpu-*.dist-info 2>/dev/null | sed -n 's/.*onnxruntime_gpu-\(.*\)\.dist-info/\1/p' | head -n 1)
  echo "provider=$version $provider"
done
