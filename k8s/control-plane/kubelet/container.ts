// A pod's container as a process: its command, its environment and its volumes, as the pod's spec and the image say.

import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ApiError, pathOf, type Resource } from '../api.js';
import type { KubeletOptions } from './options.js';

/** Why a container does not start, in the words of its status. */
export class NotStarted extends Error {
  constructor(
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

/** @throws NotStarted */
export async function startContainer(
  pod: Resource,
  address: string,
  { api, processes, image: imageOf }: KubeletOptions,
): Promise<ChildProcess> {
  if (pod.spec.initContainers || pod.spec.containers.length > 1)
    throw new NotStarted('CreateContainerError', 'Here a pod has one container and none before it.');
  const [container] = pod.spec.containers;
  const image = imageOf(container.image);
  if (!image) throw new NotStarted('ImagePullBackOff', `There is no ${container.image} here.`);
  const { namespace, name, uid } = pod.metadata;

  const environment: Record<string, string> = { ...image.environment };
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    const path = pathOf(configMapRef ? 'v1/configmaps' : 'v1/secrets', namespace, (configMapRef ?? secretRef).name);
    const { data } = await api.get(path).catch((error) => {
      if (error instanceof ApiError) throw new NotStarted('CreateContainerConfigError', error.message);
      throw error;
    });
    for (const [key, value] of Object.entries<string>(data ?? {}))
      environment[key] = secretRef ? Buffer.from(value, 'base64').toString() : value;
  }
  for (const { name, value = '', valueFrom } of container.env ?? [])
    environment[name] = valueFrom
      ? fieldOf(pod, address, valueFrom.fieldRef?.fieldPath)
      : value.replaceAll(/\$\((\w+)\)/g, (whole: string, other: string) => environment[other] ?? whole);

  // A mounted folder lies elsewhere here, so settings that name it are changed.
  const volumes = join(processes.folder, 'pods', uid);
  for (const { name, mountPath } of container.volumeMounts ?? []) {
    const volume = pod.spec.volumes.find((one: Resource) => one.name === name);
    if (!volume.emptyDir) throw new NotStarted('CreateContainerError', `Here ${name} would have to be an emptyDir.`);
    const folder = join(volumes, name);
    mkdirSync(folder, { recursive: true });
    if (mountPath === '/tmp') environment.TMPDIR = folder;
    for (const [key, value] of Object.entries(environment))
      if (value === mountPath || value.startsWith(`${mountPath}/`))
        environment[key] = folder + value.slice(mountPath.length);
  }
  const [program, ...options] = container.command ?? image.command;
  return processes.run(name, program, [...options, ...(container.args ?? [])], {
    ...environment,
    ...image.instead(address),
  });
}

function fieldOf(pod: Resource, address: string, path: string | undefined): string {
  const value = path === 'status.podIP' ? address : path?.split('.').reduce((object, key) => object?.[key], pod);
  if (typeof value !== 'string') throw new NotStarted('CreateContainerConfigError', `No field ${path} is known here.`);
  return value;
}
