#!/usr/bin/env bash
# Every stage for a moment, in a temporary folder: it shows that they run and go on, not that they learn.
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
few=(--minutes 0.03 --groups 2 2 --batch 4 --threads 1)
for again in '' --resume; do
  [ -n "$again" ] || python3 tokenizer.py --out "$runs/tokenizer" --captions 2000
  python3 train_autoencoder.py --out "$runs/autoencoder" "${few[@]}" $again
  inputs=(--tokenizer "$runs/tokenizer" --autoencoder "$runs/autoencoder")
  python3 train_autoencoder.py --out "$runs/autoencoder" --finish edges grain "${few[@]}" --resume \
    ${again:+--latents-of "$runs/tokenizer" "$runs/diffusion"}
  python3 train_diffusion.py "${inputs[@]}" --out "$runs/diffusion" --pool "$runs/pool" "${few[@]}" --sheet 1 ${again:+$again --unet --more sepia}
  python3 distil.py "${inputs[@]}" --diffusion "$runs/diffusion" --out "$runs/lcm" --pool "$runs/pool" "${few[@]}" --sheet 1 $again
done
python3 export.py "${inputs[@]}" --diffusion "$runs/diffusion" --out "$runs/paintbox"
python3 export.py "${inputs[@]}" --diffusion "$runs/lcm" --lcm --share "$runs/paintbox" --out "$runs/paintbox-lcm"
python3 from_onnx.py --model ../paintbox --out "$runs/from-onnx"
python3 mix.py --before "$runs/from-onnx/diffusion" --after "$runs/from-onnx/diffusion" --share 0.5 --out "$runs/mixed"
python3 train_lora.py --tokenizer "$runs/from-onnx/tokenizer" --autoencoder "$runs/from-onnx/autoencoder" --diffusion "$runs/from-onnx/diffusion" \
  --style risograph --out "$runs/risograph.safetensors" --minutes 0.03 --groups 2 --batch 4 --threads 1
python3 curves.py --log "$runs/diffusion/log.jsonl" --out "$runs/diffusion.svg"
largest=$(find "$runs"/{autoencoder,diffusion,lcm} -type f -printf '%s\n' | sort -n | tail -1)
[ "$largest" -le 16000000 ] || { echo "a file of $largest bytes"; exit 1; }
echo "every stage ran and went on; the largest file has $largest bytes"
