// GET /openapi.json and GET /docs, the try-it console. Everything is served from here, so that it works offline.

import helmet from '@fastify/helmet';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { browserHeaders } from './browser-headers.js';
import { typesApart } from './types-apart.js';

export async function registerDocs(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'img2img',
        version,
        description:
          'One picture and a prompt in, one picture out, at a strength that you control. Errors are problem documents (RFC 9457) with a stable `code`. [The page](./) does the same for people.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'This server' }],
      // Either way: keys are off unless API_KEYS is set.
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'One of API_KEYS, where the server has some' },
        },
      },
      security: [{}, { key: [] }],
      tags: [
        { name: 'Pictures', description: 'Make pictures of pictures' },
        { name: 'Models', description: 'The generators to choose from' },
        { name: 'OpenAI', description: "The same for clients of OpenAI's image API" },
        { name: 'AUTOMATIC1111', description: "The same for clients of AUTOMATIC1111's web UI" },
        { name: 'Operations', description: 'Probes for load balancers and Kubernetes' },
      ],
    },
    transform: ({ schema, url }) => ({ schema: typesApart(schema), url }),
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => (json.$id as string) ?? `def-${i}` },
  });
  await app.register(async (scope) => {
    await scope.register(helmet, browserHeaders);
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: {
        layout: 'BaseLayout',
        plugins: [emptyFields],
        tryItOutEnabled: true,
        docExpansion: 'list',
        displayRequestDuration: true,
        defaultModelsExpandDepth: -1,
      },
      theme: { title: 'img2img' },
      // Whatever path a proxy shows this server at: addresses are relative to the console's own, which ends with a slash.
      uiHooks: {
        onRequest: async (request, reply) => {
          if (request.url.split('?')[0] === '/docs') return reply.redirect('docs/');
        },
      },
      transformSpecification: ({ info, ...document }) => ({
        ...document,
        info: { ...info, description: String(info?.description).replace('(./)', '(../)') },
        servers: [{ url: '..', description: 'This server' }],
      }),
      transformSpecificationClone: true,
    });
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

interface SwaggerUi {
  readonly fn: { getSampleSchema: (schema: unknown, ...rest: unknown[]) => unknown };
  readonly oas3Actions: { setRequestBodyValue(what: { value: string; pathMethod: unknown }): void };
}

/**
 * A Swagger UI plugin. The console fills a form with made-up values (1, "string"), which nobody means;
 * here a field without a default or an example starts empty, and an empty field is not sent.
 * And it writes the form's inner state into the body where somebody changes over to JSON; here the example stands there.
 * It runs in the browser: its text is what is served.
 */
const emptyFields = () => ({
  afterLoad(system: SwaggerUi) {
    const sample = system.fn.getSampleSchema;
    system.fn.getSampleSchema = (schema, ...rest) => {
      const { type, default: initial, example, examples } = JSON.parse(JSON.stringify(schema ?? {}));
      const isField = type !== undefined && type !== 'object' && type !== 'array';
      const isKnown = initial !== undefined || example !== undefined || examples !== undefined;
      return isField && !isKnown ? undefined : sample(schema, ...rest);
    };
  },
  statePlugins: {
    oas3: {
      wrapActions: {
        // A method: compilers that keep the names of functions leave it as it is.
        setRequestContentType(change: (payload: { pathMethod: unknown }) => unknown, system: SwaggerUi) {
          return (payload: { pathMethod: unknown }) => {
            system.oas3Actions.setRequestBodyValue({ value: '', pathMethod: payload.pathMethod });
            return change(payload);
          };
        },
      },
    },
  },
});
