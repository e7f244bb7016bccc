// An API server of loopback as a part of the API.

import { type Api, pathOf, type Resource } from './api.js';
import type { Processes } from './processes.js';

/**
 * Waits until it answers. It is reached by a name: addresses of loopback are refused in EndpointSlices.
 * @param name of the APIService
 * @param log the program whose log says why it does not answer
 */
export async function aggregate(
  api: Api,
  processes: Processes,
  name: string,
  log: string,
  port: number,
): Promise<void> {
  const [version, ...group] = name.split('.');
  const service = name.replaceAll('.', '-');
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'metrics' } });
  await api.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: service, namespace: 'metrics' },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port, protocol: 'TCP' }] },
  });
  await api.apply({
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name },
    spec: {
      group: group.join('.'),
      version,
      groupPriorityMinimum: 100,
      versionPriority: 100,
      insecureSkipTLSVerify: true,
      service: { namespace: 'metrics', name: service, port },
    },
  });
  const available = async () => {
    const { status } = await api.get(pathOf('apiregistration.k8s.io/v1/apiservices', undefined, name));
    return status.conditions?.some(({ type, status }: Resource) => type === 'Available' && status === 'True');
  };
  await processes.until(`${name} is available`, log, available, 120);
}
