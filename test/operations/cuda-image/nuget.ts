// NuGet, as onnxruntime-node's install script asks it: a proxy that answers in its place with one package.
// tsx nuget.ts CERTIFICATE KEY PACKAGE VERSION PORT

import { createReadStream, readFileSync } from 'node:fs';
import { createServer as createProxy } from 'node:http';
import { createServer } from 'node:https';

const [certificate, key, archive, version, port] = process.argv.slice(2) as [string, string, string, string, string];
const base = '/packages/';

const nuget = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  ({ url = '/', headers }, response) => {
    const json = (value: object) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (url.endsWith(`${version}.nupkg`)) createReadStream(archive).pipe(response);
    else if (url.startsWith(base)) json({ versions: [version] });
    else json({ resources: [{ '@type': 'PackageBaseAddress/3.0.0', '@id': `https://${headers.host}${base}` }] });
  },
);

// Whatever host is asked for, it is this one that answers.
const proxy = createProxy((_, response) => response.writeHead(405).end());
proxy.on('connect', (_, socket) => {
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
  nuget.emit('connection', socket);
});
proxy.listen(Number(port), '127.0.0.1');
