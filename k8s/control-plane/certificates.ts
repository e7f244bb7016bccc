// A certificate authority of the moment, with what the API server, KEDA and the metrics API show on loopback.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Writes into `folder`: `ca.crt`; `tls.crt`, `tls.key` of a server on localhost; `proxy.crt`, `proxy.key` of the API server as a
 * client of aggregated APIs; `accounts.key`, which signs the tokens of service accounts.
 */
export function writeCertificates(folder: string): void {
  const openssl = (...options: string[]) =>
    execFileSync('openssl', options, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '7', '-subj', '/CN=img2img-test-ca');
  writeFileSync(
    join(folder, 'names'),
    'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  for (const [name, subject] of [
    ['tls', 'localhost'],
    ['proxy', aggregator],
  ] as const) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`);
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '7', '-extfile', 'names'];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...signed);
  }
  openssl('genrsa', '-out', 'accounts.key', '2048');
}

/** Whom aggregated APIs believe what it says of its callers. */
export const aggregator = 'aggregator';
