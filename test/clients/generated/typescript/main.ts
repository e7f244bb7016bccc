// The client that openapi-generator makes for TypeScript, in use: see ../README.md.

import { openAsBlob, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Configuration, MadeFromJSON, OpenAIApi, PicturesApi, ProblemFromJSON, type ResponseError } from './api';

async function main() {
  const [url, key, picture, mask, output] = process.argv.slice(2) as [string, string, string, string, string];
  const configuration = new Configuration({ basePath: url, accessToken: key });
  const pictures = new PicturesApi(configuration);
  const upload = async (path: string) => new File([await openAsBlob(path)], basename(path));
  const common = { prompt: 'watercolor painting', steps: 2, seed: 4294967295 };
  const small = { ...common, image: await upload(picture), mask: await upload(mask), width: 128, height: 128 };

  writeFileSync(output, Buffer.from(await (await pictures.img2img(small)).arrayBuffer()));

  // Where a route has several types, the generated client asks for none.
  const asJson = { headers: { Accept: 'application/json', Authorization: `Bearer ${key}` } };
  const two = MadeFromJSON(JSON.parse(await (await pictures.img2img({ ...small, n: 2 }, asJson)).text()));

  const refused = await pictures.img2img({ ...small, model: 'none' }).catch((error: ResponseError) => error.response);
  if (!(refused instanceof Response)) throw new Error('a model that is not there was found');

  const { image, mask: repainted } = small;
  const edited = await new OpenAIApi(configuration).editImage({ ...common, image, mask: repainted, size: '128x128' });

  const found = {
    seeds: two.images.map(({ seed }) => seed),
    status: refused.status,
    problem: ProblemFromJSON(await refused.json()).code,
    edited: edited.data[0]!.seed,
  };
  process.stdout.write(JSON.stringify(found));
}

void main();
