# Two images: `--target cpu` (small, any machine) and `--target cuda` (NVIDIA GPUs). Both run `node dist/main.js` as user 10001 on a read-only root.
#
#   docker build --target cpu -t img2img:cpu .
#   docker build --target cuda -t img2img:cuda .
#
# An npm configuration of your own (a mirror, a proxy's certificate) goes in as a secret: --secret id=npmrc,src=$HOME/.npmrc
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim
ARG CUDA_IMAGE=docker.io/nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

# What runs: production dependencies without the other platforms' binaries, source maps and type declarations.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --omit=dev --no-audit --no-fund
RUN platform="$(node -p 'process.platform + "/" + process.arch')" \
 && cd node_modules/onnxruntime-node/bin/napi-v6 \
 && find . -mindepth 2 -maxdepth 2 -type d ! -path "./$platform" -exec rm -r {} + \
 && find . -mindepth 1 -maxdepth 1 -type d -empty -delete \
 && test -f "$platform/onnxruntime_binding.node"
RUN find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

# TypeScript -> dist/
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

# What both images share.
FROM scratch AS app
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY assets ./assets
COPY fonts ./fonts
COPY models/paintbox ./models/paintbox
COPY models/paintbox-lcm ./models/paintbox-lcm
COPY models/*.generator.json models/*.webp ./models/
COPY models/loras/risograph.safetensors ./models/loras/

FROM ${NODE_IMAGE} AS cpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="img2img" \
      org.opencontainers.image.description="Stateless image-to-image REST service for Stable-Diffusion-style ONNX folders" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 MODELS_DIR=/app/models CACHE_DIR=/tmp/cache LOG_FORMAT=json ORT_DISABLE_TELEMETRY=1 REVISION=${REVISION}
WORKDIR /app
COPY --from=app /app ./
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]

# Everything below is for GPUs only. onnxruntime-node's own install script fetches the CUDA provider of its own version from NuGet.
FROM dependencies AS cuda-provider
RUN ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install \
 && node -e "const { version } = require('onnxruntime-node/package.json'); const [{ version: provider }] = require('onnxruntime-node/script/install-metadata-versions.js').nuget; if (version !== provider) throw new Error('onnxruntime-node is ' + version + ', its CUDA provider ' + provider)" \
 && rm node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_tensorrt.so

FROM ${NODE_IMAGE} AS node

FROM ${CUDA_IMAGE} AS cuda
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="img2img" \
      org.opencontainers.image.description="Stateless image-to-image REST service for Stable-Diffusion-style ONNX folders, on NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# utility brings NVML, which the GPU's metrics are read from.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 MODELS_DIR=/app/models CACHE_DIR=/tmp/cache LOG_FORMAT=json ORT_DISABLE_TELEMETRY=1 REVISION=${REVISION}
WORKDIR /app
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=app /app ./
COPY --from=cuda-provider /app/node_modules/onnxruntime-node/bin ./node_modules/onnxruntime-node/bin
# A base of another CUDA than the provider was built for fails here (onnxruntime 1.30 links CUDA 13). libcuda comes with the driver, at run time;
# cuDNN is opened by name, which ldd does not show: it must be there, and under its short name too, which runtime packages lack.
RUN ldd node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so > /tmp/ldd \
 && ! grep 'not found' /tmp/ldd | grep -v 'libcuda\.so' \
 && rm /tmp/ldd \
 && cudnn="$(ldconfig -p | sed -n 's/.* => \(.*libcudnn\.so\.9\)$/\1/p' | head -n 1)" \
 && test -n "$cudnn" && ln -s "$cudnn" /usr/local/lib/libcudnn.so && ldconfig \
 && node --version
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# The base's own entrypoint prints a banner and execs; exec form replaces it.
ENTRYPOINT ["node", "dist/main.js"]
